//! Store finalised blocks, receipts and logs with the indexes that queries need.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod archive;
mod block;
mod error;
mod filter;
mod index;
mod logs;

pub use archive::{Archive, Beginning};
pub use block::{ArchivedBlock, ArchivedHeader};
pub use error::ArchiveError;
pub use filter::{LogFilter, LogLimits};
pub use logs::ArchivedLog;
