//! Execute a list of transactions against a state, one after the other.
//!
//! The sequential [`Executor`] is the oracle: whatever executes in another order must give the same receipts and
//! [`StateChanges`](candela_primitives::StateChanges) byte for byte. Nothing here reads a clock, a socket or an
//! environment variable; all input arrives as arguments.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod call;
mod claim;
mod collision;
mod environment;
mod estimate;
mod executor;
mod install;
mod overlay;
mod parallel;
mod precompiles;
mod replay;
pub mod session;
mod skip;
mod system;
mod transaction;
mod view;
mod vm;

pub use alloy_eip7928::AccountChanges;
pub use call::{
    AccountOverride, CallError, CallOutcome, CallRequest, CallResult, StateOverrides, call, create_access_list,
};
pub use environment::{BlockEnvironment, BlockHashes, NoBlockHashes};
pub use estimate::{EstimateError, estimate_gas};
pub use executor::{Execution, ExecutionError, Executor, execute};
pub use install::{InstallError, install};
pub use parallel::{ParallelExecutor, Schedule, Speculation, Workers};
pub use precompiles::ED25519;
pub use replay::{ReplayError, replay};
pub use revm::context::result::{HaltReason, InvalidTransaction};
pub use revm::primitives::hardfork::SpecId;
pub use session::SessionError;
pub use skip::SkipReason;
pub use system::SystemCall;
pub use transaction::transaction_environment;
pub use view::StateView;
