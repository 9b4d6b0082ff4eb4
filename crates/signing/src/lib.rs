//! Recover and check who signed a transaction, one by one or in batches.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod decode;
mod known;
mod sequence;
mod session;
mod sign;

pub use decode::{SigningError, decode, decode_batch};
pub use sequence::split_transactions;
pub use session::{SessionKey, sign_session};
pub use sign::{KeyError, SecretKey, sign_transaction};
