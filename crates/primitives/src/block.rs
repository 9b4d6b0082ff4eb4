//! Blocks and their headers.

use crate::merkle;
use alloy_primitives::{Address, B256, Bloom, Bytes, U256, keccak256};
use alloy_rlp::{Decodable, Encodable, Header as RlpHeader, RlpDecodable, RlpEncodable};

/// What one shard did in one block (DESIGN section 5). Until shards exist a block has exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct ShardHeader {
    /// Root of the authenticated state after the block.
    pub state_root: B256,
    /// [`merkle`] root over the EIP-2718 bytes of the transactions.
    pub transactions_root: B256,
    /// [`merkle`] root over the RLP of the receipts.
    pub receipts_root: B256,
    /// Root of the messages to other shards; of nothing while there is one shard.
    pub outbox_root: B256,
    /// Messages consumed so far, per source shard.
    pub inbound_cursors: Vec<u64>,
    /// Gas used in the shard.
    pub gas_used: u64,
    /// EIP-1559 base fee, nit per gas.
    pub base_fee_per_gas: u64,
    /// Load of the shard in parts per million of its capacity.
    pub congestion_ppm: u32,
    /// Sum of all balances in the shard, in nit.
    pub supply: U256,
    /// Value that has left the shard and not yet arrived elsewhere, in nit.
    pub in_flight: U256,
    /// Keccak-256 of the RLP of the block access list (EIP-7928): what each transaction read and wrote.
    pub access_list_hash: B256,
}

/// The part of a block that is agreed on and hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Header {
    /// Version of this encoding.
    pub version: u8,
    /// Parameters in force (`Parameters::version`).
    pub parameters_version: u32,
    /// Hash of the parent block.
    pub parent_hash: B256,
    /// Height; genesis is 0.
    pub number: u64,
    /// Unix time in milliseconds; strictly greater than the parent's.
    pub timestamp_ms: u64,
    /// Who proposed the block, and receives its priority fees where nobody is elected.
    pub proposer: Address,
    /// Block randomness (EIP-4399).
    pub prevrandao: B256,
    /// Most gas that the block may use.
    pub gas_limit: u64,
    /// Bloom filter over the logs.
    pub logs_bloom: Bloom,
    /// Who signed the certificate of an ancestor ([`Participation`](crate::Participation)); in genesis, the length of
    /// epochs. At most 32 bytes.
    pub extra_data: Bytes,
    /// One entry per shard.
    pub shards: Vec<ShardHeader>,
}

impl Header {
    /// Version written by this release.
    pub const VERSION: u8 = 1;
    /// Most bytes of `extra_data`.
    pub const MAX_EXTRA_DATA_BYTES: usize = 32;

    /// Keccak-256 of the RLP: the block hash.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(alloy_rlp::encode(self))
    }

    /// Unix time in whole seconds, as the EVM sees it.
    #[must_use]
    pub const fn timestamp(&self) -> u64 {
        self.timestamp_ms / 1000
    }

    /// Gas used over all shards.
    #[must_use]
    pub fn gas_used(&self) -> u64 {
        self.shards.iter().map(|shard| shard.gas_used).sum()
    }
}

/// A header with the EIP-2718 bytes of its transactions, as it travels and is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Encoded transactions in order of execution.
    pub transactions: Vec<Bytes>,
    /// RLP of the block access list, with which others can execute the block side by side; empty where nobody needs it.
    pub access_list: Bytes,
}

/// Why bytes are not a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockDecodeError {
    /// Not RLP of the expected shape.
    #[error("block is not valid RLP: {0}")]
    Rlp(#[from] alloy_rlp::Error),
    /// Bytes follow the block.
    #[error("block is followed by {0} stray bytes")]
    Trailing(usize),
}

impl Block {
    /// The block hash, that is the header's.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.header.hash()
    }

    /// Root over the transactions, as it belongs into the shard header.
    #[must_use]
    pub fn transactions_root(&self) -> B256 {
        merkle::root(&self.transactions.iter().map(|bytes| merkle::leaf(bytes)).collect::<Vec<_>>())
    }

    /// RLP: `[header, [bytes, …], access list]`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let payload_length = self.header.length() + self.transactions.length() + self.access_list.length();
        let mut out = Vec::with_capacity(payload_length + 9);
        RlpHeader { list: true, payload_length }.encode(&mut out);
        self.header.encode(&mut out);
        self.transactions.encode(&mut out);
        self.access_list.encode(&mut out);
        out
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly one block.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BlockDecodeError> {
        let outer = RlpHeader::decode(&mut bytes)?;
        if !outer.list {
            return Err(alloy_rlp::Error::UnexpectedString.into());
        }
        if bytes.len() != outer.payload_length {
            return Err(BlockDecodeError::Trailing(bytes.len().abs_diff(outer.payload_length)));
        }
        let header = Header::decode(&mut bytes)?;
        let transactions = Vec::<Bytes>::decode(&mut bytes)?;
        let access_list = Bytes::decode(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(BlockDecodeError::Trailing(bytes.len()));
        }
        Ok(Self { header, transactions, access_list })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        Block {
            header: Header { number: 7, shards: vec![ShardHeader::default()], ..Header::default() },
            transactions: vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")],
            access_list: Bytes::from_static(b"list"),
        }
    }

    #[test]
    fn decode_returns_what_was_encoded() {
        assert_eq!(Block::decode(&block().encode()), Ok(block()));
    }

    #[test]
    fn decode_refuses_truncated_and_trailing_bytes() {
        let bytes = block().encode();
        for end in 0..bytes.len() {
            assert!(Block::decode(&bytes[..end]).is_err(), "accepted {end} of {} bytes", bytes.len());
        }
        assert!(Block::decode(&[bytes, vec![0]].concat()).is_err());
    }
}
