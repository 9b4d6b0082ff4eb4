//! Measure the ledger's workloads.
//!
//! [`Workload`] names what DESIGN section 10 calls W1 to W9 and makes each of them for any number of transactions and
//! senders: a genesis, transactions that set the scene, and the ones to measure.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod contracts;
pub mod measure;
mod memory;
pub mod stages;
mod workload;

pub use memory::MemoryState;
pub use workload::{BASE_FEE, Call, Workload, World};
