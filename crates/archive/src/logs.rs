//! Logs with where they were emitted.

use crate::{ArchivedBlock, LogFilter};
use candela_primitives::{B256, Log};

/// A log and its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedLog {
    /// The event.
    pub log: Log,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Unix time of its block in seconds.
    pub block_timestamp: u64,
    /// Hash of its transaction.
    pub transaction_hash: B256,
    /// Position of its transaction in the block.
    pub transaction_index: u64,
    /// Position in the block.
    pub log_index: u64,
}

impl ArchivedBlock {
    /// The block's logs that match `filter`, in order.
    pub fn logs<'a>(&'a self, filter: &'a LogFilter) -> impl Iterator<Item = ArchivedLog> + 'a {
        let logs =
            self.transactions.iter().zip(&*self.receipts).enumerate().flat_map(|(index, (transaction, receipt))| {
                receipt.logs.iter().map(move |log| (index as u64, transaction.hash(), log))
            });
        logs.enumerate().filter(|(_, (_, _, log))| filter.matches(log)).map(
            |(log_index, (transaction_index, transaction_hash, log))| ArchivedLog {
                log: log.clone(),
                block_number: self.number(),
                block_hash: self.hash,
                block_timestamp: self.ethereum_header.timestamp,
                transaction_hash,
                transaction_index,
                log_index: log_index as u64,
            },
        )
    }
}
