//! The state as a block sees it while it executes: a base version and everything written since.

use crate::BlockHashes;
use alloy_primitives::U512;
use candela_primitives::{
    Account, AccountChange, Address, B256, Bytes, KECCAK256_EMPTY, StateChanges, StateError, StateReader, U256,
    keccak256,
};
use revm::{
    Database, DatabaseCommit,
    bytecode::Bytecode,
    database_interface::DBErrorMarker,
    primitives::{AddressMap, hardfork::SpecId},
    state::{Account as EvmAccount, AccountInfo},
};
use std::collections::HashMap;

/// A slot as the base version has it and as it is now.
#[derive(Clone, Copy, Debug)]
struct Slot {
    original: U256,
    current: U256,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    original: Option<Account>,
    current: Option<Account>,
    storage: HashMap<U256, Slot>,
    cleared: bool,
}

/// Reads through a [`StateReader`], keeps what it read, and records what is written on top.
pub struct StateView<'a> {
    base: &'a dyn StateReader,
    hashes: &'a dyn BlockHashes,
    spec: SpecId,
    entries: HashMap<Address, Entry>,
    codes: HashMap<B256, Bytecode>,
    new_codes: HashMap<B256, Bytes>,
    destroyed: bool,
}

/// [`StateError`] in the clothes that revm asks for.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct ViewError(#[from] pub StateError);

impl DBErrorMarker for ViewError {}

impl<'a> StateView<'a> {
    /// A view without writes yet.
    #[must_use]
    pub fn new(base: &'a dyn StateReader, hashes: &'a dyn BlockHashes, spec: SpecId) -> Self {
        Self {
            base,
            hashes,
            spec,
            entries: HashMap::new(),
            codes: HashMap::new(),
            new_codes: HashMap::new(),
            destroyed: false,
        }
    }

    fn entry(&mut self, address: Address) -> Result<&mut Entry, StateError> {
        use std::collections::hash_map::Entry as Place;
        match self.entries.entry(address) {
            Place::Occupied(place) => Ok(place.into_mut()),
            Place::Vacant(place) => {
                let original = self.base.account(&address)?;
                Ok(place.insert(Entry { original, current: original, ..Entry::default() }))
            }
        }
    }

    /// The account as it is now.
    ///
    /// # Errors
    /// When the base version can't be read.
    pub fn account(&mut self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.entry(address)?.current)
    }

    /// Replaces an account without its storage; `None` removes it.
    ///
    /// # Errors
    /// When the base version can't be read.
    pub fn set_account(&mut self, address: Address, account: Option<Account>) -> Result<(), StateError> {
        self.entry(address)?.current = account;
        Ok(())
    }

    /// Gives an account new code.
    ///
    /// # Errors
    /// When the base version can't be read.
    pub fn set_code(&mut self, address: Address, code: Bytes) -> Result<(), StateError> {
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        let entry = self.entry(address)?;
        entry.current = Some(Account { code_hash, ..entry.current.unwrap_or_default() });
        self.codes.insert(code_hash, bytecode(code.clone()));
        self.new_codes.insert(code_hash, code);
        Ok(())
    }

    /// Sets one storage slot.
    ///
    /// # Errors
    /// When the base version can't be read.
    pub fn set_storage(&mut self, address: Address, slot: U256, value: U256) -> Result<(), StateError> {
        let original = self.base.storage(&address, &slot)?;
        self.entry(address)?.storage.insert(slot, Slot { original, current: value });
        Ok(())
    }

    /// Makes every slot of an account zero.
    ///
    /// # Errors
    /// When the base version can't be read.
    pub fn clear_storage(&mut self, address: Address) -> Result<(), StateError> {
        let entry = self.entry(address)?;
        entry.storage.clear();
        entry.cleared = true;
        Ok(())
    }

    /// Whether a contract destroyed itself, which may have burned its balance.
    #[must_use]
    pub const fn has_destroyed(&self) -> bool {
        self.destroyed
    }

    /// Sums of all touched balances before and after.
    #[must_use]
    pub fn balance_sums(&self) -> (U512, U512) {
        let balance = |account: Option<Account>| account.map_or(U512::ZERO, |account| U512::from(account.balance));
        self.entries.values().fold((U512::ZERO, U512::ZERO), |(before, after), entry| {
            (before + balance(entry.original), after + balance(entry.current))
        })
    }

    /// The difference to the base version.
    #[must_use]
    pub fn changes(&self) -> StateChanges {
        let mut changes = StateChanges::default();
        for (address, entry) in &self.entries {
            let storage = entry
                .storage
                .iter()
                .filter(|(_, slot)| if entry.cleared { !slot.current.is_zero() } else { slot.current != slot.original })
                .map(|(key, slot)| (*key, slot.current))
                .collect::<std::collections::BTreeMap<_, _>>();
            // An account that neither existed before nor exists now has no storage to clear.
            let storage_cleared = entry.cleared && entry.original.is_some();
            if entry.current == entry.original && storage.is_empty() && !storage_cleared {
                continue;
            }
            if let Some(code) = entry.current.and_then(|account| self.new_codes.get_key_value(&account.code_hash)) {
                changes.codes.insert(*code.0, code.1.clone());
            }
            changes.accounts.insert(*address, AccountChange { account: entry.current, storage_cleared, storage });
        }
        changes
    }

    fn commit_account(&mut self, address: Address, account: EvmAccount) {
        self.destroyed |= account.is_selfdestructed();
        let gone = account.is_selfdestructed() || account.state_clear_aware_is_empty(self.spec);
        let code = account.info.code.as_ref().filter(|code| !code.is_empty());
        if let Some(code) = code
            && !self.codes.contains_key(&account.info.code_hash)
        {
            self.codes.insert(account.info.code_hash, code.clone());
            self.new_codes.insert(account.info.code_hash, code.original_bytes());
        }
        let entry = self.entries.entry(address).or_default();
        if account.is_created() || account.is_selfdestructed() {
            entry.storage.clear();
            entry.cleared |= entry.original.is_some() || account.is_selfdestructed();
        }
        if gone {
            entry.current = None;
            return;
        }
        entry.current = Some(Account {
            nonce: account.info.nonce,
            balance: account.info.balance,
            code_hash: if account.info.code_hash.is_zero() { KECCAK256_EMPTY } else { account.info.code_hash },
        });
        for (key, slot) in account.changed_storage_slots() {
            let original = if entry.cleared { U256::ZERO } else { slot.original_value };
            entry
                .storage
                .entry(*key)
                .and_modify(|known| known.current = slot.present_value)
                .or_insert(Slot { original, current: slot.present_value });
        }
    }
}

/// Bytes as stored, with EIP-7702 designators recognised; anything else runs as legacy code.
fn bytecode(code: Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}

impl Database for StateView<'_> {
    type Error = ViewError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ViewError> {
        Ok(self.account(address)?.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: None,
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, ViewError> {
        if let Some(code) = self.codes.get(&code_hash) {
            return Ok(code.clone());
        }
        let code = bytecode(self.base.code(&code_hash)?);
        self.codes.insert(code_hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ViewError> {
        let base = self.base;
        let entry = self.entry(address)?;
        if let Some(known) = entry.storage.get(&slot) {
            return Ok(known.current);
        }
        let value = if entry.cleared || entry.original.is_none() { U256::ZERO } else { base.storage(&address, &slot)? };
        entry.storage.insert(slot, Slot { original: value, current: value });
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ViewError> {
        Ok(self.hashes.block_hash(number).unwrap_or_default())
    }
}

impl DatabaseCommit for StateView<'_> {
    fn commit(&mut self, changes: AddressMap<EvmAccount>) {
        for (address, account) in changes {
            if account.is_touched() {
                self.commit_account(address, account);
            }
        }
    }
}
