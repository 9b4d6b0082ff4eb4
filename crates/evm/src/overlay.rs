//! What a block has read and written so far, by account, with every change and who made it.

use crate::claim::{AccountClaim, SlotClaim};
use alloy_eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, CodeChange, NonceChange, SlotChanges, StorageChange,
};
use alloy_primitives::U512;
use candela_primitives::{Account, AccountChange, Address, B256, Bytes, KECCAK256_EMPTY, StateChanges, U256};
use revm::bytecode::Bytecode;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Hash maps with a seed of their own, so that nobody can choose keys that collide. Their order is never used.
pub(crate) type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// Values after the transactions (by [`Overlay`]'s positions) that changed them.
pub(crate) type History<T> = SmallVec<[(u32, T); 1]>;

/// A slot as the version below has it and as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) original: U256,
    pub(crate) current: U256,
    /// Whether an included transaction read or wrote it.
    pub(crate) accessed: bool,
    pub(crate) changes: History<U256>,
    pub(crate) claim: SlotClaim,
}

impl Slot {
    pub(crate) fn read(value: U256) -> Self {
        Self { original: value, current: value, accessed: false, changes: History::new(), claim: SlotClaim::default() }
    }

    pub(crate) fn write(&mut self, position: u32, value: U256) {
        if self.current != value {
            self.current = value;
            self.changes.push((position, value));
        }
    }
}

/// An account as the version below has it and as it is now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) original: Option<Account>,
    pub(crate) current: Option<Account>,
    pub(crate) storage: Map<U256, Slot>,
    /// Created or destroyed: what the version below has in storage counts no more.
    pub(crate) cleared: bool,
    /// Whether an included transaction touched it.
    pub(crate) accessed: bool,
    pub(crate) balances: History<U256>,
    pub(crate) nonces: History<u64>,
    pub(crate) codes: Vec<(u32, B256)>,
    pub(crate) claim: AccountClaim,
}

impl Entry {
    pub(crate) fn read(account: Option<Account>) -> Self {
        Self { original: account, current: account, ..Self::default() }
    }

    /// Replaces the account and notes what that changed.
    pub(crate) fn write(&mut self, position: u32, account: Option<Account>) {
        let (before, after) = (self.current.unwrap_or_default(), account.unwrap_or_default());
        if before.balance != after.balance {
            self.balances.push((position, after.balance));
        }
        if before.nonce != after.nonce {
            self.nonces.push((position, after.nonce));
        }
        if before.code_hash != after.code_hash {
            self.codes.push((position, after.code_hash));
        }
        self.current = account;
    }

    fn storage_change(&self) -> BTreeMap<U256, U256> {
        let changed = |slot: &Slot| if self.cleared { !slot.current.is_zero() } else { slot.current != slot.original };
        let mut slots: Vec<_> =
            self.storage.iter().filter(|(_, slot)| changed(slot)).map(|(key, slot)| (*key, slot.current)).collect();
        slots.sort_unstable_by_key(|(key, _)| *key);
        slots.into_iter().collect()
    }

    /// What the block did to the account; `None` when nothing.
    fn change(&self) -> Option<AccountChange> {
        let storage = self.storage_change();
        // An account that neither existed before nor exists now has no storage to clear.
        let storage_cleared = self.cleared && self.original.is_some();
        if self.current == self.original && storage.is_empty() && !storage_cleared {
            return None;
        }
        Some(AccountChange { account: self.current, storage_cleared, storage })
    }

    fn accesses(&self, address: Address, order: &Order<'_>, code: impl Fn(&B256) -> Bytes) -> AccountChanges {
        let at = |position: u32| BlockAccessIndex::new(order.index(position));
        let (mut storage_changes, mut storage_reads) = (Vec::new(), Vec::new());
        for (key, slot) in self.storage.iter().filter(|(_, slot)| slot.accessed) {
            if slot.changes.is_empty() {
                storage_reads.push(*key);
            } else {
                let changes = slot.changes.iter().map(|(position, value)| StorageChange::new(at(*position), *value));
                storage_changes.push(SlotChanges::new(*key, changes.collect()));
            }
        }
        storage_changes.sort_unstable_by_key(|change| change.slot);
        storage_reads.sort_unstable();
        let balances = self.balances.iter().map(|(position, balance)| BalanceChange::new(at(*position), *balance));
        let nonces = self.nonces.iter().map(|(position, nonce)| NonceChange::new(at(*position), *nonce));
        let codes = self.codes.iter().map(|(position, hash)| CodeChange::new(at(*position), code(hash)));
        AccountChanges {
            address,
            storage_changes,
            storage_reads,
            balance_changes: balances.collect(),
            nonce_changes: nonces.collect(),
            code_changes: codes.collect(),
        }
    }
}

/// Turns the positions at which transactions were tried into EIP-7928 indexes of those that were included.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a>(pub(crate) Option<&'a [u32]>);

impl Order<'_> {
    fn index(&self, position: u32) -> u64 {
        u64::from(self.0.map_or(position, |indexes| indexes[position as usize]))
    }
}

/// How many parts an overlay has; each holds a range of addresses, so that parts can be worked on side by side and then
/// joined in order.
pub(crate) const SHARDS: usize = 8;

/// Which part an address belongs to.
pub(crate) const fn shard_of(address: &Address) -> usize {
    (address.0.0[0] >> 5) as usize
}

/// One part of an overlay.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    index: Map<Address, u32>,
    entries: Vec<(Address, Entry)>,
}

impl Shard {
    pub(crate) fn get(&self, address: &Address) -> Option<&Entry> {
        self.index.get(address).map(|at| &self.entries[*at as usize].1)
    }

    pub(crate) fn get_mut(&mut self, address: &Address) -> Option<&mut Entry> {
        self.index.get(address).map(|at| &mut self.entries[*at as usize].1)
    }

    pub(crate) fn insert(&mut self, address: Address, entry: Entry) -> &mut Entry {
        let at = self.entries.len();
        self.index.insert(address, u32::try_from(at).unwrap_or(u32::MAX));
        self.entries.push((address, entry));
        &mut self.entries[at].1
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Address, &Entry)> {
        self.entries.iter().map(|(address, entry)| (address, entry))
    }

    pub(crate) fn drain(&mut self) -> std::vec::Drain<'_, (Address, Entry)> {
        self.index.clear();
        self.entries.drain(..)
    }

    fn sorted(&self) -> Vec<&(Address, Entry)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(address, _)| *address);
        entries
    }

    /// Changed accounts in order.
    pub(crate) fn changes(&self) -> Vec<(Address, AccountChange)> {
        self.sorted().into_iter().filter_map(|(address, entry)| Some((*address, entry.change()?))).collect()
    }

    /// Accessed accounts in order, with what each transaction did to them.
    pub(crate) fn access_list(&self, order: &Order<'_>, code: impl Fn(&B256) -> Bytes) -> Vec<AccountChanges> {
        let accessed = self.sorted().into_iter().filter(|(_, entry)| entry.accessed);
        accessed.map(|(address, entry)| entry.accesses(*address, order, &code)).collect()
    }

    /// Sums of all balances before and after.
    pub(crate) fn balance_sums(&self) -> (U512, U512) {
        let balance = |account: Option<Account>| account.map_or(U512::ZERO, |account| U512::from(account.balance));
        self.entries.iter().fold((U512::ZERO, U512::ZERO), |(before, after), (_, entry)| {
            (before + balance(entry.original), after + balance(entry.current))
        })
    }
}

/// Everything that a block has read and written so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    pub(crate) shards: [Shard; SHARDS],
    /// Code that was run or made, ready to run.
    pub(crate) codes: Map<B256, Bytecode>,
    /// Whether a contract destroyed itself, which may have burned its balance.
    pub(crate) destroyed: bool,
}

impl Overlay {
    pub(crate) fn get(&self, address: &Address) -> Option<&Entry> {
        self.shards[shard_of(address)].get(address)
    }

    pub(crate) fn get_mut(&mut self, address: &Address) -> Option<&mut Entry> {
        self.shards[shard_of(address)].get_mut(address)
    }

    pub(crate) fn insert(&mut self, address: Address, entry: Entry) -> &mut Entry {
        self.shards[shard_of(&address)].insert(address, entry)
    }

    pub(crate) fn code(&self, hash: &B256) -> Bytes {
        if *hash == KECCAK256_EMPTY {
            return Bytes::new();
        }
        self.codes.get(hash).map(Bytecode::original_bytes).unwrap_or_default()
    }

    /// Joins what [`Shard::changes`] gave for each part.
    pub(crate) fn join_changes(&self, parts: Vec<Vec<(Address, AccountChange)>>) -> StateChanges {
        let accounts: BTreeMap<_, _> = parts.into_iter().flatten().collect();
        let changed = |address: &Address| self.get(address).is_some_and(|entry| !entry.codes.is_empty());
        let codes = accounts
            .iter()
            .filter(|(address, _)| changed(address))
            .filter_map(|(_, change)| change.account)
            .filter(|account| account.code_hash != KECCAK256_EMPTY)
            .map(|account| (account.code_hash, self.code(&account.code_hash)))
            .collect();
        StateChanges { accounts, codes }
    }

    /// The difference to the version below.
    pub(crate) fn changes(&self) -> StateChanges {
        self.join_changes(self.shards.iter().map(Shard::changes).collect())
    }

    /// The block access list (EIP-7928).
    pub(crate) fn access_list(&self, order: &Order<'_>) -> Vec<AccountChanges> {
        self.shards.iter().flat_map(|shard| shard.access_list(order, |hash| self.code(hash))).collect()
    }

    /// Sums of all balances before and after.
    pub(crate) fn balance_sums(&self) -> (U512, U512) {
        self.shards
            .iter()
            .map(Shard::balance_sums)
            .fold((U512::ZERO, U512::ZERO), |(before, after), (b, a)| (before + b, after + a))
    }
}
