//! Wire ledger, consensus, archive and RPC into one node that starts and stops.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod block_store;
mod chain;
mod committee;
mod config;
mod error;
mod genesis;
mod key;
mod logging;
mod node;
mod peers;
mod sync;
mod vitals;

pub use config::{Config, Distance, LogFormat, Logging, Rpc, Validator};
pub use error::NodeError;
pub use genesis::genesis_hash;
pub use logging::init as init_logging;
pub use node::Node;
pub use sync::{StateSync, SyncError, ToldBlock};
