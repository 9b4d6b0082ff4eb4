//! Copy one version from others into a file of its own, believing nothing but its root.

use crate::{
    Key, OpenError,
    chunk::{Chunk, slot_key},
    history,
    key::decode_account,
    tables::{ACCOUNTS, CODES, HEAD, SLOTS, create_tables, load_tree, store_error},
};
use candela_primitives::{Address, B256, KECCAK256_EMPTY, StateError, keccak256};
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::{collections::BTreeMap, path::Path};

/// Height and root of the version that is being copied.
const TARGET: TableDefinition<'_, (), (u64, [u8; 32])> = TableDefinition::new("target");

const CACHE_BYTES: usize = 32 << 20;

/// Why a part of a copy was refused.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Whoever gave the part has lied, or has it from a liar.
    #[error("false state: {0}")]
    False(&'static str),
    /// The file failed.
    #[error(transparent)]
    Store(#[from] StateError),
}

/// A copy on its way. What is in the file is proved; after a crash the copy goes on from there.
pub struct Import {
    database: Database,
    height: u64,
    root: B256,
    after: Option<Key>,
}

impl Import {
    /// Begins to copy the state after block `height`, or goes on with that copy; what the file has of another is lost.
    ///
    /// # Errors
    /// When the file can't be used.
    pub fn open(path: &Path, height: u64, root: B256) -> Result<Self, OpenError> {
        let failed =
            |error: &dyn ToString| OpenError::Database { path: path.display().to_string(), reason: error.to_string() };
        let open = || Builder::new().set_cache_size(CACHE_BYTES).create(path).map_err(|error| failed(&error));
        let mut database = open()?;
        let target = read_target(&database).map_err(|error| failed(&error))?;
        if target != Some((height, root.0)) {
            drop(database);
            std::fs::remove_file(path).map_err(|error| failed(&error))?;
            database = open()?;
            begin(&database, height, root).map_err(|error| failed(&error))?;
        }
        let after = last_key(&database).map_err(|error| failed(&error))?;
        Ok(Self { database, height, root, after })
    }

    /// The last key that the file has: the next chunk begins after it.
    #[must_use]
    pub const fn after(&self) -> Option<Key> {
        self.after
    }

    /// Checks the chunk after [`Self::after`] against the root and writes it; returns how many rows it has, none at the
    /// end.
    ///
    /// # Errors
    /// When it is malformed, out of order or not proved, and nothing of it is written; or when the file fails.
    pub fn add(&mut self, chunk: &[u8]) -> Result<usize, ImportError> {
        let chunk = Chunk::decode(chunk).ok_or(ImportError::False("it is no chunk"))?;
        if !chunk.follows(self.after) {
            return Err(ImportError::False("its keys do not follow the last chunk's"));
        }
        let Some(last) = chunk.last() else { return Ok(0) };
        if !chunk.is_proved(&self.root) {
            return Err(ImportError::False("its proof does not lead from its rows to the state root"));
        }
        self.write(&chunk)?;
        self.after = Some(last);
        Ok(chunk.len())
    }

    fn write(&self, chunk: &Chunk) -> Result<(), StateError> {
        let transaction = self.database.begin_write().map_err(store_error)?;
        {
            let mut accounts = transaction.open_table(ACCOUNTS).map_err(store_error)?;
            for (address, account) in &chunk.accounts {
                accounts.insert(address, account).map_err(store_error)?;
            }
            let mut slots = transaction.open_table(SLOTS).map_err(store_error)?;
            for (slot, value) in &chunk.slots {
                slots.insert(slot, value).map_err(store_error)?;
            }
        }
        transaction.commit().map_err(store_error)
    }

    /// Hashes of the code that accounts have and the file lacks, each with an account that has it.
    ///
    /// # Errors
    /// When the file fails.
    pub fn missing_codes(&self) -> Result<BTreeMap<B256, Address>, StateError> {
        let transaction = self.database.begin_read().map_err(store_error)?;
        let codes = transaction.open_table(CODES).map_err(store_error)?;
        let mut missing = BTreeMap::new();
        for row in transaction.open_table(ACCOUNTS).map_err(store_error)?.iter().map_err(store_error)? {
            let (address, account) = row.map_err(store_error)?;
            let hash = decode_account(account.value()).code_hash;
            if hash != KECCAK256_EMPTY && !missing.contains_key(&hash) {
                let known = codes.get(&hash.0).map_err(store_error)?.is_some();
                if !known {
                    missing.insert(hash, Address::from(address.value()));
                }
            }
        }
        Ok(missing)
    }

    /// Writes code, each with its hash.
    ///
    /// # Errors
    /// When one has another hash, and nothing is written; or when the file fails.
    pub fn add_codes(&self, codes: &[(B256, Vec<u8>)]) -> Result<(), ImportError> {
        if codes.iter().any(|(hash, code)| keccak256(code) != *hash) {
            return Err(ImportError::False("code has another hash than its account's"));
        }
        let transaction = self.database.begin_write().map_err(store_error)?;
        {
            let mut table = transaction.open_table(CODES).map_err(store_error)?;
            for (hash, code) in codes {
                table.insert(&hash.0, code.as_slice()).map_err(store_error)?;
            }
        }
        transaction.commit().map_err(store_error)?;
        Ok(())
    }

    /// Checks that nothing is missing, and makes the file one that [`DiskState`](crate::DiskState) opens.
    ///
    /// # Errors
    /// When code is missing; when rows are, and then the copy has to begin anew; or when the file fails.
    pub fn finish(self) -> Result<(), ImportError> {
        if !self.missing_codes()?.is_empty() {
            return Err(ImportError::False("code is missing"));
        }
        let read = self.database.begin_read().map_err(store_error)?;
        if load_tree(&read)?.1.root() != self.root {
            forget(&self.database)?;
            return Err(ImportError::False("rows are missing: those that came give another state root"));
        }
        drop(read);
        let transaction = self.database.begin_write().map_err(store_error)?;
        {
            let mut head = transaction.open_table(HEAD).map_err(store_error)?;
            head.insert((), (self.height, self.root.0)).map_err(store_error)?;
            history::begin(&transaction, self.height)?;
        }
        transaction.commit().map_err(store_error)?;
        Ok(())
    }
}

fn read_target(database: &Database) -> Result<Option<(u64, [u8; 32])>, StateError> {
    let transaction = database.begin_read().map_err(store_error)?;
    match transaction.open_table(TARGET) {
        Ok(target) => Ok(target.get(()).map_err(store_error)?.map(|row| row.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(store_error(error)),
    }
}

fn begin(database: &Database, height: u64, root: B256) -> Result<(), StateError> {
    create_tables(database)?;
    let transaction = database.begin_write().map_err(store_error)?;
    transaction
        .open_table(TARGET)
        .and_then(|mut target| Ok(target.insert((), (height, root.0)).map(drop)?))
        .map_err(store_error)?;
    transaction.commit().map_err(store_error)
}

/// Lets the next copy begin anew: nobody knows where the missing rows belong.
fn forget(database: &Database) -> Result<(), StateError> {
    let transaction = database.begin_write().map_err(store_error)?;
    transaction.delete_table(TARGET).map_err(store_error)?;
    transaction.commit().map_err(store_error)
}

fn last_key(database: &Database) -> Result<Option<Key>, StateError> {
    let transaction = database.begin_read().map_err(store_error)?;
    let slots = transaction.open_table(SLOTS).map_err(store_error)?;
    if let Some((slot, _)) = slots.last().map_err(store_error)? {
        return Ok(Some(slot_key(slot.value())));
    }
    let accounts = transaction.open_table(ACCOUNTS).map_err(store_error)?;
    Ok(accounts.last().map_err(store_error)?.map(|(address, _)| Key::Account(Address::from(address.value()))))
}
