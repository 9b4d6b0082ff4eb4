//! Find transactions and logs: an index in a file of its own, written many blocks at once on a thread of its own.
//!
//! What waits to be written is found in memory; what a crash takes is indexed again from the archive.

use crate::{ArchiveError, ArchivedBlock, error::database};
use candela_primitives::B256;
use foldhash::fast::RandomState;
use parking_lot::{Condvar, Mutex, MutexGuard};
use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition};
use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::Arc,
    thread::JoinHandle,
};

/// (first 8 bytes of the hash, height, position): where transactions are that begin so.
const TRANSACTIONS: TableDefinition<'_, &[u8; 20], ()> = TableDefinition::new("transactions");
/// (field, last 8 bytes of its value, height): which blocks hold logs with it.
const LOGS: TableDefinition<'_, &[u8; 17], ()> = TableDefinition::new("logs");
/// How many blocks are indexed.
const BLOCKS: TableDefinition<'_, (), u64> = TableDefinition::new("blocks");

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransactionLocation {
    pub(crate) block_number: u64,
    /// Position in the block.
    pub(crate) index: u32,
}

/// What is worth a write.
const BLOCKS_PER_WRITE: u64 = 256;
const TRANSACTIONS_PER_WRITE: usize = 1 << 15;
/// How many times as much may wait.
const MOST_WAITING: usize = 2;

/// What some blocks add to the index.
#[derive(Default)]
struct Entries {
    transactions: HashMap<B256, TransactionLocation, RandomState>,
    /// In order, and without repetition, in each block.
    logs: Vec<[u8; 17]>,
    /// How many blocks there are, and how many of them are here.
    blocks: u64,
    added: u64,
}

impl Entries {
    fn add(&mut self, block: &ArchivedBlock) {
        self.transactions.extend(locations(block));
        let mut rows: Vec<_> = log_rows(block).collect();
        rows.sort_unstable();
        rows.dedup();
        self.logs.append(&mut rows);
        self.blocks = block.number() + 1;
        self.added += 1;
    }

    fn exceeds(&self, writes: usize) -> bool {
        self.added >= writes as u64 * BLOCKS_PER_WRITE || self.transactions.len() >= writes * TRANSACTIONS_PER_WRITE
    }
}

#[derive(Default)]
struct Waiting {
    entries: Entries,
    writing: Arc<Entries>,
    /// Why nothing is indexed any more.
    failed: Option<String>,
    closing: bool,
}

impl Waiting {
    fn check(&self) -> Result<(), ArchiveError> {
        self.failed.clone().map_or(Ok(()), |reason| Err(ArchiveError::Database(reason)))
    }

    fn find(&self, hash: &B256) -> Option<TransactionLocation> {
        self.entries.transactions.get(hash).or_else(|| self.writing.transactions.get(hash)).copied()
    }
}

struct Shared {
    database: Database,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Shared {
    fn write_waiting(&self) {
        let (entries, logs) = {
            let mut waiting = self.waiting.lock();
            if waiting.failed.is_some() {
                return;
            }
            let mut entries = mem::take(&mut waiting.entries);
            let logs = mem::take(&mut entries.logs);
            waiting.writing = Arc::new(entries);
            (waiting.writing.clone(), logs)
        };
        self.changed.notify_all();
        let written = self.write(&entries, logs);
        let mut waiting = self.waiting.lock();
        match written {
            Ok(()) => waiting.writing = Arc::default(),
            Err(error) => waiting.failed = Some(error.to_string()),
        }
        self.changed.notify_all();
    }

    fn write(&self, entries: &Entries, mut logs: Vec<[u8; 17]>) -> Result<(), ArchiveError> {
        if entries.added == 0 {
            return Ok(());
        }
        let transaction = self.database.begin_write().map_err(database)?;
        {
            let mut rows: Vec<_> = entries.transactions.iter().map(|(hash, at)| transaction_row(hash, at)).collect();
            rows.sort_unstable();
            let mut transactions = transaction.open_table(TRANSACTIONS).map_err(database)?;
            for row in &rows {
                transactions.insert(row, ()).map_err(database)?;
            }
            logs.sort_unstable();
            let mut table = transaction.open_table(LOGS).map_err(database)?;
            for row in &logs {
                table.insert(row, ()).map_err(database)?;
            }
            let mut blocks = transaction.open_table(BLOCKS).map_err(database)?;
            blocks.insert((), entries.blocks).map_err(database)?;
        }
        transaction.commit().map_err(database)
    }

    fn wait_while(&self, condition: impl Fn(&Waiting) -> bool) -> MutexGuard<'_, Waiting> {
        let mut waiting = self.waiting.lock();
        while condition(&waiting) {
            self.changed.wait(&mut waiting);
        }
        waiting
    }

    fn run(&self) {
        loop {
            let waiting = self.wait_while(|waiting| !waiting.closing && !waiting.entries.exceeds(1));
            if waiting.closing || waiting.failed.is_some() {
                return;
            }
            drop(waiting);
            self.write_waiting();
        }
    }
}

/// The index of an archive. Dropping it writes what waits.
pub(crate) struct Index {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Index {
    pub(crate) fn open(file: Database) -> Result<Self, ArchiveError> {
        let transaction = file.begin_write().map_err(database)?;
        transaction.open_table(TRANSACTIONS).map_err(database)?;
        transaction.open_table(LOGS).map_err(database)?;
        transaction.open_table(BLOCKS).map_err(database)?;
        transaction.commit().map_err(database)?;
        let shared = Arc::new(Shared { database: file, waiting: Mutex::default(), changed: Condvar::new() });
        let run = shared.clone();
        let thread = std::thread::Builder::new().name("index".to_owned()).spawn(move || run.run()).map_err(database)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// How many blocks are in the file.
    pub(crate) fn blocks(&self) -> Result<u64, ArchiveError> {
        indexed(&self.shared.database.begin_read().map_err(database)?)
    }

    /// Takes the next block; waits while too many do.
    ///
    /// # Errors
    /// When this or an earlier block can't be indexed.
    pub(crate) fn push(&self, block: &ArchivedBlock) -> Result<(), ArchiveError> {
        let full = |waiting: &Waiting| waiting.failed.is_none() && waiting.entries.exceeds(MOST_WAITING);
        let mut waiting = self.shared.wait_while(full);
        waiting.check()?;
        waiting.entries.add(block);
        if waiting.entries.exceeds(1) {
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// Where a transaction may be; another one may begin with the same bytes.
    pub(crate) fn candidates(&self, hash: &B256) -> Result<Vec<TransactionLocation>, ArchiveError> {
        if let Some(location) = self.shared.waiting.lock().find(hash) {
            return Ok(vec![location]);
        }
        const FIRST: TransactionLocation = TransactionLocation { block_number: 0, index: 0 };
        const LAST: TransactionLocation = TransactionLocation { block_number: u64::MAX, index: u32::MAX };
        let transaction = self.shared.database.begin_read().map_err(database)?;
        let transactions = transaction.open_table(TRANSACTIONS).map_err(database)?;
        let (first, last) = (transaction_row(hash, &FIRST), transaction_row(hash, &LAST));
        let rows = transactions.range::<&[u8; 20]>(&first..=&last).map_err(database)?;
        rows.map(|row| row.map(|(row, _)| location(row.value())).map_err(database)).collect()
    }

    /// The heights from `from` to `to` whose logs may have one of the values in each of the fields; those that are not
    /// indexed yet are among them.
    pub(crate) fn heights<'a>(
        &self,
        from: u64,
        to: u64,
        fields: impl Iterator<Item = (u8, Vec<&'a [u8]>)>,
    ) -> Result<Option<BTreeSet<u64>>, ArchiveError> {
        let transaction = self.shared.database.begin_read().map_err(database)?;
        let logs = transaction.open_table(LOGS).map_err(database)?;
        let beyond = indexed(&transaction)?.max(from)..=to;
        let mut heights: Option<BTreeSet<u64>> = None;
        for (field, values) in fields {
            let mut holding: BTreeSet<_> = beyond.clone().collect();
            for value in values {
                let (first, last) = (log_row(field, value, from), log_row(field, value, to));
                for row in logs.range::<&[u8; 17]>(&first..=&last).map_err(database)? {
                    holding.insert(number(&row.map_err(database)?.0.value()[9..]));
                }
            }
            heights = Some(match heights {
                Some(heights) => &heights & &holding,
                None => holding,
            });
        }
        Ok(heights)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.shared.waiting.lock().closing = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.shared.write_waiting();
        if let Err(error) = self.shared.waiting.lock().check() {
            tracing::warn!(%error, "the last blocks were not indexed; they will be when the archive is opened");
        }
    }
}

fn indexed(transaction: &ReadTransaction) -> Result<u64, ArchiveError> {
    let blocks = transaction.open_table(BLOCKS).map_err(database)?;
    Ok(blocks.get(()).map_err(database)?.map_or(0, |row| row.value()))
}

fn locations(block: &ArchivedBlock) -> impl Iterator<Item = (B256, TransactionLocation)> {
    let block_number = block.number();
    block
        .transactions
        .iter()
        .zip(0..)
        .map(move |(each, index)| (each.hash(), TransactionLocation { block_number, index }))
}

fn transaction_row(hash: &B256, at: &TransactionLocation) -> [u8; 20] {
    let mut row = [0; 20];
    row[..8].copy_from_slice(&hash[..8]);
    row[8..16].copy_from_slice(&at.block_number.to_be_bytes());
    row[16..].copy_from_slice(&at.index.to_be_bytes());
    row
}

fn location(row: &[u8; 20]) -> TransactionLocation {
    TransactionLocation {
        block_number: number(&row[8..16]),
        index: u32::from_be_bytes([row[16], row[17], row[18], row[19]]),
    }
}

/// Values are indexed by their last 8 bytes, where padded addresses and numbers differ; matching is exact afterwards.
fn log_row(field: u8, value: &[u8], number: u64) -> [u8; 17] {
    let mut row = [0; 17];
    row[0] = field;
    row[1..9].copy_from_slice(&value[value.len() - 8..]);
    row[9..].copy_from_slice(&number.to_be_bytes());
    row
}

fn log_rows(block: &ArchivedBlock) -> impl Iterator<Item = [u8; 17]> {
    let number = block.number();
    block.receipts.iter().flat_map(|receipt| &receipt.logs).flat_map(move |log| {
        let topics = log.topics().iter().zip(1u8..).map(move |(topic, field)| log_row(field, topic.as_slice(), number));
        std::iter::once(log_row(0, log.address.as_slice(), number)).chain(topics)
    })
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}
