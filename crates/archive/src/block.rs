//! A finalised block with everything that belongs to it.

use crate::ArchiveError;
use alloy_consensus::{Header, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use candela_primitives::{Address, B256, Bytes, Receipt, Transaction};

/// A finalised block, its receipts, and the certificate that makes it final.
///
/// The Ethereum header is how clients see the block; `header_bytes` are what `hash` is the Keccak-256 of. For Candela's
/// own blocks these are the RLP of its header, for imported Ethereum blocks the RLP of `ethereum_header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedBlock {
    /// The block hash.
    pub hash: B256,
    /// The header as Ethereum clients see it.
    pub ethereum_header: Header,
    /// The bytes that the hash is of.
    pub header_bytes: Bytes,
    /// Transactions in order of execution.
    pub transactions: Vec<Transaction>,
    /// Their receipts.
    pub receipts: Vec<Receipt>,
    /// The encoded certificate; empty for genesis.
    pub certificate: Bytes,
}

#[derive(RlpEncodable, RlpDecodable)]
struct Stored {
    hash: B256,
    ethereum_header: Header,
    header_bytes: Bytes,
    transactions: Vec<Bytes>,
    senders: Vec<Address>,
    receipts: Vec<Receipt>,
    certificate: Bytes,
}

impl ArchivedBlock {
    /// Height.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.ethereum_header.number
    }

    pub(crate) fn to_stored(&self) -> Vec<u8> {
        alloy_rlp::encode(Stored {
            hash: self.hash,
            ethereum_header: self.ethereum_header.clone(),
            header_bytes: self.header_bytes.clone(),
            transactions: self.transactions.iter().map(|transaction| transaction.encoded().clone()).collect(),
            senders: self.transactions.iter().map(Transaction::sender).collect(),
            receipts: self.receipts.clone(),
            certificate: self.certificate.clone(),
        })
    }

    pub(crate) fn from_stored(number: u64, mut bytes: &[u8]) -> Result<Self, ArchiveError> {
        let damaged = |reason: String| ArchiveError::Damaged { number, reason };
        let stored = Stored::decode(&mut bytes).map_err(|error| damaged(error.to_string()))?;
        if stored.senders.len() != stored.transactions.len() || stored.receipts.len() != stored.transactions.len() {
            return Err(damaged("transactions, senders and receipts differ in number".into()));
        }
        let transactions = stored
            .transactions
            .into_iter()
            .zip(stored.senders)
            .map(|(bytes, sender)| {
                let envelope =
                    TxEnvelope::decode_2718(&mut bytes.as_ref()).map_err(|error| damaged(error.to_string()))?;
                // The sender was recovered before the block was stored.
                Ok(Transaction::new_unchecked(envelope, bytes, sender))
            })
            .collect::<Result<_, ArchiveError>>()?;
        Ok(Self {
            hash: stored.hash,
            ethereum_header: stored.ethereum_header,
            header_bytes: stored.header_bytes,
            transactions,
            receipts: stored.receipts,
            certificate: stored.certificate,
        })
    }
}
