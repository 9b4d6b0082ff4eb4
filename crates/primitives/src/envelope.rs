//! A signed transaction of any type that the chain carries.

use crate::CandelaTransaction;
use alloy_consensus::{Transaction, TxEnvelope, Typed2718};
use alloy_eips::{
    eip2718::{Decodable2718, Eip2718Error, Eip2718Result},
    eip2930::AccessList,
    eip7702::SignedAuthorization,
};
use alloy_primitives::{B256, Bytes, ChainId, Sealed, TxKind, U256, keccak256};

/// Ethereum's transaction types, and Candela's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Types 0 to 4.
    Ethereum(TxEnvelope),
    /// Type 0x50 with its hash.
    Candela(Sealed<CandelaTransaction>),
}

impl Envelope {
    /// A transaction of type 0x50 with the Keccak-256 of its EIP-2718 bytes.
    #[must_use]
    pub const fn candela(transaction: CandelaTransaction, hash: B256) -> Self {
        Self::Candela(Sealed::new_unchecked(transaction, hash))
    }

    /// Reads EIP-2718 bytes of any known type.
    ///
    /// # Errors
    /// When the bytes are not exactly one transaction.
    pub fn decode_exact(bytes: &[u8]) -> Eip2718Result<Self> {
        if bytes.first() == Some(&CandelaTransaction::TYPE) {
            let transaction = CandelaTransaction::decode_exact(bytes).map_err(Eip2718Error::RlpError)?;
            return Ok(Self::candela(transaction, keccak256(bytes)));
        }
        TxEnvelope::decode_2718_exact(bytes).map(Self::Ethereum)
    }

    /// Keccak-256 of the EIP-2718 bytes.
    #[must_use]
    pub fn hash(&self) -> B256 {
        match self {
            Self::Ethereum(transaction) => *transaction.tx_hash(),
            Self::Candela(transaction) => transaction.seal(),
        }
    }
}

impl From<TxEnvelope> for Envelope {
    fn from(transaction: TxEnvelope) -> Self {
        Self::Ethereum(transaction)
    }
}

impl From<CandelaTransaction> for Envelope {
    fn from(transaction: CandelaTransaction) -> Self {
        let hash = keccak256(transaction.encoded());
        Self::candela(transaction, hash)
    }
}

macro_rules! delegate {
    ($($method:ident($($argument:ident: $kind:ty)?) -> $result:ty;)*) => {
        $(fn $method(&self $(, $argument: $kind)?) -> $result {
            match self {
                Self::Ethereum(transaction) => transaction.$method($($argument)?),
                Self::Candela(transaction) => transaction.inner().$method($($argument)?),
            }
        })*
    };
}

impl Typed2718 for Envelope {
    delegate! { ty() -> u8; }
}

impl Transaction for Envelope {
    delegate! {
        chain_id() -> Option<ChainId>;
        nonce() -> u64;
        gas_limit() -> u64;
        gas_price() -> Option<u128>;
        max_fee_per_gas() -> u128;
        max_priority_fee_per_gas() -> Option<u128>;
        max_fee_per_blob_gas() -> Option<u128>;
        priority_fee_or_price() -> u128;
        effective_gas_price(base_fee: Option<u64>) -> u128;
        is_dynamic_fee() -> bool;
        kind() -> TxKind;
        is_create() -> bool;
        value() -> U256;
        input() -> &Bytes;
        access_list() -> Option<&AccessList>;
        blob_versioned_hashes() -> Option<&[B256]>;
        authorization_list() -> Option<&[SignedAuthorization]>;
    }
}
