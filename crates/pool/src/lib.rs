//! Hold pending transactions by sender and nonce, within limits, and select the best.
//!
//! Error texts are geth's, because wallets and libraries match on them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod error;
mod gas;
mod pool;
mod queue;
mod selection;
mod validate;

pub use error::PoolError;
pub use gas::{floor_gas, intrinsic_gas};
pub use pool::{Content, Pool, Status};
pub use queue::SenderState;
pub use selection::Selection;
pub use validate::Limits;
