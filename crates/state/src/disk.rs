//! The state in an embedded database.

use crate::{
    Export, Overlay, Prover, State, Unprovable, Version,
    cache::Cache,
    history::{self, Past},
    recent::{Limits, Recent},
    snapshot::Snapshot,
    tables::{create_tables, load_tree, store_error},
    version::{Base, Committed, Progress, Shared},
    writer::{Queue, Writer},
};
use candela_primitives::{Address, B256, StateChanges, StateError, StateReader, U256};
use parking_lot::{Mutex, RwLock};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, backends::InMemoryBackend};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

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
    /// How many committed heights may wait in memory to be written, several together and on a thread of their own. A
    /// crash loses them, so whoever asks for more than none must be able to commit them again.
    pub unwritten_heights: usize,
    /// How many accounts, and how many slots, are kept in memory besides those that wait to be written.
    pub cached_rows: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            retained_heights: None,
            proved_heights: 256,
            proof_bytes: 128 << 20,
            unwritten_heights: 0,
            cached_rows: 1 << 19,
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

/// State in one file, or in memory for tests.
pub struct DiskState {
    head: RwLock<Version>,
    recent: RwLock<Recent>,
    committing: Mutex<()>,
    queue: Arc<Queue>,
    writer: Writer,
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
        let progress = Progress { blocks: height.map_or(0, |height| height + 1), root };
        let limits = Limits { versions: options.proved_heights, bytes: options.proof_bytes };
        let recent = RwLock::new(Recent::new(limits, height, tree.clone()));
        let shared = Arc::new(Shared {
            committed: RwLock::new(Committed { head: progress, written: progress, base: base.clone() }),
            cache: Arc::new(Cache::new(options.cached_rows, progress.blocks)),
        });
        let head = RwLock::new(Version {
            height,
            tree,
            overlay: Overlay { base, layers: Vec::new() },
            roots: Vec::new(),
            parent: root,
            final_layers: 0,
            shared: shared.clone(),
        });
        let queue = Arc::new(Queue::new(database, shared, options));
        let writer = Writer::start(queue.clone()).map_err(failed)?;
        Ok(Self { head, recent, committing: Mutex::new(()), queue, writer })
    }
}

/// Slots that `changes` on top of `parent` set to zero without naming them.
fn cleared_slots(parent: &Version, changes: &StateChanges) -> Result<Vec<(Address, U256)>, StateError> {
    let mut cleared = Vec::new();
    for (address, _) in changes.accounts.iter().filter(|(_, change)| change.storage_cleared) {
        cleared.extend(parent.slots(address)?.into_iter().map(|slot| (*address, slot)));
    }
    Ok(cleared)
}

impl State for DiskState {
    fn head(&self) -> Version {
        let mut head = self.head.read().clone();
        head.catch_up();
        head
    }

    fn commit(&self, version: &Version) -> Result<(), StateError> {
        let _committing = self.committing.lock();
        let current = self.head();
        let Some(height) = version.height else {
            return Err(StateError("the empty version can't be committed".into()));
        };
        if current.height == Some(height) && current.root() == version.root() {
            return self.queue.failure();
        }
        if current.blocks() != height {
            return Err(StateError(format!("version {height} does not follow the head {:?}", current.height)));
        }
        if version.parent != current.root() {
            return Err(StateError(format!("version {height} is not a child of the head, root {}", current.root())));
        }
        let (_, changes) = version.last_block()?;
        let cleared = cleared_slots(&current, changes)?;
        self.queue.failure()?;
        let shared = &current.shared;
        shared.cache.advance(height + 1, changes, &cleared);
        shared.committed.write().head = Progress { blocks: height + 1, root: version.root() };
        *self.head.write() = Version { shared: shared.clone(), ..version.clone() };
        let dropped = self.recent.write().push(height, version.tree.clone());
        self.writer.commit(version.clone(), dropped)
    }

    fn prover(&self, height: u64) -> Result<Prover, Unprovable> {
        self.recent.read().prover(height)
    }

    fn export(&self) -> Result<Export, StateError> {
        let head = self.head();
        let height = head.height.ok_or_else(|| StateError("there is no state before genesis".into()))?;
        self.queue.write_up_to(height)?;
        Ok(Export::new(height, head.tree, self.queue.clone()))
    }

    fn at(&self, height: u64) -> Result<Option<Arc<dyn StateReader>>, StateError> {
        let head = self.head();
        match head.height {
            Some(current) if current == height => Ok(Some(head.reader())),
            Some(current) if current > height => {
                if let Some(version) = self.queue.find(height) {
                    return Ok(Some(version.reader()));
                }
                let transaction = self.queue.database().begin_read().map_err(store_error)?;
                if history::oldest(&transaction)?.is_some_and(|oldest| height < oldest) {
                    return Ok(None);
                }
                Ok(Some(Arc::new(Past::open(&transaction, height)?)))
            }
            _ => Ok(None),
        }
    }
}
