//! The state in an embedded database.

use crate::{
    Overlay, Prover, State, Unprovable, Version,
    key::{self, slot_row},
    recent::{Limits, Recent},
    tree::Tree,
    version::{Base, Committed},
};
use candela_primitives::{
    Account, AccountChange, Address, B256, Bytes, KECCAK256_EMPTY, StateChanges, StateError, StateReader, U256,
};
use parking_lot::{Mutex, RwLock};
use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table,
    TableDefinition, WriteTransaction, backends::InMemoryBackend,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

const ACCOUNTS: TableDefinition<'_, [u8; 20], [u8; 72]> = TableDefinition::new("accounts");
const SLOTS: TableDefinition<'_, [u8; 52], [u8; 32]> = TableDefinition::new("slots");
const CODES: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("codes");
/// (address, height of the change) to the account before it.
const ACCOUNT_HISTORY: TableDefinition<'_, [u8; 28], Option<[u8; 72]>> = TableDefinition::new("account_history");
/// (address, slot, height of the change) to the value before it.
const SLOT_HISTORY: TableDefinition<'_, [u8; 60], [u8; 32]> = TableDefinition::new("slot_history");
/// Height to the rows that its block changed: number of accounts (4 bytes), addresses, slot rows.
const CHANGED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changed");
/// The oldest height that can be read.
const OLDEST: TableDefinition<'_, (), u64> = TableDefinition::new("oldest");
const HEAD: TableDefinition<'_, (), (u64, [u8; 32])> = TableDefinition::new("head");

/// Changed accounts that wait to be written at most, so that memory is bounded.
const MAX_UNWRITTEN_ACCOUNTS: usize = 200_000;

/// Heights forgotten per commit at most, so that a shorter retention does not stall the next block.
const FORGOTTEN_PER_COMMIT: usize = 64;

/// How a state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Memory for pages of the file, in bytes.
    pub cache_bytes: usize,
    /// How many heights below the head can be read; `None` keeps all of them.
    pub retained_heights: Option<u64>,
    /// How many heights can be proved, the head included; those from before a restart can't.
    pub proved_heights: usize,
    /// Memory for proofs of heights below the head, in bytes; fewer of them are kept when blocks change much.
    pub proof_bytes: usize,
    /// How many committed heights may wait in memory to be written together. A crash loses them, so whoever asks for
    /// more than none must be able to commit them again.
    pub unwritten_heights: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            retained_heights: None,
            proved_heights: 256,
            proof_bytes: 128 << 20,
            unwritten_heights: 0,
        }
    }
}

/// Why a state could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database is held by another process, unreadable or damaged.
    #[error("state at {path} could not be opened: {reason}")]
    Database {
        /// The file.
        path: String,
        /// What the database says.
        reason: String,
    },
    /// The tables do not give the root that was committed.
    #[error(
        "state at {path} is damaged: its tables give root {found}, but {expected} was committed at height {height}"
    )]
    Root {
        /// The file.
        path: String,
        /// The committed height.
        height: u64,
        /// The committed root.
        expected: B256,
        /// The root of the tables.
        found: B256,
    },
}

fn store_error(error: impl std::fmt::Display) -> StateError {
    StateError(error.to_string())
}

/// State in one file, or in memory for tests.
pub struct DiskState {
    database: Database,
    options: Options,
    head: RwLock<Version>,
    recent: RwLock<Recent>,
    /// Committed versions that are not in the file yet, the oldest first.
    unwritten: RwLock<Vec<Version>>,
    writing: Mutex<()>,
}

impl DiskState {
    /// Opens the file with the default options, or creates it.
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Options::default())
    }

    /// Opens the file, or creates it; rebuilds the tree and compares its root with the committed one.
    ///
    /// # Errors
    /// When the file is held by another process, unreadable or damaged.
    pub fn open_with(path: &Path, options: Options) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        let opened = || {
            let database = Builder::new().set_cache_size(options.cache_bytes).create(path);
            let failed = |error: DatabaseError| OpenError::Database { path: name.clone(), reason: error.to_string() };
            Self::load(database.map_err(failed)?, options, name.clone())
        };
        // The database asserts the shape of its pages; a damaged file must end in an error all the same.
        catch_unwind(AssertUnwindSafe(opened))
            .unwrap_or_else(|_| Err(OpenError::Database { path: name, reason: "its pages are damaged".into() }))
    }

    /// A state that lives as long as the value.
    ///
    /// # Errors
    /// When memory is exhausted.
    pub fn in_memory() -> Result<Self, OpenError> {
        let (name, options) = ("memory".to_owned(), Options::default());
        let database = Builder::new()
            .set_cache_size(options.cache_bytes)
            .create_with_backend(InMemoryBackend::new())
            .map_err(|error| OpenError::Database { path: name.clone(), reason: error.to_string() })?;
        Self::load(database, options, name)
    }

    fn load(database: Database, options: Options, path: String) -> Result<Self, OpenError> {
        let failed = |error: StateError| OpenError::Database { path: path.clone(), reason: error.0 };
        create_tables(&database).map_err(failed)?;
        let transaction = database.begin_read().map_err(store_error).map_err(failed)?;
        let (head, tree) = load_tree(&transaction).map_err(failed)?;
        let root = tree.root();
        if let Some((height, expected)) = head
            && root != expected
        {
            return Err(OpenError::Root { path, height, expected, found: root });
        }
        let base: Arc<dyn Base> = Arc::new(Snapshot::open(&transaction).map_err(failed)?);
        let height = head.map(|(height, _)| height);
        let blocks = height.map_or(0, |height| height + 1);
        let limits = Limits { versions: options.proved_heights, bytes: options.proof_bytes };
        let recent = RwLock::new(Recent::new(limits, height, tree.clone()));
        let head = Version {
            height,
            tree,
            overlay: Overlay { base: base.clone(), layers: Vec::new() },
            roots: Vec::new(),
            parent: root,
            committed: Arc::new(RwLock::new(Committed { blocks, root, base })),
        };
        Ok(Self {
            database,
            options,
            head: RwLock::new(head),
            recent,
            unwritten: RwLock::default(),
            writing: Mutex::new(()),
        })
    }

    /// Writes consecutive versions in one transaction, and lets all others read them from there.
    fn write(&self, versions: &[Version]) -> Result<(), StateError> {
        let blocks = versions.iter().map(Version::last_block).collect::<Result<Vec<_>, _>>()?;
        let Some(((height, _), last)) = blocks.last().zip(versions.last()) else { return Ok(()) };
        let (height, root) = (*height, last.root());
        let transaction = self.database.begin_write().map_err(store_error)?;
        write_blocks(&transaction, &blocks)?;
        transaction
            .open_table(HEAD)
            .and_then(|mut head| Ok(head.insert((), (height, root.0)).map(drop)?))
            .map_err(store_error)?;
        if let Some(retained) = self.options.retained_heights {
            forget(&transaction, height.saturating_sub(retained))?;
        }
        transaction.commit().map_err(store_error)?;
        let base = Arc::new(Snapshot::open(&self.database.begin_read().map_err(store_error)?)?);
        *self.head.read().committed.write() = Committed { blocks: height + 1, root, base };
        Ok(())
    }
}

impl Drop for DiskState {
    fn drop(&mut self) {
        if let Err(error) = self.write(&std::mem::take(&mut *self.unwritten.write())) {
            tracing::warn!(%error, "the last heights of the state were not written; they must be committed again");
        }
    }
}

/// Writes what blocks changed. Rows are visited in the order of the tables, whatever block they belong to.
fn write_blocks(transaction: &WriteTransaction, blocks: &[(u64, &Arc<StateChanges>)]) -> Result<(), StateError> {
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

fn create_tables(database: &Database) -> Result<(), StateError> {
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

type Head = Option<(u64, B256)>;

fn load_tree(transaction: &ReadTransaction) -> Result<(Head, Tree), StateError> {
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

fn at_height<const ROW: usize, const KEY: usize>(row: &[u8; ROW], height: u64) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..ROW].copy_from_slice(row);
    key[ROW..].copy_from_slice(&height.to_be_bytes());
    key
}

/// The tables that an account's changes go to.
struct AccountTables<'a> {
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
fn forget(transaction: &WriteTransaction, oldest: u64) -> Result<(), StateError> {
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

type ChangedRows<'a> = (&'a [[u8; 20]], &'a [[u8; 52]]);

fn split_changed(bytes: &[u8]) -> Result<ChangedRows<'_>, StateError> {
    let damaged = || StateError("the list of a block's changes is damaged".into());
    let (count, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (addresses, rest) = rest.split_at_checked(u32::from_be_bytes(*count) as usize * 20).ok_or_else(damaged)?;
    let (slots, stray) = rest.as_chunks::<52>();
    if stray.is_empty() { Ok((addresses.as_chunks::<20>().0, slots)) } else { Err(damaged()) }
}

impl State for DiskState {
    fn head(&self) -> Version {
        self.head.read().clone()
    }

    fn commit(&self, version: &Version) -> Result<(), StateError> {
        let _writing = self.writing.lock();
        let current = self.head();
        let Some(height) = version.height else {
            return Err(StateError("the empty version can't be committed".into()));
        };
        if current.height == Some(height) && current.root() == version.root() {
            return Ok(());
        }
        if current.blocks() != height {
            return Err(StateError(format!("version {height} does not follow the head {:?}", current.height)));
        }
        if version.parent != current.root() {
            return Err(StateError(format!("version {height} is not a child of the head, root {}", current.root())));
        }
        version.last_block()?;
        let mut unwritten = self.unwritten.read().clone();
        unwritten.push(version.clone());
        let accounts: usize =
            unwritten.iter().filter_map(|each| each.overlay.layers.last()).map(|changes| changes.accounts.len()).sum();
        if unwritten.len() > self.options.unwritten_heights || accounts > MAX_UNWRITTEN_ACCOUNTS {
            self.write(&unwritten)?;
            unwritten.clear();
        }
        *self.unwritten.write() = unwritten;
        let mut head = Version { committed: current.committed, ..version.clone() };
        head.drop_committed_layers();
        *self.head.write() = head;
        let dropped = self.recent.write().push(height, version.tree.clone());
        drop(dropped);
        Ok(())
    }

    fn prover(&self, height: u64) -> Result<Prover, Unprovable> {
        self.recent.read().prover(height)
    }

    fn at(&self, height: u64) -> Result<Option<Arc<dyn StateReader>>, StateError> {
        let head = self.head();
        match head.height {
            Some(current) if current == height => Ok(Some(head.reader())),
            Some(current) if current > height => {
                if let Some(version) = self.unwritten.read().iter().find(|version| version.height == Some(height)) {
                    return Ok(Some(version.reader()));
                }
                let transaction = self.database.begin_read().map_err(store_error)?;
                let oldest = transaction.open_table(OLDEST).map_err(store_error)?;
                if oldest.get(()).map_err(store_error)?.is_some_and(|oldest| height < oldest.value()) {
                    return Ok(None);
                }
                Ok(Some(Arc::new(Past::open(&transaction, height)?)))
            }
            _ => Ok(None),
        }
    }
}

/// One committed version of the flat tables.
struct Snapshot {
    accounts: ReadOnlyTable<[u8; 20], [u8; 72]>,
    slots: ReadOnlyTable<[u8; 52], [u8; 32]>,
    codes: ReadOnlyTable<[u8; 32], &'static [u8]>,
}

impl Snapshot {
    fn open(transaction: &ReadTransaction) -> Result<Self, StateError> {
        Ok(Self {
            accounts: transaction.open_table(ACCOUNTS).map_err(store_error)?,
            slots: transaction.open_table(SLOTS).map_err(store_error)?,
            codes: transaction.open_table(CODES).map_err(store_error)?,
        })
    }
}

impl StateReader for Snapshot {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        let row = self.accounts.get(address.0.0).map_err(store_error)?;
        Ok(row.map(|row| key::decode_account(&row.value())))
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let row = self.slots.get(slot_row(address, slot)).map_err(store_error)?;
        Ok(row.map_or(U256::ZERO, |row| U256::from_be_bytes(row.value())))
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        if *code_hash == KECCAK256_EMPTY {
            return Ok(Bytes::new());
        }
        let row = self.codes.get(code_hash.0).map_err(store_error)?;
        row.map(|row| Bytes::copy_from_slice(row.value()))
            .ok_or_else(|| StateError(format!("code {code_hash} is missing")))
    }
}

impl Base for Snapshot {
    fn slots(&self, address: &Address) -> Result<Vec<U256>, StateError> {
        let range = slot_row(address, &U256::ZERO)..=slot_row(address, &U256::MAX);
        let rows = self.slots.range(range).map_err(store_error)?;
        rows.map(|row| row.map(|(slot, _)| U256::from_be_slice(&slot.value()[20..])).map_err(store_error)).collect()
    }
}

/// An earlier version: the value before the first later change, else the current one.
struct Past {
    height: u64,
    current: Snapshot,
    accounts: ReadOnlyTable<[u8; 28], Option<[u8; 72]>>,
    slots: ReadOnlyTable<[u8; 60], [u8; 32]>,
}

impl Past {
    fn open(transaction: &ReadTransaction, height: u64) -> Result<Self, StateError> {
        Ok(Self {
            height,
            current: Snapshot::open(transaction)?,
            accounts: transaction.open_table(ACCOUNT_HISTORY).map_err(store_error)?,
            slots: transaction.open_table(SLOT_HISTORY).map_err(store_error)?,
        })
    }
}

impl StateReader for Past {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        let range = at_height::<20, 28>(&address.0.0, self.height + 1)..=at_height(&address.0.0, u64::MAX);
        match self.accounts.range(range).map_err(store_error)?.next() {
            Some(row) => Ok(row.map_err(store_error)?.1.value().map(|row| key::decode_account(&row))),
            None => self.current.account(address),
        }
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let row = slot_row(address, slot);
        let range = at_height::<52, 60>(&row, self.height + 1)..=at_height(&row, u64::MAX);
        match self.slots.range(range).map_err(store_error)?.next() {
            Some(row) => Ok(U256::from_be_bytes(row.map_err(store_error)?.1.value())),
            None => self.current.storage(address, slot),
        }
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        self.current.code(code_hash)
    }
}
