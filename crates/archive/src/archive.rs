//! The tables and their queries.

use crate::{
    ArchivedBlock, ArchivedLog, LogFilter, LogLimits,
    error::{ArchiveError, database},
};
use candela_primitives::{Address, B256, Bloom, Bytes};
use parking_lot::RwLock;
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
    backends::InMemoryBackend,
};
use std::{collections::BTreeSet, ops::RangeInclusive, path::Path, sync::Arc};

const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
const BLOOMS: TableDefinition<'_, u64, [u8; 256]> = TableDefinition::new("blooms");
const NUMBERS: TableDefinition<'_, [u8; 32], u64> = TableDefinition::new("numbers");
const TRANSACTIONS: TableDefinition<'_, [u8; 32], (u64, u32)> = TableDefinition::new("transactions");
/// (emitter, height): which blocks hold logs of a contract.
const EMITTERS: TableDefinition<'_, [u8; 28], ()> = TableDefinition::new("emitters");

const CACHE_BYTES: usize = 32 << 20;
/// Blocks kept decoded: the ones that clients ask for right after they became final.
const RECENT: usize = 64;

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionLocation {
    /// Height of its block.
    pub block_number: u64,
    /// Position in the block.
    pub index: usize,
}

/// Finalised blocks in one file, or in memory for tests. Reads do not wait for writes.
pub struct Archive {
    database: Database,
    recent: RwLock<Vec<Arc<ArchivedBlock>>>,
}

impl Archive {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// When it is held by another process, unreadable or damaged.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        Self::load(Builder::new().set_cache_size(CACHE_BYTES).create(path).map_err(database)?)
    }

    /// An archive that lives as long as the value.
    ///
    /// # Errors
    /// When memory is exhausted.
    pub fn in_memory() -> Result<Self, ArchiveError> {
        let builder = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(InMemoryBackend::new());
        Self::load(builder.map_err(database)?)
    }

    fn load(file: Database) -> Result<Self, ArchiveError> {
        let transaction = file.begin_write().map_err(database)?;
        transaction.open_table(BLOCKS).map_err(database)?;
        transaction.open_table(BLOOMS).map_err(database)?;
        transaction.open_table(NUMBERS).map_err(database)?;
        transaction.open_table(TRANSACTIONS).map_err(database)?;
        transaction.open_table(EMITTERS).map_err(database)?;
        transaction.commit().map_err(database)?;
        let archive = Self { database: file, recent: RwLock::new(Vec::new()) };
        if let Some(number) = archive.last_number()?
            && let Some(head) = archive.read_block(number)?
        {
            archive.recent.write().push(Arc::new(head));
        }
        Ok(archive)
    }

    fn read(&self) -> Result<ReadTransaction, ArchiveError> {
        self.database.begin_read().map_err(database)
    }

    fn last_number(&self) -> Result<Option<u64>, ArchiveError> {
        let blocks = self.read()?.open_table(BLOCKS).map_err(database)?;
        Ok(blocks.last().map_err(database)?.map(|(number, _)| number.value()))
    }

    fn read_block(&self, number: u64) -> Result<Option<ArchivedBlock>, ArchiveError> {
        let blocks = self.read()?.open_table(BLOCKS).map_err(database)?;
        let row = blocks.get(number).map_err(database)?;
        row.map(|row| ArchivedBlock::from_stored(number, row.value())).transpose()
    }

    /// The newest block, or `None` before genesis.
    #[must_use]
    pub fn head(&self) -> Option<Arc<ArchivedBlock>> {
        self.recent.read().last().cloned()
    }

    /// Stores the next block: durable when this returns. Does nothing when the block is stored already.
    ///
    /// # Errors
    /// When another block is final at the height, the height leaves a gap, or the database fails.
    pub fn append(&self, block: Arc<ArchivedBlock>) -> Result<(), ArchiveError> {
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
        let mut recent = self.recent.write();
        if recent.len() == RECENT {
            recent.remove(0);
        }
        recent.push(block);
        Ok(())
    }

    /// The block at a height.
    ///
    /// # Errors
    /// When the database fails or is damaged.
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
        Ok(numbers.get(hash.0).map_err(database)?.map(|row| row.value()))
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
        Ok(self.block(number)?.map(|block| block.hash))
    }

    /// Where a transaction is.
    ///
    /// # Errors
    /// When the database fails.
    pub fn locate(&self, hash: &B256) -> Result<Option<TransactionLocation>, ArchiveError> {
        let transactions = self.read()?.open_table(TRANSACTIONS).map_err(database)?;
        let row = transactions.get(hash.0).map_err(database)?.map(|row| row.value());
        Ok(row.map(|(block_number, index)| TransactionLocation { block_number, index: index as usize }))
    }

    /// The block that holds a transaction, and its position there.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn transaction(&self, hash: &B256) -> Result<Option<(Arc<ArchivedBlock>, usize)>, ArchiveError> {
        let Some(location) = self.locate(hash)? else { return Ok(None) };
        let block = self.block(location.block_number)?;
        Ok(block.filter(|block| location.index < block.transactions.len()).map(|block| (block, location.index)))
    }

    /// The logs in a range of blocks that match `filter`, in order.
    ///
    /// # Errors
    /// When the range or the answer exceeds `limits`, or the database fails.
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

    /// Blocks in which `filter` may match: by emitter where it names any, and by bloom filter.
    fn candidates(&self, from: u64, to: u64, filter: &LogFilter) -> Result<Vec<u64>, ArchiveError> {
        let transaction = self.read()?;
        let blooms = transaction.open_table(BLOOMS).map_err(database)?;
        if filter.addresses.is_empty() {
            let rows = blooms.range(from..=to).map_err(database)?;
            let matching = rows.filter_map(|row| match row {
                Ok((number, bloom)) => filter.may_match(&Bloom::from(bloom.value())).then(|| Ok(number.value())),
                Err(error) => Some(Err(database(error))),
            });
            return matching.collect();
        }
        let emitters = transaction.open_table(EMITTERS).map_err(database)?;
        let mut numbers = BTreeSet::new();
        for address in &filter.addresses {
            for row in emitters.range(emitter_row(address, from)..=emitter_row(address, to)).map_err(database)? {
                let mut number = [0; 8];
                number.copy_from_slice(&row.map_err(database)?.0.value()[20..]);
                numbers.insert(u64::from_be_bytes(number));
            }
        }
        let mut matching = Vec::new();
        for number in numbers {
            let bloom = blooms.get(number).map_err(database)?.map(|row| Bloom::from(row.value()));
            if bloom.is_some_and(|bloom| filter.may_match(&bloom)) {
                matching.push(number);
            }
        }
        Ok(matching)
    }

    /// The certificate of the block at a height.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn certificate(&self, number: u64) -> Result<Option<Bytes>, ArchiveError> {
        Ok(self.block(number)?.map(|block| block.certificate.clone()))
    }
}

fn emitter_row(address: &Address, number: u64) -> [u8; 28] {
    let mut row = [0; 28];
    row[..20].copy_from_slice(address.as_slice());
    row[20..].copy_from_slice(&number.to_be_bytes());
    row
}

fn write(transaction: &WriteTransaction, block: &ArchivedBlock) -> Result<(), ArchiveError> {
    let number = block.number();
    let mut blocks = transaction.open_table(BLOCKS).map_err(database)?;
    blocks.insert(number, block.to_stored().as_slice()).map_err(database)?;
    let mut blooms = transaction.open_table(BLOOMS).map_err(database)?;
    blooms.insert(number, block.ethereum_header.logs_bloom.0.0).map_err(database)?;
    let mut numbers = transaction.open_table(NUMBERS).map_err(database)?;
    numbers.insert(block.hash.0, number).map_err(database)?;
    let mut transactions = transaction.open_table(TRANSACTIONS).map_err(database)?;
    for (each, index) in block.transactions.iter().zip(0u32..) {
        transactions.insert(each.hash().0, (number, index)).map_err(database)?;
    }
    let mut emitters = transaction.open_table(EMITTERS).map_err(database)?;
    let addresses: BTreeSet<_> =
        block.receipts.iter().flat_map(|receipt| &receipt.logs).map(|log| log.address).collect();
    for address in addresses {
        emitters.insert(emitter_row(&address, number), ()).map_err(database)?;
    }
    Ok(())
}
