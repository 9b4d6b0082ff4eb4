//! Keep the ledger's finalised blocks in the archive.

use alloy_rlp::Decodable;
use candela_archive::{Archive, ArchivedBlock};
use candela_ledger::{BlockStore, BlockStoreError, Finalized};
use candela_primitives::{B256, Block, Header};
use std::sync::Arc;

/// The archive as the ledger sees it.
pub(crate) struct ArchiveStore(pub(crate) Arc<Archive>);

fn failed(error: impl std::fmt::Display) -> BlockStoreError {
    BlockStoreError(error.to_string())
}

/// The archive's form of a finalised block.
pub(crate) fn archived(block: &Finalized) -> ArchivedBlock {
    ArchivedBlock {
        hash: block.hash,
        ethereum_header: block.block.header.to_ethereum(),
        header_bytes: alloy_rlp::encode(&block.block.header).into(),
        transactions: block.transactions.clone(),
        receipts: block.receipts.clone(),
        certificate: block.certificate.clone(),
    }
}

fn finalized(stored: &ArchivedBlock) -> Result<Finalized, BlockStoreError> {
    let header = Header::decode(&mut stored.header_bytes.as_ref()).map_err(failed)?;
    let encoded = stored.transactions.iter().map(|transaction| transaction.encoded().clone()).collect();
    Ok(Finalized {
        block: Arc::new(Block { header, transactions: encoded, ..Block::default() }),
        hash: stored.hash,
        transactions: stored.transactions.clone(),
        receipts: stored.receipts.clone(),
        certificate: stored.certificate.clone(),
    })
}

impl BlockStore for ArchiveStore {
    fn head(&self) -> Result<Option<Arc<Finalized>>, BlockStoreError> {
        self.0.head().map(|stored| finalized(&stored).map(Arc::new)).transpose()
    }

    fn first(&self) -> u64 {
        self.0.first()
    }

    fn hash(&self, number: u64) -> Result<Option<B256>, BlockStoreError> {
        self.0.hash(number).map_err(failed)
    }

    fn block(&self, number: u64) -> Result<Option<Arc<Finalized>>, BlockStoreError> {
        let stored = self.0.block(number).map_err(failed)?;
        stored.map(|stored| finalized(&stored).map(Arc::new)).transpose()
    }

    fn append(&self, block: &Arc<Finalized>) -> Result<(), BlockStoreError> {
        self.0.append(Arc::new(archived(block))).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candela_primitives::ShardHeader;

    #[test]
    fn a_block_comes_back_from_the_archive_as_it_went_in() {
        let store = ArchiveStore(Arc::new(Archive::in_memory().unwrap()));
        let header = Header { shards: vec![ShardHeader { gas_used: 5, ..Default::default() }], ..Header::default() };
        let block = Arc::new(Block { header, ..Block::default() });
        let original = Arc::new(Finalized {
            hash: block.hash(),
            block: block.clone(),
            transactions: Arc::default(),
            receipts: Arc::default(),
            certificate: vec![1, 2].into(),
        });
        store.append(&original).unwrap();
        let restored = store.block(0).unwrap().unwrap();
        assert_eq!((&restored.block, restored.hash), (&block, block.hash()));
        assert_eq!(store.head().unwrap().unwrap().certificate, original.certificate);
    }
}
