//! Sign transactions with a secp256k1 key.

use alloy_consensus::{SignableTransaction, TxEnvelope, TypedTransaction};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::Signature;
use candela_primitives::{Address, B256, Transaction, keccak256};
use k256::ecdsa::SigningKey;

/// A secp256k1 secret key; it appears in no `Debug` output.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// Why a key or a signature could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Zero, or not below the curve order, or not 32 bytes.
    #[error("not a secp256k1 secret key: it must be 32 bytes, not zero, and below the curve order")]
    Key,
    /// Type 3 is not carried by this chain.
    #[error("transaction type not supported: blob transactions (type 3) are not carried by this chain")]
    Blob,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SecretKey({})", self.address())
    }
}

impl SecretKey {
    /// Reads 32 big-endian bytes.
    ///
    /// # Errors
    /// When they are no key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        SigningKey::from_slice(bytes).map(Self).map_err(|_| KeyError::Key)
    }

    /// The Ethereum address of the key.
    #[must_use]
    pub fn address(&self) -> Address {
        let point = self.0.verifying_key().to_sec1_point(false);
        Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
    }

    /// Signs a 32-byte digest; the signature has a low s (EIP-2).
    #[must_use]
    pub fn sign_digest(&self, digest: &B256) -> Signature {
        let (signature, recovery) = self.0.sign_prehash_recoverable(digest.as_slice());
        let bytes = signature.to_bytes();
        let (r, s) = bytes.split_at(32);
        Signature::from_scalars_and_parity(B256::from_slice(r), B256::from_slice(s), recovery.is_y_odd())
    }
}

/// Signs `fields` with `key` (RFC 6979, so equal input gives equal bytes).
///
/// # Errors
/// When the transaction is of a type that Candela does not carry.
pub fn sign_transaction(fields: TypedTransaction, key: &SecretKey) -> Result<Transaction, KeyError> {
    let signature = key.sign_digest(&fields.signature_hash());
    let envelope = match fields {
        TypedTransaction::Legacy(tx) => TxEnvelope::Legacy(tx.into_signed(signature)),
        TypedTransaction::Eip2930(tx) => TxEnvelope::Eip2930(tx.into_signed(signature)),
        TypedTransaction::Eip1559(tx) => TxEnvelope::Eip1559(tx.into_signed(signature)),
        TypedTransaction::Eip7702(tx) => TxEnvelope::Eip7702(tx.into_signed(signature)),
        TypedTransaction::Eip4844(_) => return Err(KeyError::Blob),
    };
    let encoded = envelope.encoded_2718().into();
    Ok(Transaction::new_unchecked(envelope, encoded, key.address()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address;

    #[test]
    fn the_address_of_key_one_is_the_known_one() {
        let mut bytes = [0; 32];
        bytes[31] = 1;
        let key = SecretKey::from_bytes(&bytes).unwrap();
        assert_eq!(key.address(), address!("0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"));
    }

    #[test]
    fn zero_is_no_key_and_debug_shows_no_secret() {
        assert_eq!(SecretKey::from_bytes(&[0; 32]).unwrap_err(), KeyError::Key);
        let key = SecretKey::from_bytes(&[0xab; 32]).unwrap();
        assert!(!format!("{key:?}").contains("abab"));
    }
}
