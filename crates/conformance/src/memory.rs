//! A state in memory with Ethereum's root.

use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use candela_primitives::{
    Account, Address, B256, Bytes, KECCAK256_EMPTY, StateChanges, StateError, StateReader, U256, keccak256,
};
use std::collections::{BTreeMap, HashMap};

/// Every account, slot and code of a chain, and nothing of its past.
#[derive(Clone, Debug, Default)]
pub struct MemoryState {
    accounts: BTreeMap<Address, Account>,
    storage: HashMap<Address, BTreeMap<U256, U256>>,
    codes: HashMap<B256, Bytes>,
}

impl MemoryState {
    /// Puts an account there, replacing what was.
    pub fn insert(&mut self, address: Address, nonce: u64, balance: U256, code: Bytes, storage: BTreeMap<U256, U256>) {
        let code_hash = self.insert_code(code);
        self.accounts.insert(address, Account { nonce, balance, code_hash });
        self.storage.insert(address, storage.into_iter().filter(|(_, value)| !value.is_zero()).collect());
    }

    /// Makes code known; returns its hash.
    pub fn insert_code(&mut self, code: Bytes) -> B256 {
        if code.is_empty() {
            return KECCAK256_EMPTY;
        }
        let code_hash = keccak256(&code);
        self.codes.insert(code_hash, code);
        code_hash
    }

    /// Applies what a block did.
    pub fn apply(&mut self, changes: &StateChanges) {
        for (address, change) in &changes.accounts {
            let storage = self.storage.entry(*address).or_default();
            if change.storage_cleared || change.account.is_none() {
                storage.clear();
            }
            for (slot, value) in &change.storage {
                if value.is_zero() {
                    storage.remove(slot);
                } else {
                    storage.insert(*slot, *value);
                }
            }
            match change.account {
                Some(account) if account.code_hash.is_zero() => {
                    self.accounts.insert(*address, Account { code_hash: KECCAK256_EMPTY, ..account })
                }
                Some(account) => self.accounts.insert(*address, account),
                None => self.accounts.remove(address),
            };
        }
        self.codes.extend(changes.codes.iter().map(|(hash, code)| (*hash, code.clone())));
    }

    /// The accounts in order of their addresses.
    pub fn accounts(&self) -> impl Iterator<Item = (&Address, &Account)> {
        self.accounts.iter()
    }

    /// The slots of an account that are not zero.
    pub fn slots(&self, address: &Address) -> impl Iterator<Item = (U256, U256)> + '_ {
        self.storage.get(address).into_iter().flatten().map(|(slot, value)| (*slot, *value))
    }

    /// Root of an account's storage in Ethereum's Merkle-Patricia trie.
    #[must_use]
    pub fn storage_root(&self, address: &Address) -> B256 {
        storage_root_unhashed(self.slots(address).map(|(slot, value)| (B256::from(slot), value)))
    }

    /// Root of all accounts in Ethereum's Merkle-Patricia trie.
    #[must_use]
    pub fn root(&self) -> B256 {
        state_root_unhashed(self.accounts.iter().map(|(address, account)| {
            let leaf = TrieAccount {
                nonce: account.nonce,
                balance: account.balance,
                storage_root: self.storage_root(address),
                code_hash: account.code_hash,
            };
            (*address, leaf)
        }))
    }
}

/// EIP-7610: creating a contract over an account that has storage collides even without nonce and code there. Only tests
/// make such accounts; the engine sees the collision because they are read with a code hash of zero.
impl StateReader for MemoryState {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(address).map(|account| {
            let bare = account.nonce == 0 && account.code_hash == KECCAK256_EMPTY;
            let code_hash = if bare && self.slots(address).next().is_some() { B256::ZERO } else { account.code_hash };
            Account { code_hash, ..*account }
        }))
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        Ok(self.storage.get(address).and_then(|slots| slots.get(slot)).copied().unwrap_or_default())
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        if *code_hash == KECCAK256_EMPTY || code_hash.is_zero() {
            return Ok(Bytes::new());
        }
        self.codes.get(code_hash).cloned().ok_or_else(|| StateError(format!("no code with hash {code_hash}")))
    }
}
