//! What the tree's leaves are called and how their values are encoded.

use candela_primitives::{Account, Address, B256, U256};
use sha2::{Digest, Sha256};

/// Something that a root commits to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// An account without its storage.
    Account(Address),
    /// One storage slot of an account.
    Slot(Address, U256),
}

impl Key {
    /// Position of the leaf in the tree.
    #[must_use]
    pub fn path(&self) -> B256 {
        match self {
            Self::Account(address) => sha256(address.as_slice()),
            Self::Slot(address, slot) => sha256(&slot_row(address, slot)),
        }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> B256 {
    B256::from_slice(&Sha256::digest(bytes))
}

pub(crate) fn slot_row(address: &Address, slot: &U256) -> [u8; 52] {
    let mut row = [0; 52];
    row[..20].copy_from_slice(address.as_slice());
    row[20..].copy_from_slice(&slot.to_be_bytes::<32>());
    row
}

/// Value bytes of an account leaf.
#[must_use]
pub fn account_value(account: &Account) -> [u8; 72] {
    let mut bytes = [0; 72];
    bytes[..8].copy_from_slice(&account.nonce.to_be_bytes());
    bytes[8..40].copy_from_slice(&account.balance.to_be_bytes::<32>());
    bytes[40..].copy_from_slice(account.code_hash.as_slice());
    bytes
}

/// Value bytes of a slot leaf; a slot that is zero has none.
#[must_use]
pub fn slot_value(value: &U256) -> Option<[u8; 32]> {
    (!value.is_zero()).then(|| value.to_be_bytes())
}

pub(crate) fn decode_account(bytes: &[u8; 72]) -> Account {
    let (nonce, rest) = bytes.split_at(8);
    let mut number = [0; 8];
    number.copy_from_slice(nonce);
    Account {
        nonce: u64::from_be_bytes(number),
        balance: U256::from_be_slice(&rest[..32]),
        code_hash: B256::from_slice(&rest[32..]),
    }
}
