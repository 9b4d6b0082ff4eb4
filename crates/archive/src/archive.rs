//! The tables and their queries.

use crate::{
    ArchivedBlock, ArchivedHeader, ArchivedLog, LogFilter, LogLimits,
    block::{Rows, receipts_from_row},
    error::{ArchiveError, database},
    index::{Index, TransactionLocation},
};
use candela_primitives::{B256, Bloom, Bytes, Receipt};
use parking_lot::{Mutex, RwLock};
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
    backends::InMemoryBackend,
};
use std::{collections::VecDeque, ops::RangeInclusive, path::Path, sync::Arc};

const HEADERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("headers");
const BODIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bodies");
const RECEIPTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("receipts");
const BLOOMS: TableDefinition<'_, u64, &[u8; 256]> = TableDefinition::new("blooms");
const NUMBERS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("numbers");
/// The oldest block with its transactions besides genesis, where the chain was not followed from there.
const FIRST: TableDefinition<'_, (), u64> = TableDefinition::new("first");

const CACHE_BYTES: usize = 32 << 20;
/// Blocks kept decoded, the ones that clients ask for right after they became final: so many, and so many transactions.
const RECENT: usize = 64;
const RECENT_TRANSACTIONS: usize = 1 << 14;

/// Finalised blocks in one file, or in memory for tests. Reads do not wait for writes.
pub struct Archive {
    database: Database,
    recent: RwLock<VecDeque<Arc<ArchivedBlock>>>,
    writing: Mutex<()>,
    index: Index,
    first: u64,
}

/// What an archive begins with whose chain is not followed from genesis on.
pub struct Beginning {
    /// Block 0.
    pub genesis: ArchivedBlock,
    /// Headers of the blocks right before the first one, in order.
    pub ancestors: Vec<ArchivedHeader>,
    /// The first blocks, in order; at least one.
    pub blocks: Vec<ArchivedBlock>,
}

impl Archive {
    /// Opens the file, or creates it; beside it is an index, `*.index.redb`, which is made again when it lacks blocks.
    ///
    /// # Errors
    /// When it is held by another process, unreadable or damaged.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let open = |path: &Path| Builder::new().set_cache_size(CACHE_BYTES).create(path).map_err(database);
        Self::load(open(path)?, open(&path.with_extension("index.redb"))?)
    }

    /// An archive that lives as long as the value.
    ///
    /// # Errors
    /// When memory is exhausted.
    pub fn in_memory() -> Result<Self, ArchiveError> {
        let open = || Builder::new().create_with_backend(InMemoryBackend::new()).map_err(database);
        Self::load(open()?, open()?)
    }

    fn load(file: Database, index: Database) -> Result<Self, ArchiveError> {
        let transaction = file.begin_write().map_err(database)?;
        transaction.open_table(HEADERS).map_err(database)?;
        transaction.open_table(BODIES).map_err(database)?;
        transaction.open_table(RECEIPTS).map_err(database)?;
        transaction.open_table(BLOOMS).map_err(database)?;
        transaction.open_table(NUMBERS).map_err(database)?;
        let first = transaction.open_table(FIRST).map_err(database)?.get(()).map_err(database)?.map(|row| row.value());
        transaction.commit().map_err(database)?;
        let index = Index::open(index)?;
        let (recent, writing, first) = (RwLock::default(), Mutex::default(), first.unwrap_or_default());
        let archive = Self { database: file, recent, writing, index, first };
        if let Some(number) = archive.last_number()?
            && let Some(head) = archive.read_block(number)?
        {
            archive.recent.write().push_back(Arc::new(head));
            archive.index_again(number)?;
        }
        Ok(archive)
    }

    /// Indexes what a crash took from the index, up to the block at `last`.
    fn index_again(&self, last: u64) -> Result<(), ArchiveError> {
        let indexed = self.index.blocks()?.max(self.first);
        if indexed > last + 1 {
            return Err(ArchiveError::Database(format!(
                "its index has {indexed} blocks and belongs to another archive; remove *.index.redb to make it again"
            )));
        }
        for number in indexed..=last {
            let missing = || ArchiveError::Damaged { number, reason: "it is missing".to_owned() };
            self.index.push(&*self.block(number)?.ok_or_else(missing)?)?;
        }
        Ok(())
    }

    fn read(&self) -> Result<ReadTransaction, ArchiveError> {
        self.database.begin_read().map_err(database)
    }

    /// Makes an archive that does not have the blocks between genesis and the first of `beginning`; durable when it
    /// returns.
    ///
    /// # Errors
    /// When the file exists, or the database fails.
    pub fn begin(path: &Path, beginning: &Beginning) -> Result<(), ArchiveError> {
        let archive = Self::open(path)?;
        let first = beginning.blocks.first().map_or(0, ArchivedBlock::number);
        if let Some(head) = archive.head() {
            return Err(ArchiveError::Gap { number: first, head: Some(head.number()) });
        }
        let transaction = archive.database.begin_write().map_err(database)?;
        write(&transaction, &beginning.genesis)?;
        beginning.blocks.iter().try_for_each(|block| write(&transaction, block))?;
        {
            let mut headers = transaction.open_table(HEADERS).map_err(database)?;
            for header in &beginning.ancestors {
                let row = alloy_rlp::encode(header);
                headers.insert(header.ethereum_header.number, row.as_slice()).map_err(database)?;
            }
            transaction.open_table(FIRST).map_err(database)?.insert((), first).map_err(database)?;
        }
        transaction.commit().map_err(database)
    }

    /// The oldest block that is here with all blocks after it; 0 where the chain was followed from genesis on.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// # Errors
    /// When a block, which is not in the file, was before the first one.
    fn check_kept(&self, number: u64) -> Result<(), ArchiveError> {
        if (1..self.first).contains(&number) { Err(ArchiveError::Pruned { number, first: self.first }) } else { Ok(()) }
    }

    fn last_number(&self) -> Result<Option<u64>, ArchiveError> {
        let headers = self.read()?.open_table(HEADERS).map_err(database)?;
        Ok(headers.last().map_err(database)?.map(|(number, _)| number.value()))
    }

    fn read_block(&self, number: u64) -> Result<Option<ArchivedBlock>, ArchiveError> {
        self.check_kept(number)?;
        let transaction = self.read()?;
        let Some(header) = row(&transaction, HEADERS, number)? else { return Ok(None) };
        let missing = |what: &str| ArchiveError::Damaged { number, reason: format!("its {what} are missing") };
        let rows = Rows {
            header,
            transactions: row(&transaction, BODIES, number)?.ok_or_else(|| missing("transactions"))?,
            receipts: row(&transaction, RECEIPTS, number)?.ok_or_else(|| missing("receipts"))?,
        };
        ArchivedBlock::from_rows(number, &rows).map(Some)
    }

    /// The header, hash and certificate of the block at a height, without reading the rest. An archive that does not begin
    /// at genesis also has the headers right before its first block.
    ///
    /// # Errors
    /// When the block was before the first one, or the database fails or is damaged.
    pub fn header(&self, number: u64) -> Result<Option<ArchivedHeader>, ArchiveError> {
        let header = row(&self.read()?, HEADERS, number)?;
        if header.is_none() {
            self.check_kept(number)?;
        }
        header.map(|header| ArchivedHeader::from_row(number, &header)).transpose()
    }

    /// The receipts of the block at a height, without reading the rest.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn receipts(&self, number: u64) -> Result<Option<Vec<Receipt>>, ArchiveError> {
        self.check_kept(number)?;
        let receipts = row(&self.read()?, RECEIPTS, number)?;
        receipts.map(|receipts| receipts_from_row(number, &receipts)).transpose()
    }

    /// The newest block, or `None` before genesis.
    #[must_use]
    pub fn head(&self) -> Option<Arc<ArchivedBlock>> {
        self.recent.read().back().cloned()
    }

    /// Stores the next block: durable when this returns. Does nothing when the block is stored already.
    ///
    /// # Errors
    /// When another block is final at the height, the height leaves a gap, or the database fails.
    pub fn append(&self, block: Arc<ArchivedBlock>) -> Result<(), ArchiveError> {
        let _writing = self.writing.lock();
        let number = block.number();
        let head = self.head().map(|head| head.number());
        if head.is_some_and(|head| number <= head) {
            let stored = self.block(number)?.map(|stored| stored.hash).unwrap_or_default();
            return if stored == block.hash {
                Ok(())
            } else {
                Err(ArchiveError::Conflict { number, stored, offered: block.hash })
            };
        }
        if head.map_or(0, |head| head + 1) != number {
            return Err(ArchiveError::Gap { number, head });
        }
        let transaction = self.database.begin_write().map_err(database)?;
        write(&transaction, &block)?;
        transaction.commit().map_err(database)?;
        {
            let mut recent = self.recent.write();
            recent.push_back(block.clone());
            let mut transactions: usize = recent.iter().map(|block| block.transactions.len()).sum();
            while recent.len() > RECENT || (recent.len() > 1 && transactions > RECENT_TRANSACTIONS) {
                transactions -= recent.pop_front().map_or(0, |oldest| oldest.transactions.len());
            }
        }
        self.index.push(&block)
    }

    /// The block at a height.
    ///
    /// # Errors
    /// When it was before the first one, or the database fails or is damaged.
    pub fn block(&self, number: u64) -> Result<Option<Arc<ArchivedBlock>>, ArchiveError> {
        if let Some(block) = self.recent.read().iter().rev().find(|block| block.number() == number) {
            return Ok(Some(block.clone()));
        }
        Ok(self.read_block(number)?.map(Arc::new))
    }

    /// The height of the block with a hash.
    ///
    /// # Errors
    /// When the database fails.
    pub fn number(&self, hash: &B256) -> Result<Option<u64>, ArchiveError> {
        if let Some(block) = self.recent.read().iter().rev().find(|block| block.hash == *hash) {
            return Ok(Some(block.number()));
        }
        let numbers = self.read()?.open_table(NUMBERS).map_err(database)?;
        Ok(numbers.get(&hash.0).map_err(database)?.map(|row| row.value()))
    }

    /// The block with a hash.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn block_by_hash(&self, hash: &B256) -> Result<Option<Arc<ArchivedBlock>>, ArchiveError> {
        self.number(hash)?.map_or(Ok(None), |number| self.block(number))
    }

    /// The hash of the block at a height.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn hash(&self, number: u64) -> Result<Option<B256>, ArchiveError> {
        if let Some(block) = self.recent.read().iter().rev().find(|block| block.number() == number) {
            return Ok(Some(block.hash));
        }
        Ok(self.header(number)?.map(|header| header.hash))
    }

    /// The block that holds a transaction, and its position there.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn transaction(&self, hash: &B256) -> Result<Option<(Arc<ArchivedBlock>, usize)>, ArchiveError> {
        for TransactionLocation { block_number, index } in self.index.candidates(hash)? {
            let index = index as usize;
            if let Some(block) = self.block(block_number)?
                && block.transactions.get(index).is_some_and(|found| found.hash() == *hash)
            {
                return Ok(Some((block, index)));
            }
        }
        Ok(None)
    }

    /// The logs in a range of blocks that match `filter`, in order.
    ///
    /// # Errors
    /// When the range or the answer exceeds `limits` or begins before the first block, or the database fails.
    pub fn logs(
        &self,
        range: RangeInclusive<u64>,
        filter: &LogFilter,
        limits: LogLimits,
    ) -> Result<Vec<ArchivedLog>, ArchiveError> {
        let (from, to) = (*range.start(), (*range.end()).min(self.head().map_or(0, |head| head.number())));
        if from > to {
            return Ok(Vec::new());
        }
        self.check_kept(from.max(1))?;
        if to - from >= limits.blocks {
            return Err(ArchiveError::RangeTooWide { blocks: to - from + 1, limit: limits.blocks });
        }
        let mut found = Vec::new();
        for number in self.candidates(from, to, filter)? {
            let Some(block) = self.block(number)? else { continue };
            found.extend(block.logs(filter).take(limits.logs + 1 - found.len()));
            if found.len() > limits.logs {
                return Err(ArchiveError::TooManyLogs {
                    limit: limits.logs,
                    from,
                    to: number.saturating_sub(1).max(from),
                });
            }
        }
        Ok(found)
    }

    /// Blocks in which `filter` may match: by the index of each field that it names, then by bloom filter.
    fn candidates(&self, from: u64, to: u64, filter: &LogFilter) -> Result<Vec<u64>, ArchiveError> {
        let numbers = self.index.heights(from, to, filter.fields())?;
        let blooms = self.read()?.open_table(BLOOMS).map_err(database)?;
        let mut matching = Vec::new();
        let mut keep = |number: u64, bloom: &[u8; 256]| {
            let bloom = Bloom::from(bloom);
            if bloom != Bloom::ZERO && filter.may_match(&bloom) {
                matching.push(number);
            }
        };
        match numbers {
            Some(numbers) => {
                for number in numbers {
                    if let Some(bloom) = blooms.get(number).map_err(database)? {
                        keep(number, bloom.value());
                    }
                }
            }
            None => {
                for row in blooms.range(from..=to).map_err(database)? {
                    let (number, bloom) = row.map_err(database)?;
                    keep(number.value(), bloom.value());
                }
            }
        }
        Ok(matching)
    }

    /// The certificate of the block at a height.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn certificate(&self, number: u64) -> Result<Option<Bytes>, ArchiveError> {
        Ok(self.header(number)?.map(|header| header.certificate))
    }
}

fn row(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, u64, &'static [u8]>,
    number: u64,
) -> Result<Option<Vec<u8>>, ArchiveError> {
    let table = transaction.open_table(table).map_err(database)?;
    Ok(table.get(number).map_err(database)?.map(|row| row.value().to_vec()))
}

fn write(transaction: &WriteTransaction, block: &ArchivedBlock) -> Result<(), ArchiveError> {
    let (number, rows) = (block.number(), block.to_rows());
    for (table, row) in [(HEADERS, &rows.header), (BODIES, &rows.transactions), (RECEIPTS, &rows.receipts)] {
        transaction.open_table(table).map_err(database)?.insert(number, row.as_slice()).map_err(database)?;
    }
    let mut blooms = transaction.open_table(BLOOMS).map_err(database)?;
    blooms.insert(number, &block.ethereum_header.logs_bloom.0.0).map_err(database)?;
    let mut numbers = transaction.open_table(NUMBERS).map_err(database)?;
    numbers.insert(&block.hash.0, number).map_err(database)?;
    Ok(())
}
