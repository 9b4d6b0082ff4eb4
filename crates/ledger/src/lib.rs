//! Propose, verify and finalise one block at a time, synchronously and deterministically.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod block_store;
mod elections;
mod execution;
mod genesis;
mod ledger;
mod machine;
mod rules;
mod submit;

pub use block_store::{BlockStore, BlockStoreError, Finalized, MemoryBlockStore};
pub use genesis::{GenesisError, GenesisState, execute_genesis, genesis_block};
pub use ledger::{Ledger, OpenError};
pub use machine::{MachineError, Seat, Slot, StateMachine};
pub use rules::next_base_fee;
pub use submit::SubmitError;
