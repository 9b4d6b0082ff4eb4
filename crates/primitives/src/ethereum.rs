//! A Candela header as Ethereum clients see it.

use crate::Header;
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, constants::EMPTY_WITHDRAWALS};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{B64, B256, U256};

impl Header {
    /// The fields that Ethereum has a word for.
    ///
    /// Its hash is *not* the block hash: Candela hashes its own header. Roots are those of shard 0.
    #[must_use]
    pub fn to_ethereum(&self) -> alloy_consensus::Header {
        let shard = self.shards.first().cloned().unwrap_or_default();
        alloy_consensus::Header {
            parent_hash: self.parent_hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: self.proposer,
            state_root: shard.state_root,
            transactions_root: shard.transactions_root,
            receipts_root: shard.receipts_root,
            logs_bloom: self.logs_bloom,
            difficulty: U256::ZERO,
            number: self.number,
            gas_limit: self.gas_limit,
            gas_used: self.gas_used(),
            timestamp: self.timestamp(),
            extra_data: self.extra_data.clone(),
            mix_hash: self.prevrandao,
            nonce: B64::ZERO,
            base_fee_per_gas: Some(shard.base_fee_per_gas),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..alloy_consensus::Header::default()
        }
    }
}
