//! A small state in memory.

use candela_primitives::{
    Account, Address, B256, Bytes, KECCAK256_EMPTY, StateChanges, StateError, StateReader, U256, keccak256,
};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryState {
    accounts: BTreeMap<Address, Account>,
    storage: BTreeMap<(Address, U256), U256>,
    codes: BTreeMap<B256, Bytes>,
}

impl MemoryState {
    pub(crate) fn insert(&mut self, address: Address, nonce: u64, balance: U256, code: Bytes) {
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        self.codes.insert(code_hash, code);
        self.accounts.insert(address, Account { nonce, balance, code_hash });
    }

    pub(crate) fn set(&mut self, address: Address, slot: U256, value: U256) {
        self.storage.insert((address, slot), value);
    }

    pub(crate) fn nonce(&self, address: &Address) -> u64 {
        self.accounts.get(address).map_or(0, |account| account.nonce)
    }

    pub(crate) fn apply(&mut self, changes: &StateChanges) {
        for (address, change) in &changes.accounts {
            if change.storage_cleared {
                self.storage.retain(|(owner, _), _| owner != address);
            }
            match change.account {
                Some(account) => self.accounts.insert(*address, account),
                None => self.accounts.remove(address),
            };
            for (slot, value) in &change.storage {
                self.storage.insert((*address, *slot), *value);
            }
        }
        self.codes.extend(changes.codes.clone());
    }
}

impl StateReader for MemoryState {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(address).copied())
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        Ok(self.storage.get(&(*address, *slot)).copied().unwrap_or_default())
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        if *code_hash == KECCAK256_EMPTY {
            return Ok(Bytes::new());
        }
        self.codes.get(code_hash).cloned().ok_or_else(|| StateError(format!("no code {code_hash}")))
    }
}
