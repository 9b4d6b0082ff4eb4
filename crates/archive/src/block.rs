//! A finalised block with everything that belongs to it.

use crate::ArchiveError;
use alloy_consensus::Header;
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use candela_primitives::{Address, B256, Bytes, Envelope, Receipt, Transaction};
use std::sync::Arc;

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
    pub transactions: Arc<Vec<Arc<Transaction>>>,
    /// Their receipts.
    pub receipts: Arc<Vec<Receipt>>,
    /// The encoded certificate; empty for genesis.
    pub certificate: Bytes,
}

/// A block without its transactions and receipts, which is cheap to read.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct ArchivedHeader {
    /// The block hash.
    pub hash: B256,
    /// The header as Ethereum clients see it.
    pub ethereum_header: Header,
    /// The bytes that the hash is of.
    pub header_bytes: Bytes,
    /// The encoded certificate; empty for genesis.
    pub certificate: Bytes,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredTransactions {
    transactions: Vec<Bytes>,
    senders: Vec<Address>,
}

/// What the tables hold of one block.
pub(crate) struct Rows {
    pub(crate) header: Vec<u8>,
    pub(crate) transactions: Vec<u8>,
    pub(crate) receipts: Vec<u8>,
}

fn damaged(number: u64, reason: impl ToString) -> ArchiveError {
    ArchiveError::Damaged { number, reason: reason.to_string() }
}

fn decode<T: Decodable>(number: u64, mut bytes: &[u8]) -> Result<T, ArchiveError> {
    let value = T::decode(&mut bytes).map_err(|error| damaged(number, error))?;
    if bytes.is_empty() { Ok(value) } else { Err(damaged(number, "stray bytes")) }
}

impl ArchivedHeader {
    pub(crate) fn from_row(number: u64, row: &[u8]) -> Result<Self, ArchiveError> {
        let header: Self = decode(number, row)?;
        if header.ethereum_header.number == number {
            Ok(header)
        } else {
            Err(damaged(number, "the header is another block's"))
        }
    }
}

pub(crate) fn receipts_from_row(number: u64, row: &[u8]) -> Result<Vec<Receipt>, ArchiveError> {
    decode(number, row)
}

fn transactions_from_row(number: u64, row: &[u8]) -> Result<Vec<Arc<Transaction>>, ArchiveError> {
    let stored: StoredTransactions = decode(number, row)?;
    if stored.senders.len() != stored.transactions.len() {
        return Err(damaged(number, "transactions and senders differ in number"));
    }
    let pairs = stored.transactions.into_iter().zip(stored.senders);
    pairs
        .map(|(bytes, sender)| {
            let envelope = Envelope::decode_exact(&bytes).map_err(|error| damaged(number, error))?;
            // The signature was checked before the block was stored.
            Ok(Arc::new(Transaction::new_unchecked(envelope, bytes, sender)))
        })
        .collect()
}

impl ArchivedBlock {
    /// Height.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.ethereum_header.number
    }

    pub(crate) fn to_rows(&self) -> Rows {
        let header = ArchivedHeader {
            hash: self.hash,
            ethereum_header: self.ethereum_header.clone(),
            header_bytes: self.header_bytes.clone(),
            certificate: self.certificate.clone(),
        };
        let transactions = StoredTransactions {
            transactions: self.transactions.iter().map(|transaction| transaction.encoded().clone()).collect(),
            senders: self.transactions.iter().map(|transaction| transaction.sender()).collect(),
        };
        Rows {
            header: alloy_rlp::encode(header),
            transactions: alloy_rlp::encode(transactions),
            receipts: alloy_rlp::encode(&*self.receipts),
        }
    }

    pub(crate) fn from_rows(number: u64, rows: &Rows) -> Result<Self, ArchiveError> {
        let header = ArchivedHeader::from_row(number, &rows.header)?;
        let transactions = transactions_from_row(number, &rows.transactions)?;
        let receipts = receipts_from_row(number, &rows.receipts)?;
        if receipts.len() != transactions.len() {
            return Err(damaged(number, "transactions and receipts differ in number"));
        }
        Ok(Self {
            hash: header.hash,
            ethereum_header: header.ethereum_header,
            header_bytes: header.header_bytes,
            transactions: Arc::new(transactions),
            receipts: Arc::new(receipts),
            certificate: header.certificate,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_rows_are_refused_without_a_panic() {
        let block = ArchivedBlock {
            hash: B256::repeat_byte(1),
            ethereum_header: Header { number: 7, ..Header::default() },
            header_bytes: Bytes::from_static(b"header"),
            transactions: Arc::default(),
            receipts: Arc::default(),
            certificate: Bytes::from_static(b"certificate"),
        };
        let intact = block.to_rows();
        assert_eq!(ArchivedBlock::from_rows(7, &intact).unwrap(), block);
        assert!(ArchivedBlock::from_rows(8, &intact).is_err(), "another height");
        for end in 0..intact.header.len() {
            assert!(ArchivedHeader::from_row(7, &intact.header[..end]).is_err(), "accepted {end} bytes");
        }
        for position in 0..intact.header.len() {
            let mut row = intact.header.clone();
            row[position] ^= 0xff;
            let _ = ArchivedHeader::from_row(7, &row);
        }
        for byte in 0..=u8::MAX {
            let row = [byte; 80];
            assert!(transactions_from_row(7, &row).is_err());
            assert!(receipts_from_row(7, &row).is_err());
        }
    }
}
