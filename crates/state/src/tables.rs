//! Write what blocks change into flat tables, and what was there before into the history.

use crate::{
    history::{self, Before},
    key::{self, slot_row},
    tree::Tree,
};
use candela_primitives::{AccountChange, Address, B256, StateChanges, StateError, U256};
use redb::{Database, ReadTransaction, ReadableTable, Table, TableDefinition, TableHandle, WriteTransaction};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

/// Bytes in a table: the database compares and copies them at once, those of an array one by one.
pub(crate) type Fixed<const N: usize> = &'static [u8; N];

pub(crate) const ACCOUNTS: TableDefinition<'_, Fixed<20>, Fixed<72>> = TableDefinition::new("accounts");
pub(crate) const SLOTS: TableDefinition<'_, Fixed<52>, Fixed<32>> = TableDefinition::new("slots");
pub(crate) const CODES: TableDefinition<'_, Fixed<32>, &[u8]> = TableDefinition::new("codes");
pub(crate) const HEAD: TableDefinition<'_, (), (u64, [u8; 32])> = TableDefinition::new("head");

/// A table of the format before this one.
const FORMER_TABLE: &str = "account_history";

pub(crate) fn store_error(error: impl std::fmt::Display) -> StateError {
    StateError(error.to_string())
}

/// A change of an account, by the block's place among those that are written.
type Edit<'a> = (&'a Address, usize, &'a AccountChange);

/// Writes what blocks changed. A row is written once, in the order of the tables, whatever blocks changed it.
pub(crate) fn write_blocks(
    transaction: &WriteTransaction,
    blocks: &[(u64, &Arc<StateChanges>)],
) -> Result<(), StateError> {
    let mut edits: Vec<Edit<'_>> = blocks
        .iter()
        .enumerate()
        .flat_map(|(at, (_, changes))| changes.accounts.iter().map(move |(address, change)| (address, at, change)))
        .collect();
    edits.sort_unstable_by_key(|(address, at, _)| (*address, *at));
    let mut before: Vec<_> = blocks.iter().map(|_| Before::default()).collect();
    {
        let mut tables = Tables {
            accounts: transaction.open_table(ACCOUNTS).map_err(store_error)?,
            slots: transaction.open_table(SLOTS).map_err(store_error)?,
            before: &mut before,
        };
        edits.chunk_by(|(one, ..), (other, ..)| one == other).try_for_each(|edits| tables.write(edits))?;
    }
    history::write(transaction, blocks.iter().map(|(height, _)| *height).zip(&before))?;
    let mut codes = transaction.open_table(CODES).map_err(store_error)?;
    for (hash, code) in blocks.iter().flat_map(|(_, changes)| &changes.codes) {
        codes.insert(&hash.0, code.as_ref()).map_err(store_error)?;
    }
    Ok(())
}

pub(crate) fn create_tables(database: &Database) -> Result<(), StateError> {
    let transaction = database.begin_write().map_err(store_error)?;
    if transaction.list_tables().map_err(store_error)?.any(|table| table.name() == FORMER_TABLE) {
        let reason =
            "it was written by an earlier version, which kept history in another way; start with an empty folder";
        return Err(StateError(reason.into()));
    }
    transaction.open_table(ACCOUNTS).map_err(store_error)?;
    transaction.open_table(SLOTS).map_err(store_error)?;
    transaction.open_table(CODES).map_err(store_error)?;
    transaction.open_table(HEAD).map_err(store_error)?;
    history::create_tables(&transaction).map_err(store_error)?;
    transaction.commit().map_err(store_error)
}

pub(crate) type Head = Option<(u64, B256)>;

/// The last committed height and its root.
pub(crate) fn head(transaction: &ReadTransaction) -> Result<Head, StateError> {
    let head = transaction.open_table(HEAD).map_err(store_error)?;
    Ok(head.get(()).map_err(store_error)?.map(|row| row.value()).map(|(height, root)| (height, root.into())))
}

pub(crate) fn load_tree(transaction: &ReadTransaction) -> Result<(Head, Tree), StateError> {
    let mut leaves = Vec::new();
    for row in transaction.open_table(ACCOUNTS).map_err(store_error)?.iter().map_err(store_error)? {
        let (address, account) = row.map_err(store_error)?;
        leaves.push((key::sha256(address.value()), Some(key::sha256(account.value()))));
    }
    for row in transaction.open_table(SLOTS).map_err(store_error)?.iter().map_err(store_error)? {
        let (slot, value) = row.map_err(store_error)?;
        leaves.push((key::sha256(slot.value()), Some(key::sha256(value.value()))));
    }
    Ok((head(transaction)?, Tree::default().updated(leaves)))
}

/// The tables that accounts' changes go to.
struct Tables<'a> {
    accounts: Table<'a, Fixed<20>, Fixed<72>>,
    slots: Table<'a, Fixed<52>, Fixed<32>>,
    /// What each block changed.
    before: &'a mut [Before],
}

impl Tables<'_> {
    /// Writes all changes of one account, in the order of blocks.
    fn write(&mut self, edits: &[Edit<'_>]) -> Result<(), StateError> {
        let Some((address, _, newest)) = edits.last() else { return Ok(()) };
        let row = newest.account.as_ref().map(key::account_value);
        let previous = match row {
            Some(row) => self.accounts.insert(&address.0.0, &row).map_err(store_error)?,
            None => self.accounts.remove(&address.0.0).map_err(store_error)?,
        };
        let mut previous = previous.map(|row| *row.value());
        for (_, at, change) in edits {
            self.before[*at].account(address, previous);
            previous = change.account.as_ref().map(key::account_value);
        }
        if edits.iter().any(|(_, _, change)| change.storage_cleared) {
            self.write_cleared(address, edits)
        } else {
            self.write_slots(address, edits)
        }
    }

    /// Writes slots of an account whose storage was never cleared.
    fn write_slots(&mut self, address: &Address, edits: &[Edit<'_>]) -> Result<(), StateError> {
        let mut slots = Vec::new();
        for (_, at, change) in edits {
            slots.extend(change.storage.iter().map(|(slot, value)| (*slot, *at, *value)));
        }
        slots.sort_unstable();
        for changes in slots.chunk_by(|(one, ..), (other, ..)| one == other) {
            let Some((slot, _, newest)) = changes.last() else { continue };
            let row = slot_row(address, slot);
            let mut previous = self.set(&row, &newest.to_be_bytes())?;
            for (_, at, value) in changes {
                self.before[*at].slot(&row, &previous);
                previous = value.to_be_bytes();
            }
        }
        Ok(())
    }

    /// Writes slots of an account whose storage some block cleared.
    fn write_cleared(&mut self, address: &Address, edits: &[Edit<'_>]) -> Result<(), StateError> {
        let (first, last) = (slot_row(address, &U256::ZERO), slot_row(address, &U256::MAX));
        let held = self.slots.range::<&[u8; 52]>(&first..=&last).map_err(store_error)?;
        let held = held.map(|row| row.map(|(slot, value)| (*slot.value(), *value.value())));
        let mut held: BTreeMap<_, _> = held.collect::<Result<_, _>>().map_err(store_error)?;
        let mut touched = BTreeSet::new();
        for (_, at, change) in edits {
            let mut before = if change.storage_cleared { mem::take(&mut held) } else { BTreeMap::new() };
            for (slot, value) in &change.storage {
                let row = slot_row(address, slot);
                // A slot that was cleared above keeps the value from before the block.
                before.entry(row).or_insert_with(|| held.get(&row).copied().unwrap_or_default());
                if value.is_zero() {
                    held.remove(&row);
                } else {
                    held.insert(row, value.to_be_bytes());
                }
            }
            before.iter().for_each(|(row, value)| self.before[*at].slot(row, value));
            touched.extend(before.into_keys());
        }
        for row in touched {
            self.set(&row, &held.get(&row).copied().unwrap_or_default())?;
        }
        Ok(())
    }

    /// Sets a slot and returns what it held; zeros stand for none.
    fn set(&mut self, row: &[u8; 52], value: &[u8; 32]) -> Result<[u8; 32], StateError> {
        let previous = if *value == [0; 32] { self.slots.remove(row) } else { self.slots.insert(row, value) };
        Ok(previous.map_err(store_error)?.map_or([0; 32], |row| *row.value()))
    }
}
