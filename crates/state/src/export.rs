//! Let others copy one version, a bounded number of rows at a time, each chunk with a proof.

use crate::{
    Key,
    chunk::{Chunk, Row},
    history,
    key::slot_row,
    tables::{ACCOUNTS, Fixed, SLOTS, head, store_error},
    tree::Tree,
    writer::Queue,
};
use candela_primitives::{B256, StateError};
use parking_lot::Mutex;
use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase};
use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

/// Bytes of rows in a chunk; its proof may be several times as long.
const CHUNK_BYTES: usize = 1 << 19;
/// Rows that may change while a version is copied: what they were is in memory.
const MOST_CHANGED: usize = 1 << 20;

/// A committed version whose rows can be copied while the head moves on.
///
/// It holds the tree, the rows that have changed since, and nothing open in the store.
pub struct Export {
    height: u64,
    tree: Tree,
    queue: Arc<Queue>,
    changed: Mutex<Changed>,
}

/// Rows that were changed after the version, as they were in it.
struct Changed {
    /// The height up to which changes are known.
    known: u64,
    accounts: BTreeMap<[u8; 20], Option<[u8; 72]>>,
    slots: BTreeMap<[u8; 52], Option<[u8; 32]>>,
}

impl Changed {
    fn follow(&mut self, transaction: &ReadTransaction) -> Result<(), StateError> {
        let written = head(transaction)?.map_or(self.known, |(height, _)| height);
        let (accounts, slots) = (&mut self.accounts, &mut self.slots);
        history::changes(
            transaction,
            self.known + 1..written + 1,
            |address, row| {
                accounts.entry(address).or_insert(row);
            },
            |slot, value| {
                slots.entry(slot).or_insert((value != [0; 32]).then_some(value));
            },
        )?;
        self.known = self.known.max(written);
        if self.accounts.len() + self.slots.len() > MOST_CHANGED {
            return Err(StateError("too much has changed since: copy a newer version".into()));
        }
        Ok(())
    }
}

/// The rows after `after`, in order: those of `table`, but as `changed` says where it says anything.
fn rows<'a, const N: usize, const M: usize>(
    table: &'a ReadOnlyTable<Fixed<N>, Fixed<M>>,
    changed: &'a BTreeMap<[u8; N], Option<[u8; M]>>,
    after: Option<[u8; N]>,
) -> Result<impl Iterator<Item = Result<Row<N, M>, StateError>> + 'a, StateError> {
    let range = (after.map_or(Unbounded, Excluded), Unbounded);
    let rows = table.range::<&[u8; N]>((range.0.as_ref(), range.1.as_ref())).map_err(store_error)?;
    let rows = rows.map(|row| row.map(|(key, value)| (*key.value(), *value.value())).map_err(store_error));
    let mut rows = rows.filter(|row| !row.as_ref().is_ok_and(|(key, _)| changed.contains_key(key))).peekable();
    let former = changed.range::<[u8; N], _>(range).filter_map(|(key, value)| Some((*key, (*value)?)));
    let mut former = former.peekable();
    Ok(std::iter::from_fn(move || match (rows.peek(), former.peek()) {
        (Some(Ok((row, _))), Some((changed, _))) if changed < row => former.next().map(Ok),
        (None, Some(_)) => former.next().map(Ok),
        _ => rows.next(),
    }))
}

impl Export {
    /// The version with `tree` after block `height`, which is in the file.
    pub(crate) fn new(height: u64, tree: Tree, queue: Arc<Queue>) -> Self {
        let changed = Changed { known: height, accounts: BTreeMap::new(), slots: BTreeMap::new() };
        Self { height, tree, queue, changed: Mutex::new(changed) }
    }

    /// Height of the block whose state this is.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// The state root.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.tree.root()
    }

    /// The rows after a key, as [`Import::add`](crate::Import::add) takes them; without rows at the end. Accounts come
    /// before slots, both in the order of their bytes.
    ///
    /// # Errors
    /// When the store fails or keeps the version no longer.
    pub fn chunk(&self, after: Option<Key>) -> Result<Vec<u8>, StateError> {
        let transaction = self.queue.database().begin_read().map_err(store_error)?;
        if history::oldest(&transaction)?.is_some_and(|oldest| self.height < oldest) {
            return Err(StateError(format!("the state after block {} is not kept any more", self.height)));
        }
        let mut changed = self.changed.lock();
        changed.follow(&transaction)?;
        let mut chunk = Chunk::default();
        let (address, slot) = match after {
            None => (None, None),
            Some(Key::Account(address)) => (Some(address.0.0), None),
            Some(Key::Slot(address, slot)) => (Some([u8::MAX; 20]), Some(slot_row(&address, &slot))),
        };
        let accounts = transaction.open_table(ACCOUNTS).map_err(store_error)?;
        for row in rows(&accounts, &changed.accounts, address)? {
            if chunk.row_bytes() >= CHUNK_BYTES {
                break;
            }
            chunk.accounts.push(row?);
        }
        let slots = transaction.open_table(SLOTS).map_err(store_error)?;
        for row in rows(&slots, &changed.slots, slot)? {
            if chunk.row_bytes() >= CHUNK_BYTES {
                break;
            }
            chunk.slots.push(row?);
        }
        drop(changed);
        chunk.prove(&self.tree);
        Ok(chunk.encode())
    }
}
