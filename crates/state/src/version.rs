//! One version of the state, committed or not.

use crate::{Key, Overlay, Proof, key, tree::Tree};
use candela_primitives::{B256, StateChanges, StateError, StateReader, U256};
use std::{collections::BTreeSet, sync::Arc};

/// A reader that can also list the slots of an account.
pub(crate) trait Base: StateReader {
    fn slots(&self, address: &candela_primitives::Address) -> Result<Vec<U256>, StateError>;
}

/// The state after some block. Cloning is cheap; versions share what they have in common.
#[derive(Clone)]
pub struct Version {
    pub(crate) height: Option<u64>,
    pub(crate) tree: Tree,
    pub(crate) overlay: Overlay<Arc<dyn Base>>,
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
        Arc::new(self.overlay.clone())
    }

    /// The version after one more block, which nobody has agreed on yet.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn extend(&self, changes: Arc<StateChanges>) -> Result<Self, StateError> {
        let mut leaves = Vec::with_capacity(changes.accounts.len() * 2);
        for (address, change) in &changes.accounts {
            let value = change.account.as_ref().map(|account| key::sha256(&key::encode_account(account)));
            leaves.push((Key::Account(*address).path(), value));
            if change.storage_cleared {
                for slot in self.slots(address)? {
                    leaves.push((Key::Slot(*address, slot).path(), None));
                }
            }
            for (slot, value) in &change.storage {
                let value = (!value.is_zero()).then(|| key::sha256(&value.to_be_bytes::<32>()));
                leaves.push((Key::Slot(*address, *slot).path(), value));
            }
        }
        let mut overlay = self.overlay.clone();
        overlay.layers.push(changes);
        Ok(Self { height: Some(self.height.map_or(0, |height| height + 1)), tree: self.tree.updated(leaves), overlay })
    }

    /// Proof for `key` against [`Self::root`].
    #[must_use]
    pub fn prove(&self, key: &Key) -> Proof {
        let (siblings, leaf) = self.tree.walk(&key.path());
        Proof { siblings, leaf }
    }

    /// Every slot that may be set: those of the base, and those of the layers.
    fn slots(&self, address: &candela_primitives::Address) -> Result<BTreeSet<U256>, StateError> {
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

    /// Makes `version` the head: durable when this returns. Does nothing when it is committed already.
    ///
    /// # Errors
    /// When `version` is not the child of the head, or the store fails.
    fn commit(&self, version: &Version) -> Result<(), StateError>;

    /// Reads the state after block `height`, or `None` when it is not kept.
    ///
    /// # Errors
    /// When the store fails.
    fn at(&self, height: u64) -> Result<Option<Arc<dyn StateReader>>, StateError>;
}
