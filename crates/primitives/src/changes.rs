//! What a block reads from and writes to the state.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use std::collections::BTreeMap;

/// An account without its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent, or contracts created by a contract.
    pub nonce: u64,
    /// Balance in nit.
    pub balance: U256,
    /// Keccak-256 of the code; [`KECCAK256_EMPTY`] without code.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY }
    }
}

/// What one block did to one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The account afterwards; `None` when it no longer exists.
    pub account: Option<Account>,
    /// Every slot not listed in `storage` became zero (the contract was destroyed or created anew).
    pub storage_cleared: bool,
    /// Slots and their values afterwards; zero deletes.
    pub storage: BTreeMap<U256, U256>,
}

/// The ordered difference between the states before and after a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// Changed accounts.
    pub accounts: BTreeMap<Address, AccountChange>,
    /// New code by its Keccak-256.
    pub codes: BTreeMap<B256, Bytes>,
}

impl StateChanges {
    /// Applies `later` on top of `self`, so that `self` describes both.
    pub fn extend(&mut self, later: &Self) {
        for (address, change) in &later.accounts {
            let merged = self.accounts.entry(*address).or_default();
            if change.storage_cleared {
                merged.storage.clear();
                merged.storage_cleared = true;
            }
            merged.account = change.account;
            merged.storage.extend(change.storage.iter().map(|(slot, value)| (*slot, *value)));
        }
        self.codes.extend(later.codes.iter().map(|(hash, code)| (*hash, code.clone())));
    }
}

/// The store behind a [`StateReader`] failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("state could not be read: {0}")]
pub struct StateError(pub String);

/// Reads one fixed version of the state.
///
/// Implementations answer from one consistent version for as long as they live.
pub trait StateReader: Send + Sync {
    /// The account, or `None` when it does not exist.
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError>;
    /// The value of a storage slot; zero when unset.
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError>;
    /// Code by its Keccak-256; empty for [`KECCAK256_EMPTY`].
    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError>;
}

impl<T: StateReader + ?Sized> StateReader for std::sync::Arc<T> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        (**self).account(address)
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        (**self).storage(address, slot)
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        (**self).code(code_hash)
    }
}
