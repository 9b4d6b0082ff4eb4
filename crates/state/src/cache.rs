//! Keep in memory what was read and written lately, valid for every version of the final chain that it belongs to.
//!
//! # Invariants
//!
//! An entry holds the newest final value of its row and the number of blocks after which it had it. Rows that changed
//! after the blocks in the file always have an entry, so a row without one is unchanged since then. Both hold under the
//! lock of the row's part, whose `written` is raised before the first entry that it allows to go.

use candela_primitives::{Account, Address, B256, Bytes, StateChanges, U256};
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
    mem,
};

const PARTS: usize = 64;
/// Memory for code, in bytes; all of it goes when it is full.
const CODE_BYTES: usize = 32 << 20;

/// What the cache knows of a row as of some number of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<V> {
    /// Its value then.
    Value(V),
    /// It has changed since; its value then is elsewhere.
    Newer,
    /// Its value is that of the file.
    Unchanged,
    /// Nothing: the file has moved on since the reader was made.
    Unknown,
}

#[derive(Clone, Copy)]
struct Entry<V> {
    value: V,
    /// Blocks after which the row had this value.
    since: u64,
}

/// Entries used since the last change of generations, and those from before it; no row is in both.
struct Part<K, V> {
    recent: HashMap<K, Entry<V>, RandomState>,
    older: HashMap<K, Entry<V>, RandomState>,
    /// Blocks in the file.
    written: u64,
    /// Recent entries that end the generation.
    generation: usize,
}

impl<K: Copy + Eq + Hash, V: Copy> Part<K, V> {
    fn get(&mut self, key: &K, most: usize) -> Option<Entry<V>> {
        if let Some(entry) = self.recent.get(key) {
            return Some(*entry);
        }
        let entry = self.older.remove(key)?;
        self.put(*key, entry, most);
        Some(entry)
    }

    fn put(&mut self, key: K, entry: Entry<V>, most: usize) {
        if self.recent.len() >= self.generation {
            let older = mem::replace(&mut self.older, mem::take(&mut self.recent));
            self.recent.extend(older.into_iter().filter(|(_, entry)| entry.since > self.written));
            self.generation = (most / 2).max(self.recent.len() * 2);
        }
        self.older.remove(&key);
        self.recent.insert(key, entry);
    }
}

/// One kind of rows.
struct Rows<K, V> {
    parts: Vec<Mutex<Part<K, V>>>,
    hasher: RandomState,
    /// Entries of one part at most, besides those that are not in the file.
    most: usize,
}

impl<K: Copy + Eq + Hash, V: Copy> Rows<K, V> {
    fn new(most: usize, written: u64) -> Self {
        let most_of_part = most / PARTS;
        let part = || {
            Mutex::new(Part {
                recent: HashMap::default(),
                older: HashMap::default(),
                written,
                generation: most_of_part / 2,
            })
        };
        Self { parts: (0..PARTS).map(|_| part()).collect(), hasher: RandomState::default(), most: most_of_part }
    }

    fn part(&self, key: &K) -> &Mutex<Part<K, V>> {
        let hash = self.hasher.hash_one(key) >> 32;
        &self.parts[usize::try_from(hash).unwrap_or_default() % PARTS]
    }

    fn get(&self, key: &K, blocks: u64, base: u64) -> Found<V> {
        let mut part = self.part(key).lock();
        match part.get(key, self.most) {
            Some(entry) if entry.since <= blocks => Found::Value(entry.value),
            Some(_) => Found::Newer,
            None if part.written == base => Found::Unchanged,
            None => Found::Unknown,
        }
    }

    /// Keeps what was read from the file with `base` blocks, unless it may be outdated.
    fn keep(&self, key: K, value: V, base: u64) {
        let mut part = self.part(&key).lock();
        if part.written == base && part.get(&key, self.most).is_none() {
            part.put(key, Entry { value, since: base }, self.most);
        }
    }

    fn set(&self, key: K, value: V, since: u64) {
        self.part(&key).lock().put(key, Entry { value, since }, self.most);
    }

    fn written(&self, blocks: u64) {
        self.parts.iter().for_each(|part| part.lock().written = blocks);
    }
}

/// Code by its hash.
#[derive(Default)]
struct Codes {
    held: HashMap<B256, Bytes>,
    bytes: usize,
}

/// The newest final values of rows, bounded in number.
pub(crate) struct Cache {
    accounts: Rows<Address, Option<Account>>,
    slots: Rows<(Address, U256), U256>,
    codes: Mutex<Codes>,
}

impl Cache {
    /// An empty cache for a file with `blocks` blocks; `rows` of either kind are kept at most.
    pub(crate) fn new(rows: usize, blocks: u64) -> Self {
        Self { accounts: Rows::new(rows, blocks), slots: Rows::new(rows, blocks), codes: Mutex::default() }
    }

    /// The account after `blocks` final blocks, for a reader whose file holds `base` of them.
    pub(crate) fn account(&self, address: &Address, blocks: u64, base: u64) -> Found<Option<Account>> {
        self.accounts.get(address, blocks, base)
    }

    /// The slot after `blocks` final blocks, for a reader whose file holds `base` of them.
    pub(crate) fn slot(&self, address: &Address, slot: &U256, blocks: u64, base: u64) -> Found<U256> {
        self.slots.get(&(*address, *slot), blocks, base)
    }

    pub(crate) fn keep_account(&self, address: &Address, account: Option<Account>, base: u64) {
        self.accounts.keep(*address, account, base);
    }

    pub(crate) fn keep_slot(&self, address: &Address, slot: &U256, value: U256, base: u64) {
        self.slots.keep((*address, *slot), value, base);
    }

    /// Code never changes under its hash, so it is valid for every version.
    pub(crate) fn code(&self, hash: &B256) -> Option<Bytes> {
        self.codes.lock().held.get(hash).cloned()
    }

    pub(crate) fn keep_code(&self, hash: B256, code: Bytes) {
        let mut codes = self.codes.lock();
        if codes.bytes + code.len() > CODE_BYTES {
            *codes = Codes::default();
        }
        codes.bytes += code.len();
        codes.held.insert(hash, code);
    }

    /// Takes in what a block changed that has become final as the `blocks`th; `cleared` are slots that it set to zero
    /// without naming them.
    pub(crate) fn advance(&self, blocks: u64, changes: &StateChanges, cleared: &[(Address, U256)]) {
        for slot in cleared {
            self.slots.set(*slot, U256::ZERO, blocks);
        }
        for (address, change) in &changes.accounts {
            self.accounts.set(*address, change.account, blocks);
            for (slot, value) in &change.storage {
                self.slots.set((*address, *slot), *value, blocks);
            }
        }
    }

    /// Notes that the file holds `blocks` blocks, so that what they changed may go.
    pub(crate) fn written(&self, blocks: u64) {
        self.accounts.written(blocks);
        self.slots.written(blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(rows: &Rows<u32, u32>) -> usize {
        rows.parts.iter().map(|part| part.lock()).map(|part| part.recent.len() + part.older.len()).sum()
    }

    #[test]
    fn rows_that_are_not_in_the_file_stay_and_others_go() {
        let rows = Rows::<u32, u32>::new(PARTS * 8, 0);
        (0..1_000).for_each(|key| rows.set(key, key + 1, 1));
        (1_000..9_000).for_each(|key| rows.keep(key, 0, 0));
        assert!((0..1_000).all(|key| rows.get(&key, 1, 0) == Found::Value(key + 1)));
        rows.written(1);
        assert_eq!(rows.get(&u32::MAX, 1, 0), Found::Unknown, "a reader of the file before");
        assert_eq!(rows.get(&u32::MAX, 1, 1), Found::Unchanged);
        // So many that every part gets some, however unevenly keys are spread.
        (9_000..200_000).for_each(|key| rows.keep(key, 0, 1));
        assert!(number(&rows) <= PARTS * 8);
        assert!((0..1_000).all(|key| rows.get(&key, 1, 1) == Found::Unchanged));
    }

    #[test]
    fn what_changed_later_is_not_given_to_an_earlier_version() {
        let rows = Rows::<u32, u32>::new(64, 4);
        rows.keep(1, 10, 4);
        rows.set(1, 11, 5);
        assert_eq!(rows.get(&1, 5, 4), Found::Value(11));
        assert_eq!(rows.get(&1, 4, 4), Found::Newer);
    }

    #[test]
    fn a_late_read_of_the_file_changes_nothing() {
        let rows = Rows::<u32, u32>::new(64, 4);
        rows.set(1, 11, 5);
        rows.keep(1, 10, 4);
        assert_eq!(rows.get(&1, 5, 4), Found::Value(11));
        rows.written(5);
        rows.keep(2, 10, 4);
        assert_eq!(rows.get(&2, 5, 5), Found::Unchanged, "read from the file as it was before");
    }
}
