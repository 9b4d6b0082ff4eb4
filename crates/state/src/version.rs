//! One version of the state, committed or not.

use crate::{Export, Key, Overlay, Prover, Unprovable, cache::Cache, key, reader::Reader, tree::Tree};
use candela_primitives::{Account, Address, B256, StateChanges, StateError, StateReader, U256};
use parking_lot::RwLock;
use rayon::prelude::*;
use std::{collections::BTreeSet, sync::Arc};

/// A reader that can also list the slots of an account.
pub(crate) trait Base: StateReader {
    fn slots(&self, address: &Address) -> Result<Vec<U256>, StateError>;
}

/// A number of blocks of the final chain, and the root after them.
#[derive(Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) blocks: u64,
    pub(crate) root: B256,
}

/// How far the final chain is, and how much of it is in the file.
pub(crate) struct Committed {
    pub(crate) head: Progress,
    pub(crate) written: Progress,
    /// Reads what is written.
    pub(crate) base: Arc<dyn Base>,
}

/// What all versions of one state share.
pub(crate) struct Shared {
    pub(crate) committed: RwLock<Committed>,
    pub(crate) cache: Arc<Cache>,
}

/// The state after some block. Cloning is cheap; versions share what they have in common.
#[derive(Clone)]
pub struct Version {
    pub(crate) height: Option<u64>,
    pub(crate) tree: Tree,
    pub(crate) overlay: Overlay<Arc<dyn Base>>,
    /// Root after each layer of the overlay.
    pub(crate) roots: Vec<B256>,
    /// Root before the last layer.
    pub(crate) parent: B256,
    /// How many layers of the overlay, the oldest first, are final and so in the cache.
    pub(crate) final_layers: usize,
    pub(crate) shared: Arc<Shared>,
}

/// Rows that a thread hashes at least.
const ROWS_PER_TASK: usize = 64;

/// What a block leaves in a row.
enum Row<'a> {
    Account(&'a Account),
    Slot(&'a U256),
}

impl Row<'_> {
    /// The hash that goes into the row's leaf; `None` when the row is gone.
    fn hash(&self) -> Option<B256> {
        match self {
            Self::Account(account) => Some(key::sha256(&key::account_value(account))),
            Self::Slot(value) => key::slot_value(value).map(|bytes| key::sha256(&bytes)),
        }
    }
}

impl Version {
    /// Height of the block whose state this is; `None` before genesis.
    #[must_use]
    pub const fn height(&self) -> Option<u64> {
        self.height
    }

    /// The state root.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.tree.root()
    }

    /// Reads this version.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn StateReader> {
        Arc::new(Reader {
            overlay: self.overlay.clone(),
            cached_layers: self.final_layers,
            base_blocks: self.base_blocks(),
            cache: self.shared.cache.clone(),
        })
    }

    /// The version after one more block, which nobody has agreed on yet.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn extend(&self, changes: Arc<StateChanges>) -> Result<Self, StateError> {
        let mut rows = Vec::with_capacity(changes.accounts.len() * 2);
        for (address, change) in &changes.accounts {
            rows.push((Key::Account(*address), change.account.as_ref().map(Row::Account)));
            if change.storage_cleared {
                rows.extend(self.slots(address)?.into_iter().map(|slot| (Key::Slot(*address, slot), None)));
            }
            rows.extend(
                change.storage.iter().map(|(slot, value)| (Key::Slot(*address, *slot), Some(Row::Slot(value)))),
            );
        }
        let leaf = |(key, row): &(Key, Option<Row<'_>>)| (key.path(), row.as_ref().and_then(Row::hash));
        let tree = self.tree.updated(rows.par_iter().with_min_len(ROWS_PER_TASK).map(leaf).collect());
        let mut next = self.clone();
        next.catch_up();
        next.overlay.layers.push(changes);
        next.roots.push(tree.root());
        Ok(Self { height: Some(self.blocks()), parent: self.root(), tree, ..next })
    }

    /// The last block's height and what it changed.
    pub(crate) fn last_block(&self) -> Result<(u64, &Arc<StateChanges>), StateError> {
        let changes = self.overlay.layers.last();
        self.height.zip(changes).ok_or_else(|| StateError(format!("version {:?} has no changes", self.height)))
    }

    /// Blocks up to and including this one.
    pub(crate) fn blocks(&self) -> u64 {
        self.height.map_or(0, |height| height + 1)
    }

    /// Blocks in the overlay's base.
    fn base_blocks(&self) -> u64 {
        self.blocks() - self.roots.len() as u64
    }

    /// How many layers lead to `progress`, if it is on the way to this version.
    fn layers_to(&self, progress: Progress) -> Option<usize> {
        let layers = usize::try_from(progress.blocks.checked_sub(self.base_blocks())?).ok()?;
        (self.roots.get(layers.checked_sub(1)?) == Some(&progress.root)).then_some(layers)
    }

    /// Reads from cache and file what has become final and durable since, so that an endless chain of versions stays
    /// short.
    pub(crate) fn catch_up(&mut self) {
        let committed = self.shared.committed.read();
        if let Some(layers) = self.layers_to(committed.head) {
            self.final_layers = layers;
        }
        if let Some(layers) = self.layers_to(committed.written) {
            self.roots.drain(..layers);
            self.overlay.layers.drain(..layers);
            self.overlay.base = committed.base.clone();
            self.final_layers = self.final_layers.saturating_sub(layers);
        }
    }

    /// Every slot that may be set: those of the base, and those of the layers.
    pub(crate) fn slots(&self, address: &Address) -> Result<BTreeSet<U256>, StateError> {
        let mut slots: BTreeSet<_> = self.overlay.base.slots(address)?.into_iter().collect();
        for change in self.overlay.layers.iter().filter_map(|layer| layer.accounts.get(address)) {
            slots.extend(change.storage.keys());
        }
        Ok(slots)
    }
}

/// A store of versions, of which the newest committed one is the head.
pub trait State: Send + Sync {
    /// The newest committed version.
    fn head(&self) -> Version;

    /// Makes `version` the head. Does nothing when it is committed already. A store may keep the last heights in memory
    /// and write them later; then a crash takes it back to the last height that it wrote.
    ///
    /// # Errors
    /// When `version` is neither the head nor its child, or the store fails.
    fn commit(&self, version: &Version) -> Result<(), StateError>;

    /// Reads the state after block `height`, or `None` when it is not kept.
    ///
    /// # Errors
    /// When the store fails.
    fn at(&self, height: u64) -> Result<Option<Arc<dyn StateReader>>, StateError>;

    /// Proves the state after block `height`: the head, or one of the last heights before it.
    ///
    /// # Errors
    /// When proofs for that height are not kept; the error names those that are.
    fn prover(&self, height: u64) -> Result<Prover, Unprovable>;

    /// Lets others copy the head; what waits in memory is written first.
    ///
    /// # Errors
    /// Before genesis, or when the store fails.
    fn export(&self) -> Result<Export, StateError>;
}
