//! The boundary between agreement and execution.

use candela_primitives::{Address, B256, Block, Bytes, Epochs, Participation};
use std::sync::Arc;

/// Everything about a proposal that does not come from the chain itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Unix time in milliseconds that the proposer's clock shows.
    pub now_ms: u64,
    /// Whom the block names as its proposer.
    pub proposer: Address,
    /// Block randomness for `prevrandao`.
    pub randomness: B256,
    /// What the proposer knows of the certificate of an ancestor; the block shows it where the rules allow that.
    pub participation: Option<Participation>,
}

/// A validator's place in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Ed25519 public key that it votes with.
    pub public_key: [u8; 32],
    /// What stands behind it, in nit.
    pub stake: u128,
}

/// Why a block was not made, not accepted or not stored.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The block breaks a rule; nobody should vote for it.
    #[error("block {number} is invalid: {reason}")]
    Invalid {
        /// Its height.
        number: u64,
        /// The rule that it breaks.
        reason: String,
    },
    /// An ancestor between the finalised head and the block is missing.
    #[error("block {0} is not a child of a known block")]
    UnknownParent(B256),
    /// The store failed; the node must stop.
    #[error("storage failed: {0}")]
    Storage(String),
}

/// A deterministic state machine that consensus replicates.
///
/// `ancestry` always lists the blocks above the finalised head, oldest first; it is empty when the head itself is the
/// parent. All calls are synchronous and may take as long as a block takes to execute.
pub trait StateMachine: Send + Sync + 'static {
    /// Block 0.
    fn genesis(&self) -> Arc<Block>;

    /// The last finalised block.
    fn head(&self) -> Arc<Block>;

    /// The hash of the final block at a height; `None` when there is none yet.
    ///
    /// # Errors
    /// When the store fails.
    fn hash(&self, number: u64) -> Result<Option<B256>, MachineError>;

    /// The certificate of the oldest block that the machine has, where that is not genesis: consensus begins from there.
    ///
    /// # Errors
    /// When the store fails.
    fn origin(&self) -> Result<Option<Bytes>, MachineError> {
        Ok(None)
    }

    /// The epochs after which validators are elected; `None` when they never are.
    fn epochs(&self) -> Option<Epochs> {
        None
    }

    /// The seats of an epoch, as the finalised blocks have elected them: sorted by key, each once. `None` when the epoch is
    /// not elected yet or forgotten.
    ///
    /// # Errors
    /// When the store fails.
    fn committee(&self, _epoch: u64) -> Result<Option<Vec<Seat>>, MachineError> {
        Ok(None)
    }

    /// What decides in which order an elected epoch's validators lead: the `prevrandao` of the block that elected them. Zero
    /// where no block has.
    ///
    /// # Errors
    /// When the store fails.
    fn seed(&self, _epoch: u64) -> Result<B256, MachineError> {
        Ok(B256::ZERO)
    }

    /// Starts a proposal on top of `ancestry`: what was proposed beside these blocks, and not accepted, is pending again.
    fn begin(&self, ancestry: &[Arc<Block>]);

    /// Whether `propose` would find a transaction to include right now.
    fn has_work(&self) -> bool;

    /// Builds the child of the last block of `ancestry` from pending transactions; may be empty of them.
    ///
    /// # Errors
    /// When the parent is unknown or the store fails.
    fn propose(&self, ancestry: &[Arc<Block>], slot: Slot) -> Result<Arc<Block>, MachineError>;

    /// Checks that `block` follows `ancestry` and that executing it gives what its header claims.
    ///
    /// # Errors
    /// When it does not.
    fn verify(&self, ancestry: &[Arc<Block>], block: &Arc<Block>, now_ms: u64) -> Result<(), MachineError>;

    /// Makes the next block final: durable when this returns. Calling it again for a finalised height does nothing.
    ///
    /// `certificate` is the encoded finalisation certificate, kept beside the block.
    ///
    /// # Errors
    /// When the block does not extend the head, or the store fails.
    fn finalize(&self, block: &Arc<Block>, certificate: &[u8]) -> Result<(), MachineError>;
}
