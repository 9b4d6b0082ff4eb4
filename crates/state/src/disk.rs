//! The state in an embedded database.

use crate::{
    Overlay, State, Version,
    key::{self, slot_row},
    tree::Tree,
    version::Base,
};
use candela_primitives::{
    Account, AccountChange, Address, B256, Bytes, KECCAK256_EMPTY, StateChanges, StateError, StateReader, U256,
};
use parking_lot::RwLock;
use redb::{
    Builder, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction, backends::InMemoryBackend,
};
use std::{path::Path, sync::Arc};

const ACCOUNTS: TableDefinition<'_, [u8; 20], [u8; 72]> = TableDefinition::new("accounts");
const SLOTS: TableDefinition<'_, [u8; 52], [u8; 32]> = TableDefinition::new("slots");
const CODES: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("codes");
/// (address, height of the change) to the account before it.
const ACCOUNT_HISTORY: TableDefinition<'_, [u8; 28], Option<[u8; 72]>> = TableDefinition::new("account_history");
/// (address, slot, height of the change) to the value before it.
const SLOT_HISTORY: TableDefinition<'_, [u8; 60], [u8; 32]> = TableDefinition::new("slot_history");
const HEAD: TableDefinition<'_, (), (u64, [u8; 32])> = TableDefinition::new("head");

const CACHE_BYTES: usize = 32 << 20;

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
    head: RwLock<Version>,
}

impl DiskState {
    /// Opens the file, or creates it; rebuilds the tree and compares its root with the committed one.
    ///
    /// # Errors
    /// When the file is held by another process, unreadable or damaged.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|error| OpenError::Database { path: name.clone(), reason: error.to_string() })?;
        Self::load(database, name)
    }

    /// A state that lives as long as the value.
    ///
    /// # Errors
    /// When memory is exhausted.
    pub fn in_memory() -> Result<Self, OpenError> {
        let name = "memory".to_owned();
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(InMemoryBackend::new())
            .map_err(|error| OpenError::Database { path: name.clone(), reason: error.to_string() })?;
        Self::load(database, name)
    }

    fn load(database: Database, path: String) -> Result<Self, OpenError> {
        let failed = |error: StateError| OpenError::Database { path: path.clone(), reason: error.0 };
        create_tables(&database).map_err(failed)?;
        let transaction = database.begin_read().map_err(store_error).map_err(failed)?;
        let (committed, tree) = load_tree(&transaction).map_err(failed)?;
        if let Some((height, expected)) = committed
            && tree.root() != expected
        {
            return Err(OpenError::Root { path, height, expected, found: tree.root() });
        }
        let base = Snapshot::open(&transaction).map_err(failed)?;
        let overlay = Overlay { base: Arc::new(base) as Arc<dyn Base>, layers: Vec::new() };
        let head = Version { height: committed.map(|(height, _)| height), tree, overlay };
        Ok(Self { database, head: RwLock::new(head) })
    }

    fn write(&self, height: u64, root: B256, changes: &StateChanges) -> Result<(), StateError> {
        let transaction = self.database.begin_write().map_err(store_error)?;
        for (address, change) in &changes.accounts {
            write_account(&transaction, height, address, change)?;
        }
        {
            let mut codes = transaction.open_table(CODES).map_err(store_error)?;
            for (hash, code) in &changes.codes {
                codes.insert(hash.0, code.as_ref()).map_err(store_error)?;
            }
            let mut head = transaction.open_table(HEAD).map_err(store_error)?;
            head.insert((), (height, root.0)).map_err(store_error)?;
        }
        transaction.commit().map_err(store_error)
    }
}

fn create_tables(database: &Database) -> Result<(), StateError> {
    let transaction = database.begin_write().map_err(store_error)?;
    transaction.open_table(ACCOUNTS).map_err(store_error)?;
    transaction.open_table(SLOTS).map_err(store_error)?;
    transaction.open_table(CODES).map_err(store_error)?;
    transaction.open_table(ACCOUNT_HISTORY).map_err(store_error)?;
    transaction.open_table(SLOT_HISTORY).map_err(store_error)?;
    transaction.open_table(HEAD).map_err(store_error)?;
    transaction.commit().map_err(store_error)
}

type Committed = Option<(u64, B256)>;

fn load_tree(transaction: &ReadTransaction) -> Result<(Committed, Tree), StateError> {
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

fn write_account(
    transaction: &WriteTransaction,
    height: u64,
    address: &Address,
    change: &AccountChange,
) -> Result<(), StateError> {
    let mut accounts = transaction.open_table(ACCOUNTS).map_err(store_error)?;
    let previous = match &change.account {
        Some(account) => accounts.insert(address.0.0, key::encode_account(account)).map_err(store_error)?,
        None => accounts.remove(address.0.0).map_err(store_error)?,
    }
    .map(|row| row.value());
    let mut history = transaction.open_table(ACCOUNT_HISTORY).map_err(store_error)?;
    history.insert(at_height(&address.0.0, height), previous).map_err(store_error)?;
    if !change.storage_cleared && change.storage.is_empty() {
        return Ok(());
    }
    let mut slots = transaction.open_table(SLOTS).map_err(store_error)?;
    let mut history = transaction.open_table(SLOT_HISTORY).map_err(store_error)?;
    if change.storage_cleared {
        let range = slot_row(address, &U256::ZERO)..=slot_row(address, &U256::MAX);
        for row in slots.extract_from_if(range, |_, _| true).map_err(store_error)? {
            let (slot, value) = row.map_err(store_error)?;
            history.insert(at_height(&slot.value(), height), value.value()).map_err(store_error)?;
        }
    }
    for (slot, value) in &change.storage {
        let row = slot_row(address, slot);
        let previous = if value.is_zero() {
            slots.remove(row).map_err(store_error)?
        } else {
            slots.insert(row, value.to_be_bytes::<32>()).map_err(store_error)?
        }
        .map_or([0; 32], |row| row.value());
        // A slot that was cleared above keeps the value from before the block.
        let at = at_height(&row, height);
        if history.get(at).map_err(store_error)?.is_none() {
            history.insert(at, previous).map_err(store_error)?;
        }
    }
    Ok(())
}

impl State for DiskState {
    fn head(&self) -> Version {
        self.head.read().clone()
    }

    fn commit(&self, version: &Version) -> Result<(), StateError> {
        let current = self.head();
        let Some(height) = version.height else {
            return Err(StateError("the empty version can't be committed".into()));
        };
        if current.height == Some(height) && current.root() == version.root() {
            return Ok(());
        }
        if current.height.map_or(0, |head| head + 1) != height {
            return Err(StateError(format!("version {height} does not follow the head {:?}", current.height)));
        }
        let Some(changes) = version.overlay.layers.last() else {
            return Err(StateError(format!("version {height} has no changes")));
        };
        self.write(height, version.root(), changes)?;
        let transaction = self.database.begin_read().map_err(store_error)?;
        let base = Arc::new(Snapshot::open(&transaction)?) as Arc<dyn Base>;
        *self.head.write() =
            Version { height: Some(height), tree: version.tree.clone(), overlay: Overlay { base, layers: Vec::new() } };
        Ok(())
    }

    fn at(&self, height: u64) -> Result<Option<Arc<dyn StateReader>>, StateError> {
        let head = self.head();
        match head.height {
            Some(current) if current == height => Ok(Some(head.reader())),
            Some(current) if current > height => {
                let transaction = self.database.begin_read().map_err(store_error)?;
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
