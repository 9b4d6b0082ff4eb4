//! Let others copy one version, a bounded number of rows at a time, each chunk with a proof.

use crate::{
    Key,
    chunk::Chunk,
    key::slot_row,
    snapshot::Past,
    tables::{ACCOUNTS, CHANGED, HEAD, OLDEST, SLOTS, split_changed, store_error},
    tree::Tree,
    writer::Queue,
};
use candela_primitives::{B256, StateError};
use parking_lot::Mutex;
use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase};
use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

/// Bytes of rows in a chunk; its proof may be several times as long.
const CHUNK_BYTES: usize = 1 << 19;

/// A committed version whose rows can be copied while the head moves on.
///
/// It holds the tree and nothing open in the store: rows that have changed since are read from the history.
pub struct Export {
    height: u64,
    tree: Tree,
    queue: Arc<Queue>,
    gone: Mutex<Gone>,
}

/// Rows that were deleted after the version: only the history has them.
struct Gone {
    /// The height up to which deletions are known.
    known: u64,
    accounts: BTreeSet<[u8; 20]>,
    slots: BTreeSet<[u8; 52]>,
}

impl Gone {
    fn follow(&mut self, transaction: &ReadTransaction) -> Result<(), StateError> {
        let head = transaction.open_table(HEAD).map_err(store_error)?;
        let written = head.get(()).map_err(store_error)?.map_or(self.known, |row| row.value().0);
        let changed = transaction.open_table(CHANGED).map_err(store_error)?;
        let accounts = transaction.open_table(ACCOUNTS).map_err(store_error)?;
        let slots = transaction.open_table(SLOTS).map_err(store_error)?;
        for row in changed.range(self.known + 1..=written).map_err(store_error)? {
            let (_, rows) = row.map_err(store_error)?;
            let (changed_accounts, changed_slots) = split_changed(rows.value())?;
            for address in changed_accounts {
                if accounts.get(address).map_err(store_error)?.is_none() {
                    self.accounts.insert(*address);
                }
            }
            for slot in changed_slots {
                if slots.get(slot).map_err(store_error)?.is_none() {
                    self.slots.insert(*slot);
                }
            }
        }
        self.known = written;
        Ok(())
    }
}

/// The keys after `after` that a table or `gone` has, in order.
fn keys<'a, const N: usize, V: redb::Value + 'static>(
    table: &'a ReadOnlyTable<[u8; N], V>,
    gone: &'a BTreeSet<[u8; N]>,
    after: Option<[u8; N]>,
) -> Result<impl Iterator<Item = Result<[u8; N], StateError>> + 'a, StateError> {
    let range = (after.map_or(Unbounded, Excluded), Unbounded);
    let rows = table.range::<[u8; N]>(range).map_err(store_error)?;
    let mut rows = rows.map(|row| row.map(|(key, _)| key.value()).map_err(store_error)).peekable();
    let mut gone = gone.range::<[u8; N], _>(range).copied().peekable();
    Ok(std::iter::from_fn(move || match (rows.peek(), gone.peek()) {
        (Some(Ok(row)), Some(deleted)) if deleted == row => {
            gone.next();
            rows.next()
        }
        (Some(Ok(row)), Some(deleted)) if deleted < row => gone.next().map(Ok),
        (None, Some(_)) => gone.next().map(Ok),
        _ => rows.next(),
    }))
}

impl Export {
    /// The version with `tree` after block `height`, which is in the file.
    pub(crate) fn new(height: u64, tree: Tree, queue: Arc<Queue>) -> Self {
        let gone = Gone { known: height, accounts: BTreeSet::new(), slots: BTreeSet::new() };
        Self { height, tree, queue, gone: Mutex::new(gone) }
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
        let oldest = transaction.open_table(OLDEST).map_err(store_error)?;
        if oldest.get(()).map_err(store_error)?.is_some_and(|oldest| self.height < oldest.value()) {
            return Err(StateError(format!("the state after block {} is not kept any more", self.height)));
        }
        let mut gone = self.gone.lock();
        gone.follow(&transaction)?;
        let past = Past::open(&transaction, self.height)?;
        let mut chunk = Chunk::default();
        let (address, slot) = match after {
            None => (None, None),
            Some(Key::Account(address)) => (Some(address.0.0), None),
            Some(Key::Slot(address, slot)) => (Some([u8::MAX; 20]), Some(slot_row(&address, &slot))),
        };
        let accounts = transaction.open_table(ACCOUNTS).map_err(store_error)?;
        for address in keys(&accounts, &gone.accounts, address)? {
            if chunk.row_bytes() >= CHUNK_BYTES {
                break;
            }
            let address = address?;
            if let Some(account) = past.account_row(&address)? {
                chunk.accounts.push((address, account));
            }
        }
        let slots = transaction.open_table(SLOTS).map_err(store_error)?;
        for row in keys(&slots, &gone.slots, slot)? {
            if chunk.row_bytes() >= CHUNK_BYTES {
                break;
            }
            let row = row?;
            let value = past.slot_value(&row)?;
            if value != [0; 32] {
                chunk.slots.push((row, value));
            }
        }
        drop(gone);
        chunk.prove(&self.tree);
        Ok(chunk.encode())
    }
}
