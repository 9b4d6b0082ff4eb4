//! News of final blocks and pending transactions on their way to filters, subscriptions and waiting calls.

use candela_archive::ArchivedBlock;
use candela_primitives::Transaction;
use std::sync::Arc;
use tokio::sync::broadcast;

/// A handle on both streams of news; clones share them. Publishing never blocks and needs no async runtime.
#[derive(Clone, Debug)]
pub struct Feed {
    blocks: broadcast::Sender<Arc<ArchivedBlock>>,
    pending: broadcast::Sender<Transaction>,
}

impl Feed {
    const BLOCKS: usize = 1_024;
    const PENDING: usize = 65_536;

    /// A feed without listeners.
    #[must_use]
    pub fn new() -> Self {
        Self { blocks: broadcast::Sender::new(Self::BLOCKS), pending: broadcast::Sender::new(Self::PENDING) }
    }

    /// Tells listeners of a block that has become final, once it can be read from archive and state.
    pub fn publish_block(&self, block: Arc<ArchivedBlock>) {
        let _ = self.blocks.send(block);
    }

    /// Tells listeners of a transaction that has become executable in the pool.
    pub fn publish_pending(&self, transaction: Transaction) {
        let _ = self.pending.send(transaction);
    }

    pub(crate) fn blocks(&self) -> broadcast::Receiver<Arc<ArchivedBlock>> {
        self.blocks.subscribe()
    }

    pub(crate) fn pending(&self) -> broadcast::Receiver<Transaction> {
        self.pending.subscribe()
    }

    /// Whether anybody listens for pending transactions, so that a publisher may save a copy.
    #[must_use]
    pub fn pending_wanted(&self) -> bool {
        self.pending.receiver_count() > 0
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}
