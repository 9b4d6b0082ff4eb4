//! Write committed versions into the file: several at once, on a thread of their own, with a bound on those that wait.

use crate::{
    Options, Version,
    history::{self, HEIGHTS_PER_INDEXING},
    snapshot::Snapshot,
    tables::{HEAD, store_error, write_blocks},
    tree::Tree,
    version::{Committed, Progress, Shared},
};
use candela_primitives::StateError;
use parking_lot::{Condvar, Mutex};
use redb::{Database, ReadableDatabase};
use std::{collections::VecDeque, mem, sync::Arc, thread::JoinHandle};

/// Changed accounts that wait to be written at most, so that memory is bounded.
const MAX_WAITING_ACCOUNTS: usize = 400_000;

#[derive(Default)]
struct Waiting {
    /// Committed versions that are not in the file yet, the oldest first.
    versions: VecDeque<Version>,
    accounts: usize,
    /// Trees that nobody needs any more; freeing one takes as long as changing it.
    outdated: Vec<Tree>,
    /// Why nothing is written any more.
    failed: Option<StateError>,
    closing: bool,
    /// Whether somebody waits for what waits, however little it is.
    wanted: bool,
}

/// Committed versions on their way into the file.
pub(crate) struct Queue {
    database: Database,
    shared: Arc<Shared>,
    options: Options,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

fn accounts(version: &Version) -> usize {
    version.overlay.layers.last().map_or(0, |changes| changes.accounts.len())
}

impl Queue {
    pub(crate) fn new(database: Database, shared: Arc<Shared>, options: Options) -> Self {
        Self { database, shared, options, waiting: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) const fn database(&self) -> &Database {
        &self.database
    }

    /// The version after block `height`, if it waits.
    pub(crate) fn find(&self, height: u64) -> Option<Version> {
        self.waiting.lock().versions.iter().find(|version| version.height == Some(height)).cloned()
    }

    fn push(&self, version: Version, outdated: Vec<Tree>) {
        let mut waiting = self.waiting.lock();
        waiting.outdated.extend(outdated);
        waiting.accounts += accounts(&version);
        waiting.versions.push_back(version);
    }

    /// The error that ended writing, if any.
    pub(crate) fn failure(&self) -> Result<(), StateError> {
        self.check(&self.waiting.lock())
    }

    fn check(&self, waiting: &Waiting) -> Result<(), StateError> {
        waiting.failed.clone().map_or(Ok(()), Err)
    }

    /// Whether so much waits that it is worth a transaction.
    fn is_due(&self, waiting: &Waiting) -> bool {
        waiting.wanted
            || waiting.versions.len() >= self.options.unwritten_heights.div_ceil(2).max(1)
            || waiting.accounts > MAX_WAITING_ACCOUNTS / 2
    }

    fn is_full(&self, waiting: &Waiting) -> bool {
        waiting.versions.len() > self.options.unwritten_heights || waiting.accounts > MAX_WAITING_ACCOUNTS
    }

    /// Writes what waits now.
    fn write_waiting(&self) -> Result<(), StateError> {
        let versions: Vec<_> = {
            let mut waiting = self.waiting.lock();
            waiting.wanted = false;
            waiting.versions.iter().cloned().collect()
        };
        let written = self.write(&versions);
        let mut waiting = self.waiting.lock();
        match written {
            Ok(()) => {
                let gone: usize = waiting.versions.drain(..versions.len()).map(|version| accounts(&version)).sum();
                waiting.accounts -= gone;
            }
            Err(error) => waiting.failed = Some(error),
        }
        self.changed.notify_all();
        self.check(&waiting)
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
        if self.options.retained_heights.is_none_or(|retained| retained > HEIGHTS_PER_INDEXING) {
            history::index(&transaction, height + 1)?;
        }
        if let Some(retained) = self.options.retained_heights {
            history::forget(&transaction, height.saturating_sub(retained))?;
        }
        transaction.commit().map_err(store_error)?;
        let base = Arc::new(Snapshot::open(&self.database.begin_read().map_err(store_error)?)?);
        let written = Progress { blocks: height + 1, root };
        {
            let mut committed = self.shared.committed.write();
            *committed = Committed { head: committed.head, written, base };
        }
        self.shared.cache.written(written.blocks);
        Ok(())
    }

    /// Writes whenever enough waits, and frees what is outdated, until the queue closes or writing fails.
    fn run(&self) {
        loop {
            let (outdated, due) = {
                let mut waiting = self.waiting.lock();
                while !waiting.closing && !self.is_due(&waiting) && waiting.outdated.is_empty() {
                    self.changed.wait(&mut waiting);
                }
                if waiting.closing {
                    return;
                }
                (mem::take(&mut waiting.outdated), self.is_due(&waiting))
            };
            drop(outdated);
            if due && self.write_waiting().is_err() {
                return;
            }
        }
    }

    /// Waits until every version up to `height` is in the file.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn write_up_to(&self, height: u64) -> Result<(), StateError> {
        let mut waiting = self.waiting.lock();
        while waiting.failed.is_none() && waiting.versions.front().is_some_and(|first| first.height <= Some(height)) {
            waiting.wanted = true;
            self.changed.notify_all();
            self.changed.wait(&mut waiting);
        }
        self.check(&waiting)
    }

    fn wait_for_room(&self) -> Result<(), StateError> {
        let mut waiting = self.waiting.lock();
        while waiting.failed.is_none() && self.is_full(&waiting) {
            self.changed.wait(&mut waiting);
        }
        self.check(&waiting)
    }
}

/// Who writes what a [`Queue`] holds. Dropping it writes the rest.
pub(crate) struct Writer {
    queue: Arc<Queue>,
    /// `None` when each version is written by who commits it.
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(queue: Arc<Queue>) -> Result<Self, StateError> {
        let run = queue.clone();
        let thread = (queue.options.unwritten_heights > 0)
            .then(|| std::thread::Builder::new().name("state".to_owned()).spawn(move || run.run()))
            .transpose()
            .map_err(store_error)?;
        Ok(Self { queue, thread })
    }

    /// Writes the next version, and frees what it makes outdated, now or soon. The cache must have it already: what is in
    /// the file may leave the cache.
    ///
    /// # Errors
    /// When it, or an earlier one, can't be written.
    pub(crate) fn commit(&self, version: Version, outdated: Vec<Tree>) -> Result<(), StateError> {
        if self.thread.is_none() {
            self.queue.push(version, Vec::new());
            return self.queue.write_waiting();
        }
        self.queue.push(version, outdated);
        self.queue.changed.notify_all();
        self.queue.wait_for_room()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.waiting.lock().closing = true;
        self.queue.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Err(error) = self.queue.failure().and_then(|()| self.queue.write_waiting()) {
            tracing::warn!(%error, "the last heights of the state were not written; they must be committed again");
        }
    }
}
