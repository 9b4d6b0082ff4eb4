//! Where finalised blocks go before the state moves.

use candela_primitives::{B256, Block, Bytes, Receipt, Transaction};
use parking_lot::RwLock;
use std::sync::Arc;

/// A block that is final, and what it did.
#[derive(Clone, Debug)]
pub struct Finalized {
    /// The block.
    pub block: Arc<Block>,
    /// Its hash.
    pub hash: B256,
    /// Its transactions, decoded.
    pub transactions: Arc<Vec<Arc<Transaction>>>,
    /// Their receipts.
    pub receipts: Arc<Vec<Receipt>>,
    /// The encoded certificate; empty for genesis.
    pub certificate: Bytes,
}

/// The store failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BlockStoreError(pub String);

/// Keeps finalised blocks. A block is appended before the state commits it, so that whatever the state loses in a crash
/// is made good by executing blocks again.
pub trait BlockStore: Send + Sync {
    /// The newest block.
    ///
    /// # Errors
    /// When the store fails.
    fn head(&self) -> Result<Option<Arc<Finalized>>, BlockStoreError>;

    /// The height of the oldest block that is here with all blocks after it.
    fn first(&self) -> u64 {
        0
    }

    /// The hash of the block at a height.
    ///
    /// # Errors
    /// When the store fails.
    fn hash(&self, number: u64) -> Result<Option<B256>, BlockStoreError>;

    /// The block at a height.
    ///
    /// # Errors
    /// When the store fails.
    fn block(&self, number: u64) -> Result<Option<Arc<Finalized>>, BlockStoreError>;

    /// Stores the next block, durably when this returns; does nothing when it is stored already.
    ///
    /// # Errors
    /// When the block does not fit, or the store fails.
    fn append(&self, block: &Arc<Finalized>) -> Result<(), BlockStoreError>;
}

/// Blocks in memory, for tests and simulation.
#[derive(Default)]
pub struct MemoryBlockStore(RwLock<Vec<Arc<Finalized>>>);

impl BlockStore for MemoryBlockStore {
    fn head(&self) -> Result<Option<Arc<Finalized>>, BlockStoreError> {
        Ok(self.0.read().last().cloned())
    }

    fn hash(&self, number: u64) -> Result<Option<B256>, BlockStoreError> {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        Ok(self.0.read().get(index).map(|block| block.hash))
    }

    fn block(&self, number: u64) -> Result<Option<Arc<Finalized>>, BlockStoreError> {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        Ok(self.0.read().get(index).cloned())
    }

    fn append(&self, block: &Arc<Finalized>) -> Result<(), BlockStoreError> {
        let mut blocks = self.0.write();
        let number = block.block.header.number;
        match blocks.iter().find(|stored| stored.block.header.number == number) {
            Some(stored) if stored.hash == block.hash => return Ok(()),
            Some(_) => return Err(BlockStoreError(format!("another block is final at height {number}"))),
            None if number != blocks.len() as u64 => {
                return Err(BlockStoreError(format!("block {number} leaves a gap")));
            }
            None => {}
        }
        blocks.push(block.clone());
        Ok(())
    }
}
