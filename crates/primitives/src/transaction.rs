//! A transaction whose bytes have been decoded, and whose sender has been recovered, exactly once.

use alloy_consensus::TxEnvelope;
use alloy_primitives::{Address, B256, Bytes};
use std::ops::Deref;

/// A decoded transaction together with its canonical bytes, its hash and its sender.
///
/// Only `candela-signing` makes one from untrusted bytes; holding a value means that its signature has been checked.
/// Dereferences to [`TxEnvelope`], so every `alloy_consensus::Transaction` accessor is available on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    envelope: TxEnvelope,
    encoded: Bytes,
    sender: Address,
}

impl Transaction {
    /// Joins an envelope with its EIP-2718 bytes and the sender that its signature was found to belong to.
    ///
    /// The caller vouches for all three belonging together; `candela_signing::decode` does the checking.
    #[must_use]
    pub const fn new_unchecked(envelope: TxEnvelope, encoded: Bytes, sender: Address) -> Self {
        Self { envelope, encoded, sender }
    }

    /// The signed envelope.
    #[must_use]
    pub const fn envelope(&self) -> &TxEnvelope {
        &self.envelope
    }

    /// The EIP-2718 bytes, as they were received.
    #[must_use]
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The account that signed it.
    #[must_use]
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// Keccak-256 of the EIP-2718 bytes.
    #[must_use]
    pub fn hash(&self) -> B256 {
        *self.envelope.tx_hash()
    }
}

impl Deref for Transaction {
    type Target = TxEnvelope;

    fn deref(&self) -> &TxEnvelope {
        &self.envelope
    }
}
