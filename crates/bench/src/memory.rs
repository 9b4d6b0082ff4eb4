//! A state in memory that is as quick to read as can be, so that execution alone is measured.

use candela_primitives::{Account, Address, B256, Bytes, KECCAK256_EMPTY, StateChanges, StateError, StateReader, U256};
use std::collections::HashMap;

/// Every account, slot and code.
#[derive(Clone, Debug, Default)]
pub struct MemoryState {
    accounts: HashMap<Address, Account>,
    storage: HashMap<(Address, U256), U256>,
    codes: HashMap<B256, Bytes>,
}

impl MemoryState {
    /// Gives an account a balance in nit.
    pub fn fund(&mut self, address: Address, balance: U256) {
        self.accounts.insert(address, Account { balance, ..Account::default() });
    }

    /// Applies what a block did.
    pub fn apply(&mut self, changes: &StateChanges) {
        for (address, change) in &changes.accounts {
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
        self.codes.get(code_hash).cloned().ok_or_else(|| StateError(format!("code {code_hash} is missing")))
    }
}
