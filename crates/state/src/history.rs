//! What rows held before each block changed them, by height.
//!
//! A block adds a few large rows to the ends of two tables, so that it costs the same however long the chain is. The state
//! after block `h` is the newest one with the values from before the first change above `h`. An index tells which blocks
//! changed a row; it is made for many blocks at once, and a reader looks at those since then one by one. Who keeps few
//! heights needs no index.

use crate::{
    Key,
    key::{self, sha256, slot_row},
    snapshot::Snapshot,
    tables::{Fixed, head, store_error},
};
use candela_primitives::{Account, Address, B256, Bytes, StateError, StateReader, U256};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};
use std::ops::Range;

/// Lengths of a height with an address or a slot, and of their entries.
const AT_ACCOUNT: usize = 8 + 20;
const AT_SLOT: usize = 8 + 52;
const ACCOUNT_ENTRY: usize = 20 + 73;
const SLOT_ENTRY: usize = 52 + 32;

type Chunks<const AT: usize> = TableDefinition<'static, Fixed<AT>, &'static [u8]>;

/// (height, first address) to addresses, in order, each with its account before the block.
const ACCOUNTS: Chunks<AT_ACCOUNT> = TableDefinition::new("accounts_before");
/// (height, first slot) to slots, in order, each with its value before the block.
const SLOTS: Chunks<AT_SLOT> = TableDefinition::new("slots_before");
/// (first 8 bytes of a leaf's path, height): which blocks may have changed it.
const INDEX: TableDefinition<'_, Fixed<16>, ()> = TableDefinition::new("changes");
/// How many blocks are indexed.
const INDEXED: TableDefinition<'_, (), u64> = TableDefinition::new("indexed");
/// The oldest height that can be read.
const OLDEST: TableDefinition<'_, (), u64> = TableDefinition::new("oldest");

/// An address, and its account before a block: 1 with the account, or zeros.
type AccountBefore = [u8; ACCOUNT_ENTRY];
/// An address with a slot, and the slot's value before a block.
type SlotBefore = [u8; SLOT_ENTRY];

/// Bytes of a chunk at most: with its key it fits into a page of the database.
const CHUNK_BYTES: usize = 4_000;
/// Heights that are worth indexing at once; a reader looks at no more than that one by one.
pub(crate) const HEIGHTS_PER_INDEXING: u64 = 256;
/// Rows of the index in memory at once.
const INDEX_ROWS: usize = 1 << 20;
/// Heights forgotten per commit at most, so that a shorter retention does not stall the next block.
const FORGOTTEN_PER_COMMIT: u64 = 64;

/// What a block changed, as it was before.
#[derive(Default)]
pub(crate) struct Before {
    accounts: Vec<AccountBefore>,
    slots: Vec<SlotBefore>,
}

impl Before {
    /// Adds an account; addresses have to come in order.
    pub(crate) fn account(&mut self, address: &Address, row: Option<[u8; 72]>) {
        let mut entry = [0; ACCOUNT_ENTRY];
        entry[..20].copy_from_slice(address.as_slice());
        if let Some(row) = row {
            entry[20] = 1;
            entry[21..].copy_from_slice(&row);
        }
        self.accounts.push(entry);
    }

    /// Adds a slot; they have to come in order.
    pub(crate) fn slot(&mut self, row: &[u8; 52], value: &[u8; 32]) {
        let mut entry = [0; SLOT_ENTRY];
        entry[..52].copy_from_slice(row);
        entry[52..].copy_from_slice(value);
        self.slots.push(entry);
    }
}

pub(crate) fn create_tables(transaction: &WriteTransaction) -> Result<(), TableError> {
    transaction.open_table(ACCOUNTS)?;
    transaction.open_table(SLOTS)?;
    transaction.open_table(INDEX)?;
    transaction.open_table(INDEXED)?;
    transaction.open_table(OLDEST).map(drop)
}

/// `height | row`, filled up with zeros.
fn at_height<const AT: usize>(height: u64, row: &[u8]) -> [u8; AT] {
    let mut key = [0; AT];
    key[..8].copy_from_slice(&height.to_be_bytes());
    key[8..8 + row.len()].copy_from_slice(row);
    key
}

fn height_of(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |height| u64::from_be_bytes(*height))
}

fn index_row(path: &B256, height: u64) -> [u8; 16] {
    let mut row = [0; 16];
    row[..8].copy_from_slice(&path[..8]);
    row[8..].copy_from_slice(&height.to_be_bytes());
    row
}

/// Adds what blocks changed.
pub(crate) fn write<'a>(
    transaction: &WriteTransaction,
    blocks: impl Iterator<Item = (u64, &'a Before)>,
) -> Result<(), StateError> {
    let mut accounts = transaction.open_table(ACCOUNTS).map_err(store_error)?;
    let mut slots = transaction.open_table(SLOTS).map_err(store_error)?;
    for (height, before) in blocks {
        append(&mut accounts, height, &before.accounts)?;
        append(&mut slots, height, &before.slots)?;
    }
    Ok(())
}

fn append<const AT: usize, const ENTRY: usize>(
    table: &mut Table<'_, Fixed<AT>, &'static [u8]>,
    height: u64,
    entries: &[[u8; ENTRY]],
) -> Result<(), StateError> {
    for chunk in entries.chunks(CHUNK_BYTES / ENTRY) {
        table.insert(&at_height(height, &chunk[0][..AT - 8]), chunk.as_flattened()).map_err(store_error)?;
    }
    Ok(())
}

/// Indexes the blocks below `blocks` when there are enough of them.
pub(crate) fn index(transaction: &WriteTransaction, blocks: u64) -> Result<(), StateError> {
    let mut indexed = transaction.open_table(INDEXED).map_err(store_error)?;
    let first = indexed.get(()).map_err(store_error)?.map_or(0, |row| row.value());
    if blocks < first + HEIGHTS_PER_INDEXING {
        return Ok(());
    }
    let mut index = transaction.open_table(INDEX).map_err(store_error)?;
    index_table::<AT_ACCOUNT, ACCOUNT_ENTRY>(transaction, ACCOUNTS, first..blocks, &mut index)?;
    index_table::<AT_SLOT, SLOT_ENTRY>(transaction, SLOTS, first..blocks, &mut index)?;
    indexed.insert((), blocks).map(drop).map_err(store_error)
}

fn index_table<const AT: usize, const ENTRY: usize>(
    transaction: &WriteTransaction,
    table: Chunks<AT>,
    heights: Range<u64>,
    index: &mut Table<'_, Fixed<16>, ()>,
) -> Result<(), StateError> {
    let mut flush = |rows: &mut Vec<[u8; 16]>| {
        rows.sort_unstable();
        rows.drain(..).try_for_each(|row| index.insert(&row, ()).map(drop)).map_err(store_error)
    };
    let table = transaction.open_table(table).map_err(store_error)?;
    let mut rows = Vec::new();
    for chunk in
        table.range::<&[u8; AT]>(&at_height(heights.start, &[])..&at_height(heights.end, &[])).map_err(store_error)?
    {
        let (key, entries) = chunk.map_err(store_error)?;
        rows.extend(index_rows::<AT, ENTRY>(key.value(), entries.value())?);
        if rows.len() >= INDEX_ROWS {
            flush(&mut rows)?;
        }
    }
    flush(&mut rows)
}

fn index_rows<const AT: usize, const ENTRY: usize>(
    key: &[u8; AT],
    entries: &[u8],
) -> Result<impl Iterator<Item = [u8; 16]>, StateError> {
    let height = height_of(key);
    Ok(split::<ENTRY>(entries)?.iter().map(move |entry| index_row(&sha256(&entry[..AT - 8]), height)))
}

fn split<const ENTRY: usize>(chunk: &[u8]) -> Result<&[[u8; ENTRY]], StateError> {
    match chunk.as_chunks() {
        (entries, []) => Ok(entries),
        _ => Err(StateError("the history of the state is damaged".into())),
    }
}

/// The oldest height that can be read; `None` when all of them can.
pub(crate) fn oldest(transaction: &ReadTransaction) -> Result<Option<u64>, StateError> {
    let oldest = transaction.open_table(OLDEST).map_err(store_error)?;
    Ok(oldest.get(()).map_err(store_error)?.map(|row| row.value()))
}

/// Lets history begin with the state after block `height`.
pub(crate) fn begin(transaction: &WriteTransaction, height: u64) -> Result<(), StateError> {
    let mut oldest = transaction.open_table(OLDEST).map_err(store_error)?;
    oldest.insert((), height).map(drop).map_err(store_error)
}

/// Gives what blocks changed, as it was before, the earliest block first: addresses with their rows, and slots with their
/// values, of which zeros stand for none.
pub(crate) fn changes(
    transaction: &ReadTransaction,
    heights: Range<u64>,
    mut account: impl FnMut([u8; 20], Option<[u8; 72]>),
    mut slot: impl FnMut([u8; 52], [u8; 32]),
) -> Result<(), StateError> {
    each(transaction, ACCOUNTS, heights.clone(), |entry: &AccountBefore| {
        let (address, row) = halves::<20, 73>(entry);
        account(address, account_row(&row));
    })?;
    each(transaction, SLOTS, heights, |entry: &SlotBefore| {
        let (row, value) = halves::<52, 32>(entry);
        slot(row, value);
    })
}

fn each<const AT: usize, const ENTRY: usize>(
    transaction: &ReadTransaction,
    table: Chunks<AT>,
    heights: Range<u64>,
    mut visit: impl FnMut(&[u8; ENTRY]),
) -> Result<(), StateError> {
    let table = transaction.open_table(table).map_err(store_error)?;
    for chunk in
        table.range::<&[u8; AT]>(&at_height(heights.start, &[])..&at_height(heights.end, &[])).map_err(store_error)?
    {
        split(chunk.map_err(store_error)?.1.value())?.iter().for_each(&mut visit);
    }
    Ok(())
}

fn halves<const KEY: usize, const VALUE: usize>(entry: &[u8]) -> ([u8; KEY], [u8; VALUE]) {
    let (mut key, mut value) = ([0; KEY], [0; VALUE]);
    key.copy_from_slice(&entry[..KEY]);
    value.copy_from_slice(&entry[KEY..]);
    (key, value)
}

fn account_row(before: &[u8; 73]) -> Option<[u8; 72]> {
    before.split_first_chunk().and_then(|([exists], row)| (*exists == 1).then(|| row.try_into().ok()).flatten())
}

/// Drops what only readers below `oldest` need, a bounded number of heights at a time.
pub(crate) fn forget(transaction: &WriteTransaction, oldest: u64) -> Result<(), StateError> {
    let mut kept = transaction.open_table(OLDEST).map_err(store_error)?;
    let first = kept.get(()).map_err(store_error)?.map_or(0, |row| row.value() + 1);
    let end = (first + FORGOTTEN_PER_COMMIT).min(oldest + 1);
    if first >= end {
        return Ok(());
    }
    let indexed = transaction.open_table(INDEXED).map_err(store_error)?;
    let indexed = indexed.get(()).map_err(store_error)?.map_or(0, |row| row.value());
    let mut index = transaction.open_table(INDEX).map_err(store_error)?;
    forget_table::<AT_ACCOUNT, ACCOUNT_ENTRY>(transaction, ACCOUNTS, first..end, indexed, &mut index)?;
    forget_table::<AT_SLOT, SLOT_ENTRY>(transaction, SLOTS, first..end, indexed, &mut index)?;
    kept.insert((), end - 1).map(drop).map_err(store_error)
}

fn forget_table<const AT: usize, const ENTRY: usize>(
    transaction: &WriteTransaction,
    table: Chunks<AT>,
    heights: Range<u64>,
    indexed: u64,
    index: &mut Table<'_, Fixed<16>, ()>,
) -> Result<(), StateError> {
    let mut table = transaction.open_table(table).map_err(store_error)?;
    let (first, end) = (at_height(heights.start, &[]), at_height(heights.end, &[]));
    for chunk in table.extract_from_if::<&[u8; AT], _>(&first..&end, |_, _| true).map_err(store_error)? {
        let (key, entries) = chunk.map_err(store_error)?;
        if height_of(key.value()) < indexed {
            for row in index_rows::<AT, ENTRY>(key.value(), entries.value())? {
                index.remove(&row).map_err(store_error)?;
            }
        }
    }
    Ok(())
}

/// The state after an earlier block.
pub(crate) struct Past {
    height: u64,
    newest: Snapshot,
    /// Height of the newest state.
    last: u64,
    /// How many blocks are indexed.
    indexed: u64,
    index: ReadOnlyTable<Fixed<16>, ()>,
    accounts: ReadOnlyTable<Fixed<AT_ACCOUNT>, &'static [u8]>,
    slots: ReadOnlyTable<Fixed<AT_SLOT>, &'static [u8]>,
}

impl Past {
    pub(crate) fn open(transaction: &ReadTransaction, height: u64) -> Result<Self, StateError> {
        let indexed = transaction.open_table(INDEXED).map_err(store_error)?;
        Ok(Self {
            height,
            newest: Snapshot::open(transaction)?,
            last: head(transaction)?.map_or(0, |(height, _)| height),
            indexed: indexed.get(()).map_err(store_error)?.map_or(0, |row| row.value()),
            index: transaction.open_table(INDEX).map_err(store_error)?,
            accounts: transaction.open_table(ACCOUNTS).map_err(store_error)?,
            slots: transaction.open_table(SLOTS).map_err(store_error)?,
        })
    }

    /// What `row` held before the first later block that changed it; `None` when none did.
    fn before<const AT: usize, const ENTRY: usize>(
        &self,
        table: &ReadOnlyTable<Fixed<AT>, &'static [u8]>,
        row: &[u8],
        key: Key,
    ) -> Result<Option<[u8; ENTRY]>, StateError> {
        let (first, path) = (self.height + 1, key.path());
        let find = |height| {
            let mut chunks =
                table.range::<&[u8; AT]>(&at_height(height, &[])..=&at_height(height, row)).map_err(store_error)?;
            let Some(chunk) = chunks.next_back() else { return Ok(None) };
            let (_, entries) = chunk.map_err(store_error)?;
            let entries = split::<ENTRY>(entries.value())?;
            let found = entries.binary_search_by(|entry| entry[..row.len()].cmp(row));
            Ok(found.ok().map(|place| entries[place]))
        };
        for change in self
            .index
            .range::<&[u8; 16]>(&index_row(&path, first)..=&index_row(&path, u64::MAX))
            .map_err(store_error)?
        {
            let change = *change.map_err(store_error)?.0.value();
            // Another row's path may begin with the same bytes.
            if let Some(entry) = find(height_of(&change[8..]))? {
                return Ok(Some(entry));
            }
        }
        for height in first.max(self.indexed)..=self.last {
            if let Some(entry) = find(height)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

impl StateReader for Past {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        match self.before::<AT_ACCOUNT, ACCOUNT_ENTRY>(&self.accounts, address.as_slice(), Key::Account(*address))? {
            Some(entry) => Ok(account_row(&halves::<20, 73>(&entry).1).as_ref().map(key::decode_account)),
            None => self.newest.account(address),
        }
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        match self.before::<AT_SLOT, SLOT_ENTRY>(&self.slots, &slot_row(address, slot), Key::Slot(*address, *slot))? {
            Some(entry) => Ok(U256::from_be_slice(&entry[52..])),
            None => self.newest.storage(address, slot),
        }
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        self.newest.code(code_hash)
    }
}
