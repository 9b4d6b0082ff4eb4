//! A transaction whose bytes have been decoded, and whose signature has been checked, exactly once.

use crate::Envelope;
use alloy_primitives::{Address, B256, Bytes};
use std::ops::Deref;

/// A decoded transaction together with its canonical bytes, its hash and its sender.
///
/// Only `candela-signing` makes one from untrusted bytes; holding a value means that its signature has been checked.
/// Whether a [session key](Self::session_key) may act for the sender is a question for the state.
/// Dereferences to [`Envelope`], so every `alloy_consensus::Transaction` accessor is available on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    envelope: Envelope,
    encoded: Bytes,
    sender: Address,
}

impl Transaction {
    /// Joins an envelope with its EIP-2718 bytes and the sender that its signature was found to belong to.
    ///
    /// The caller vouches for all three belonging together; `candela_signing::decode` does the checking.
    #[must_use]
    pub fn new_unchecked(envelope: impl Into<Envelope>, encoded: Bytes, sender: Address) -> Self {
        Self { envelope: envelope.into(), encoded, sender }
    }

    /// The signed envelope.
    #[must_use]
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The EIP-2718 bytes, as they were received.
    #[must_use]
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The account that acts and pays.
    #[must_use]
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// The Ed25519 public key that signed in the sender's place; `None` when the sender's own key did.
    #[must_use]
    pub fn session_key(&self) -> Option<B256> {
        match &self.envelope {
            Envelope::Ethereum(_) => None,
            Envelope::Candela(transaction) => transaction.session().map(|(key, _)| key),
        }
    }

    /// Keccak-256 of the EIP-2718 bytes.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.envelope.hash()
    }
}

impl Deref for Transaction {
    type Target = Envelope;

    fn deref(&self) -> &Envelope {
        &self.envelope
    }
}
