//! Run Ethereum's published test formats against the engine.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod agreement;
pub mod block;
pub mod blocktest;
pub mod fork;
pub mod memory;
pub mod quantity;
pub mod receipts;
pub mod report;
pub mod rpctest;
pub mod statetest;
pub mod system;
