//! Keep the ledger's finalised blocks in the archive.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header as EthereumHeader, constants::EMPTY_WITHDRAWALS};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_rlp::Decodable;
use candela_archive::{Archive, ArchivedBlock};
use candela_ledger::{BlockStore, BlockStoreError, Finalized};
use candela_primitives::{B256, Block, Header, ShardHeader, Transaction};
use std::sync::Arc;

/// The archive as the ledger sees it.
pub(crate) struct ArchiveStore(pub(crate) Arc<Archive>);

fn failed(error: impl std::fmt::Display) -> BlockStoreError {
    BlockStoreError(error.to_string())
}

/// How Ethereum clients see a header. Its hash is Candela's, not the hash of these fields.
pub(crate) fn ethereum_header(header: &Header) -> EthereumHeader {
    let none = ShardHeader::default();
    let shard = header.shards.first().unwrap_or(&none);
    EthereumHeader {
        parent_hash: header.parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: header.proposer,
        state_root: shard.state_root,
        transactions_root: shard.transactions_root,
        receipts_root: shard.receipts_root,
        logs_bloom: header.logs_bloom,
        number: header.number,
        gas_limit: header.gas_limit,
        gas_used: header.gas_used(),
        timestamp: header.timestamp(),
        extra_data: header.extra_data.clone(),
        mix_hash: header.prevrandao,
        base_fee_per_gas: Some(shard.base_fee_per_gas),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..EthereumHeader::default()
    }
}

/// The archive's form of a finalised block.
pub(crate) fn archived(block: &Finalized) -> ArchivedBlock {
    ArchivedBlock {
        hash: block.hash,
        ethereum_header: ethereum_header(&block.block.header),
        header_bytes: alloy_rlp::encode(&block.block.header).into(),
        transactions: block.transactions.clone(),
        receipts: block.receipts.clone(),
        certificate: block.certificate.clone(),
    }
}

fn finalized(stored: &ArchivedBlock) -> Result<Finalized, BlockStoreError> {
    let header = Header::decode(&mut stored.header_bytes.as_ref()).map_err(failed)?;
    let encoded = stored.transactions.iter().map(|transaction: &Transaction| transaction.encoded().clone()).collect();
    Ok(Finalized {
        block: Arc::new(Block { header, transactions: encoded }),
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

    #[test]
    fn a_block_comes_back_from_the_archive_as_it_went_in() {
        let store = ArchiveStore(Arc::new(Archive::in_memory().unwrap()));
        let header = Header { shards: vec![ShardHeader { gas_used: 5, ..Default::default() }], ..Header::default() };
        let block = Arc::new(Block { header, transactions: Vec::new() });
        let original = Arc::new(Finalized {
            hash: block.hash(),
            block: block.clone(),
            transactions: Vec::new(),
            receipts: Vec::new(),
            certificate: vec![1, 2].into(),
        });
        store.append(&original).unwrap();
        let restored = store.block(0).unwrap().unwrap();
        assert_eq!((&restored.block, restored.hash), (&block, block.hash()));
        assert_eq!(store.head().unwrap().unwrap().certificate, original.certificate);
    }
}
