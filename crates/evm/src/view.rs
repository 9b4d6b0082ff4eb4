//! The state as a block sees it while it executes: a base version and everything written since.

use crate::{
    BlockHashes,
    claim::{BalanceUse, Conflict, Groups},
    overlay::{Entry, Order, Overlay, Slot},
    session,
};
use alloy_eip7928::AccountChanges;
use alloy_primitives::U512;
use candela_primitives::{
    Account, Address, B256, Bytes, KECCAK256_EMPTY, SESSION_KEYS, StateChanges, StateError, StateReader, Transaction,
    U256, keccak256,
};
use revm::{
    Database, DatabaseCommit,
    bytecode::Bytecode,
    database_interface::DBErrorMarker,
    primitives::{AddressMap, hardfork::SpecId},
    state::{Account as EvmAccount, AccountInfo},
};
use std::sync::Arc;

/// Reads through a [`StateReader`], keeps what it read, and records what is written on top.
pub struct StateView<'a> {
    base: &'a dyn StateReader,
    hashes: &'a dyn BlockHashes,
    spec: SpecId,
    /// What earlier parts of the block did, when others execute beside this view.
    pub(crate) below: Option<Arc<Overlay>>,
    pub(crate) over: Overlay,
    /// Position of the transaction that executes.
    pub(crate) position: u32,
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
        Self { base, hashes, spec, below: None, over: Overlay::default(), position: 0 }
    }

    fn load(&mut self, address: Address) -> Result<&mut Entry, StateError> {
        // Looked up twice because a borrow that is returned can't be given up.
        if self.over.get(&address).is_none() {
            let known = self.below.as_ref().and_then(|below| below.get(&address));
            let account = match known {
                Some(entry) => entry.current,
                None => self.base.account(&address)?,
            };
            return Ok(self.over.insert(address, Entry::read(account)));
        }
        self.over.get_mut(&address).ok_or_else(|| StateError("an account vanished from the view".into()))
    }

    /// The value that a slot has below this view.
    fn slot_below(&self, address: &Address, slot: &U256, existed: bool) -> Result<U256, StateError> {
        if let Some(entry) = self.below.as_ref().and_then(|below| below.get(address)) {
            if let Some(known) = entry.storage.get(slot) {
                return Ok(known.current);
            }
            if entry.cleared {
                return Ok(U256::ZERO);
            }
        }
        if existed { self.base.storage(address, slot) } else { Ok(U256::ZERO) }
    }

    /// The account as it is now.
    ///
    /// # Errors
    /// When the base version can't be read.
    pub fn account(&mut self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.load(address)?.current)
    }

    /// Replaces an account without its storage; `None` removes it.
    ///
    /// # Errors
    /// When the base version can't be read.
    pub fn set_account(&mut self, address: Address, account: Option<Account>) -> Result<(), StateError> {
        let position = self.position;
        self.load(address)?.write(position, account);
        Ok(())
    }

    /// Gives an account new code.
    ///
    /// # Errors
    /// When the base version can't be read.
    pub fn set_code(&mut self, address: Address, code: Bytes) -> Result<(), StateError> {
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        let position = self.position;
        let entry = self.load(address)?;
        entry.write(position, Some(Account { code_hash, ..entry.current.unwrap_or_default() }));
        self.over.codes.insert(code_hash, bytecode(code));
        Ok(())
    }

    /// Sets one storage slot.
    ///
    /// # Errors
    /// When the base version can't be read.
    pub fn set_storage(&mut self, address: Address, slot: U256, value: U256) -> Result<(), StateError> {
        let position = self.position;
        Database::storage(self, address, slot).map_err(|ViewError(error)| error)?;
        let entry = self.load(address)?;
        if let Some(known) = entry.storage.get_mut(&slot) {
            known.write(position, value);
        }
        Ok(())
    }

    /// Makes every slot of an account zero.
    ///
    /// # Errors
    /// When the base version can't be read.
    pub fn clear_storage(&mut self, address: Address) -> Result<(), StateError> {
        let position = self.position;
        let entry = self.load(address)?;
        entry.storage.values_mut().for_each(|slot| slot.write(position, U256::ZERO));
        entry.cleared = true;
        Ok(())
    }

    /// Whether a contract destroyed itself, which may have burned its balance.
    #[must_use]
    pub const fn has_destroyed(&self) -> bool {
        self.over.destroyed
    }

    /// Sums of all touched balances before and after.
    #[must_use]
    pub fn balance_sums(&self) -> (U512, U512) {
        self.over.balance_sums()
    }

    /// The difference to the base version.
    #[must_use]
    pub fn changes(&self) -> StateChanges {
        self.over.changes()
    }

    /// What each transaction read and wrote (EIP-7928), the view's own writes under index 0.
    #[must_use]
    pub fn access_list(&self) -> Vec<AccountChanges> {
        self.over.access_list(&Order(None))
    }

    /// Commits what a transaction did to one account.
    fn commit_account(&mut self, address: Address, account: &EvmAccount) {
        self.over.destroyed |= account.is_selfdestructed();
        self.keep_code(account);
        let (position, after) = (self.position, self.after(account));
        let Some(entry) = self.over.get_mut(&address) else { return };
        entry.accessed = true;
        let Some(after) = after else {
            account.storage.keys().for_each(|key| access(entry, key, position, None));
            return;
        };
        write_account(entry, position, account, after);
    }

    /// The account after a transaction that touched it; `None` when it did not.
    fn after(&self, account: &EvmAccount) -> Option<Option<Account>> {
        if !account.is_touched() {
            return None;
        }
        let gone = account.is_selfdestructed() || account.state_clear_aware_is_empty(self.spec);
        Some((!gone).then(|| Account {
            nonce: account.info.nonce,
            balance: account.info.balance,
            code_hash: if account.info.code_hash.is_zero() { KECCAK256_EMPTY } else { account.info.code_hash },
        }))
    }

    fn keep_code(&mut self, account: &EvmAccount) {
        let Some(code) = account.info.code.as_ref().filter(|code| !code.is_empty()) else { return };
        if account.is_touched() {
            self.over.codes.entry(account.info.code_hash).or_insert_with(|| code.clone());
        }
    }

    /// Notes what a transaction used, before [`DatabaseCommit::commit`]; `credited` is an account that it paid without
    /// looking at its balance. Returns the first clash with a transaction of another group.
    pub(crate) fn claim(
        &mut self,
        changes: &AddressMap<EvmAccount>,
        credited: Option<Address>,
        groups: &Groups,
    ) -> Option<(Conflict, Address)> {
        let position = self.position;
        let mut clash = None;
        for (address, account) in changes {
            let after = self.after(account);
            let Some(entry) = self.over.get_mut(address) else { continue };
            let before = entry.current.unwrap_or_default();
            let now = after.map_or(before, Option::unwrap_or_default);
            let reset = account.is_touched() && (account.is_created() || account.is_selfdestructed());
            let writes = reset || before.nonce != now.nonce || before.code_hash != now.code_hash;
            let hollow = entry.current == Some(Account::default());
            let balance = if credited == Some(*address) && !writes && !hollow && before.balance <= now.balance {
                if before.balance == now.balance { BalanceUse::Nothing } else { BalanceUse::Credit }
            } else if before.balance == now.balance {
                BalanceUse::Exact
            } else {
                BalanceUse::Write
            };
            let mut found = entry.claim.touch(position, writes, balance, groups);
            for (key, slot) in &account.storage {
                let Some(known) = entry.storage.get_mut(key) else { continue };
                let changed = known.current != slot.present_value;
                let claim = &mut known.claim;
                found = found.or(if changed { claim.write(position, groups) } else { claim.read(position, groups) });
            }
            clash = clash.or(found.map(|conflict| (conflict, *address)));
        }
        clash
    }

    /// Notes that a transaction was left out because of what its sender, or its session key, looked like.
    pub(crate) fn claim_refusal(&mut self, transaction: &Transaction, groups: &Groups) -> Option<(Conflict, Address)> {
        let (position, sender) = (self.position, transaction.sender());
        let mut clash = None;
        if let Some(entry) = self.over.get_mut(&sender) {
            let found = entry.claim.touch(position, false, BalanceUse::Exact, groups);
            clash = found.map(|conflict| (conflict, sender));
        }
        let slots = session::slots(transaction);
        if let Some(entry) = self.over.get_mut(&SESSION_KEYS).filter(|_| !slots.is_empty()) {
            let mut found = entry.claim.touch(position, false, BalanceUse::Nothing, groups);
            for slot in slots {
                found = found.or(entry.storage.get_mut(&slot).and_then(|slot| slot.claim.read(position, groups)));
            }
            clash = clash.or(found.map(|conflict| (conflict, SESSION_KEYS)));
        }
        clash
    }
}

/// Notes a slot that a transaction used, and what it left there.
fn access(entry: &mut Entry, key: &U256, position: u32, value: Option<U256>) {
    // The slots of a contract that was just created are not read from below: they are zero.
    let slot = entry.storage.entry(*key).or_insert_with(|| Slot::read(U256::ZERO));
    slot.accessed = true;
    if let Some(value) = value {
        slot.write(position, value);
    }
}

fn write_account(entry: &mut Entry, position: u32, account: &EvmAccount, after: Option<Account>) {
    if account.is_created() || account.is_selfdestructed() {
        let others = entry.storage.iter_mut().filter(|(key, _)| !account.storage.contains_key(*key));
        others.for_each(|(_, slot)| slot.write(position, U256::ZERO));
        entry.cleared |= entry.original.is_some() || account.is_selfdestructed();
    }
    for (key, slot) in &account.storage {
        let value = if after.is_some() { slot.present_value } else { U256::ZERO };
        access(entry, key, position, Some(value));
    }
    entry.write(position, after);
}

/// Bytes as stored, with EIP-7702 designators recognised; anything else runs as legacy code.
pub(crate) fn bytecode(code: Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}

pub(crate) fn account_info(account: Account) -> AccountInfo {
    AccountInfo {
        balance: account.balance,
        nonce: account.nonce,
        code_hash: account.code_hash,
        code: None,
        ..AccountInfo::default()
    }
}

impl Database for StateView<'_> {
    type Error = ViewError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ViewError> {
        Ok(self.account(address)?.map(account_info))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, ViewError> {
        if let Some(code) = self.over.codes.get(&code_hash) {
            return Ok(code.clone());
        }
        let known = self.below.as_ref().and_then(|below| below.codes.get(&code_hash).cloned());
        let code = match known {
            Some(code) => code,
            None => bytecode(self.base.code(&code_hash)?),
        };
        self.over.codes.insert(code_hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ViewError> {
        let entry = self.load(address)?;
        if let Some(known) = entry.storage.get(&slot) {
            return Ok(known.current);
        }
        let (cleared, existed) = (entry.cleared, entry.original.is_some());
        let value = if cleared { U256::ZERO } else { self.slot_below(&address, &slot, existed)? };
        self.load(address)?.storage.insert(slot, Slot::read(value));
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ViewError> {
        Ok(self.hashes.block_hash(number).unwrap_or_default())
    }
}

impl DatabaseCommit for StateView<'_> {
    fn commit(&mut self, changes: AddressMap<EvmAccount>) {
        changes.iter().for_each(|(address, account)| self.commit_account(*address, account));
    }
}
