//! Why agreement could not start or had to stop.

use candela_ledger::MachineError;
use std::path::PathBuf;

/// Why an [`Engine`](crate::Engine) could not start or had to stop.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// Another engine, in this or another process, uses the directory.
    #[error("the directory {0} is in use by another node: stop that node or choose another directory")]
    Locked(PathBuf),
    /// The directory could not be made or opened.
    #[error("the directory {directory} cannot be used: {reason}")]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The timings contradict each other.
    #[error("consensus timings are inconsistent: {0}")]
    Timings(&'static str),
    /// Not an Ed25519 secret key.
    #[error("the validator key is not an Ed25519 secret key of 32 bytes")]
    Key,
    /// The committee is none, or the validator has no seat in it.
    #[error("the committee of validators is wrong: {0}")]
    Committee(&'static str),
    /// Consensus has finalised blocks that the state machine does not have.
    #[error(
        "consensus is at block {consensus} but the ledger is at block {ledger}: the ledger's files were removed or \
         restored from an older copy; restore both together"
    )]
    Behind {
        /// Height that consensus has delivered.
        consensus: u64,
        /// Height of the ledger.
        ledger: u64,
    },
    /// The record of votes could not be used.
    #[error(
        "the record of this validator's votes, {path}, cannot be used: {reason}; where it is lost or damaged, make a new \
         folder with a new key and rotate to it, as this key may have votes that nobody remembers"
    )]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The node's folder holds votes but their record is gone.
    #[error(
        "the node's folder holds votes, but their record {0} is missing: bring it back from where this validator ran \
         last; if it is lost, make a new folder with a new key and rotate to it"
    )]
    RecordMissing(PathBuf),
    /// The validator was about to vote against itself, and did not.
    #[error(
        "the validator was about to contradict its own vote in view {view} of epoch {epoch}, and stopped instead: its \
         stored votes are damaged; start it again, and it waits until it can vote without harm"
    )]
    Contradiction {
        /// The epoch of both votes.
        epoch: u64,
        /// The view of both votes.
        view: u64,
    },
    /// The state machine failed.
    #[error("the ledger failed: {0}")]
    Machine(String),
    /// A part of the engine ended although nobody stopped it.
    #[error("consensus stopped: the {0} ended unexpectedly")]
    Actor(&'static str),
    /// A part of the engine panicked; the storage may be damaged.
    #[error("consensus stopped: {0}")]
    Panicked(String),
}

impl From<MachineError> for EngineError {
    fn from(error: MachineError) -> Self {
        Self::Machine(error.to_string())
    }
}
