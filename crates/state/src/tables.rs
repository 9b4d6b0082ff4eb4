//! Write what blocks change into flat tables, and what was there before into a history by height.

use crate::{
    key::{self, slot_row},
    tree::Tree,
};
use candela_primitives::{AccountChange, Address, B256, StateChanges, StateError, U256};
use redb::{Database, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use std::sync::Arc;

pub(crate) const ACCOUNTS: TableDefinition<'_, [u8; 20], [u8; 72]> = TableDefinition::new("accounts");
pub(crate) const SLOTS: TableDefinition<'_, [u8; 52], [u8; 32]> = TableDefinition::new("slots");
pub(crate) const CODES: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("codes");
/// (address, height of the change) to the account before it.
pub(crate) const ACCOUNT_HISTORY: TableDefinition<'_, [u8; 28], Option<[u8; 72]>> =
    TableDefinition::new("account_history");
/// (address, slot, height of the change) to the value before it.
pub(crate) const SLOT_HISTORY: TableDefinition<'_, [u8; 60], [u8; 32]> = TableDefinition::new("slot_history");
/// Height to the rows that its block changed: number of accounts (4 bytes), addresses, slot rows.
pub(crate) const CHANGED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changed");
/// The oldest height that can be read.
pub(crate) const OLDEST: TableDefinition<'_, (), u64> = TableDefinition::new("oldest");
pub(crate) const HEAD: TableDefinition<'_, (), (u64, [u8; 32])> = TableDefinition::new("head");

/// Heights forgotten per commit at most, so that a shorter retention does not stall the next block.
const FORGOTTEN_PER_COMMIT: usize = 64;

pub(crate) fn store_error(error: impl std::fmt::Display) -> StateError {
    StateError(error.to_string())
}

/// Writes what blocks changed. Rows are visited in the order of the tables, whatever block they belong to.
pub(crate) fn write_blocks(
    transaction: &WriteTransaction,
    blocks: &[(u64, &Arc<StateChanges>)],
) -> Result<(), StateError> {
    let mut edits: Vec<_> = blocks
        .iter()
        .enumerate()
        .flat_map(|(at, (_, changes))| changes.accounts.iter().map(move |(address, change)| (address, at, change)))
        .collect();
    edits.sort_unstable_by_key(|(address, at, _)| (*address, *at));
    let mut rows = vec![Vec::new(); blocks.len()];
    {
        let mut tables = AccountTables::open(transaction)?;
        for (address, at, change) in edits {
            tables.write(blocks[at].0, address, change, &mut rows[at])?;
        }
    }
    let mut changed = transaction.open_table(CHANGED).map_err(store_error)?;
    let mut codes = transaction.open_table(CODES).map_err(store_error)?;
    for ((height, changes), mut slots) in blocks.iter().zip(rows) {
        let mut list = u32::try_from(changes.accounts.len()).map_err(store_error)?.to_be_bytes().to_vec();
        changes.accounts.keys().for_each(|address| list.extend_from_slice(address.as_slice()));
        list.append(&mut slots);
        changed.insert(height, list.as_slice()).map_err(store_error)?;
        for (hash, code) in &changes.codes {
            codes.insert(hash.0, code.as_ref()).map_err(store_error)?;
        }
    }
    Ok(())
}

pub(crate) fn create_tables(database: &Database) -> Result<(), StateError> {
    let transaction = database.begin_write().map_err(store_error)?;
    transaction.open_table(ACCOUNTS).map_err(store_error)?;
    transaction.open_table(SLOTS).map_err(store_error)?;
    transaction.open_table(CODES).map_err(store_error)?;
    transaction.open_table(ACCOUNT_HISTORY).map_err(store_error)?;
    transaction.open_table(SLOT_HISTORY).map_err(store_error)?;
    transaction.open_table(CHANGED).map_err(store_error)?;
    transaction.open_table(OLDEST).map_err(store_error)?;
    transaction.open_table(HEAD).map_err(store_error)?;
    transaction.commit().map_err(store_error)
}

pub(crate) type Head = Option<(u64, B256)>;

pub(crate) fn load_tree(transaction: &ReadTransaction) -> Result<(Head, Tree), StateError> {
    let head = transaction.open_table(HEAD).map_err(store_error)?;
    let committed =
        head.get(()).map_err(store_error)?.map(|row| row.value()).map(|(height, root)| (height, root.into()));
    let mut leaves = Vec::new();
    for row in transaction.open_table(ACCOUNTS).map_err(store_error)?.iter().map_err(store_error)? {
        let (address, account) = row.map_err(store_error)?;
        leaves.push((key::sha256(&address.value()), Some(key::sha256(&account.value()))));
    }
    for row in transaction.open_table(SLOTS).map_err(store_error)?.iter().map_err(store_error)? {
        let (slot, value) = row.map_err(store_error)?;
        leaves.push((key::sha256(&slot.value()), Some(key::sha256(&value.value()))));
    }
    Ok((committed, Tree::default().updated(leaves)))
}

pub(crate) fn at_height<const ROW: usize, const KEY: usize>(row: &[u8; ROW], height: u64) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..ROW].copy_from_slice(row);
    key[ROW..].copy_from_slice(&height.to_be_bytes());
    key
}

/// The tables that an account's changes go to.
pub(crate) struct AccountTables<'a> {
    accounts: Table<'a, [u8; 20], [u8; 72]>,
    slots: Table<'a, [u8; 52], [u8; 32]>,
    account_history: Table<'a, [u8; 28], Option<[u8; 72]>>,
    slot_history: Table<'a, [u8; 60], [u8; 32]>,
}

impl<'a> AccountTables<'a> {
    fn open(transaction: &'a WriteTransaction) -> Result<Self, StateError> {
        Ok(Self {
            accounts: transaction.open_table(ACCOUNTS).map_err(store_error)?,
            slots: transaction.open_table(SLOTS).map_err(store_error)?,
            account_history: transaction.open_table(ACCOUNT_HISTORY).map_err(store_error)?,
            slot_history: transaction.open_table(SLOT_HISTORY).map_err(store_error)?,
        })
    }

    fn write(
        &mut self,
        height: u64,
        address: &Address,
        change: &AccountChange,
        rows: &mut Vec<u8>,
    ) -> Result<(), StateError> {
        let previous = match &change.account {
            Some(account) => self.accounts.insert(address.0.0, key::account_value(account)).map_err(store_error)?,
            None => self.accounts.remove(address.0.0).map_err(store_error)?,
        }
        .map(|row| row.value());
        self.account_history.insert(at_height(&address.0.0, height), previous).map_err(store_error)?;
        if change.storage_cleared {
            let range = slot_row(address, &U256::ZERO)..=slot_row(address, &U256::MAX);
            for row in self.slots.extract_from_if(range, |_, _| true).map_err(store_error)? {
                let (slot, value) = row.map_err(store_error)?;
                self.slot_history.insert(at_height(&slot.value(), height), value.value()).map_err(store_error)?;
                rows.extend_from_slice(&slot.value());
            }
        }
        for (slot, value) in &change.storage {
            let row = slot_row(address, slot);
            let previous = if value.is_zero() {
                self.slots.remove(row).map_err(store_error)?
            } else {
                self.slots.insert(row, value.to_be_bytes::<32>()).map_err(store_error)?
            }
            .map_or([0; 32], |row| row.value());
            // A slot that was cleared above keeps the value from before the block.
            let at = at_height(&row, height);
            if !change.storage_cleared || self.slot_history.get(at).map_err(store_error)?.is_none() {
                self.slot_history.insert(at, previous).map_err(store_error)?;
                rows.extend_from_slice(&row);
            }
        }
        Ok(())
    }
}

/// Drops what only readers below `oldest` need, a bounded number of heights at a time.
pub(crate) fn forget(transaction: &WriteTransaction, oldest: u64) -> Result<(), StateError> {
    let mut changed = transaction.open_table(CHANGED).map_err(store_error)?;
    let mut accounts = transaction.open_table(ACCOUNT_HISTORY).map_err(store_error)?;
    let mut slots = transaction.open_table(SLOT_HISTORY).map_err(store_error)?;
    let mut last = None;
    for row in changed.extract_from_if(..=oldest, |_, _| true).map_err(store_error)?.take(FORGOTTEN_PER_COMMIT) {
        let (height, rows) = row.map_err(store_error)?;
        let height = height.value();
        let (addresses, rest) = split_changed(rows.value())?;
        for address in addresses {
            accounts.remove(at_height::<20, 28>(address, height)).map_err(store_error)?;
        }
        for slot in rest {
            slots.remove(at_height::<52, 60>(slot, height)).map_err(store_error)?;
        }
        last = Some(height);
    }
    if let Some(height) = last {
        transaction.open_table(OLDEST).map_err(store_error)?.insert((), height).map_err(store_error)?;
    }
    Ok(())
}

pub(crate) type ChangedRows<'a> = (&'a [[u8; 20]], &'a [[u8; 52]]);

pub(crate) fn split_changed(bytes: &[u8]) -> Result<ChangedRows<'_>, StateError> {
    let damaged = || StateError("the list of a block's changes is damaged".into());
    let (count, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (addresses, rest) = rest.split_at_checked(u32::from_be_bytes(*count) as usize * 20).ok_or_else(damaged)?;
    let (slots, stray) = rest.as_chunks::<52>();
    if stray.is_empty() { Ok((addresses.as_chunks::<20>().0, slots)) } else { Err(damaged()) }
}
