//! Begin a node from the state after a trusted block instead of genesis.
//!
//! Whoever holds a [`StateSync`] has checked that the block is final, and brings what others say of it. Nothing of that is
//! believed: rows are proved against the block's state root, code and blocks by their hashes. All of it goes to a folder
//! of its own until it is complete; a node doesn't start beside such a folder.

use crate::{
    NodeError,
    block_store::archived,
    node::{ARCHIVE, CONSENSUS, STATE, create_directory},
};
use alloy_rlp::Decodable;
use candela_archive::{Archive, ArchivedHeader, Beginning};
use candela_consensus::DirectoryLock;
use candela_ledger::{Finalized, genesis_block};
use candela_primitives::{Address, B256, Block, Bytes, Genesis, Header, Receipt, StateError, keccak256, merkle};
use candela_signing::decode_batch;
use candela_state::{Import, ImportError, Key};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of what is not complete yet.
const UNFINISHED: &str = "sync";
const INDEX: &str = "archive.index.redb";
/// How many hashes of ancestors a block can ask for (BLOCKHASH).
const ANCESTORS: usize = 256;

/// A block as others tell it.
pub struct ToldBlock {
    /// RLP of the header.
    pub header: Vec<u8>,
    /// EIP-2718 bytes of the transactions.
    pub transactions: Vec<Bytes>,
    /// RLP of the receipts.
    pub receipts: Vec<Bytes>,
    /// The encoded certificate.
    pub certificate: Bytes,
}

/// A node's folder on its way to a state.
pub struct StateSync {
    directory: PathBuf,
    genesis: Genesis,
    hash: B256,
    import: Import,
    threads: usize,
    _lock: DirectoryLock,
}

/// # Errors
/// When a sync into the folder was begun and is not complete.
pub(crate) fn check_finished(directory: &Path) -> Result<(), NodeError> {
    if directory.join(UNFINISHED).exists() && !directory.join(STATE).exists() {
        return Err(NodeError::Unsynced(directory.to_owned()));
    }
    Ok(())
}

const fn lie(why: &'static str) -> ImportError {
    ImportError::False(why)
}

impl StateSync {
    /// Begins to fill the folder, or goes on with it, towards the state after the block with `header`, which the caller
    /// knows to be final on the chain of `genesis` (JSON).
    ///
    /// # Errors
    /// When the folder has a node's blocks or votes already, is in use or can't be written, or the header or genesis is
    /// none.
    pub fn open(directory: &Path, genesis: &str, header: &[u8], threads: usize) -> Result<Self, NodeError> {
        let genesis: Genesis = serde_json::from_str(genesis).map_err(|error| NodeError::Config(error.to_string()))?;
        let decoded = Header::decode(&mut &*header).map_err(|error| NodeError::Config(error.to_string()))?;
        let [shard] = decoded.shards.as_slice() else {
            return Err(NodeError::Config("the block has not exactly one shard".to_owned()));
        };
        create_directory(directory)?;
        let lock = DirectoryLock::acquire(directory)?;
        if [STATE, CONSENSUS].iter().any(|name| directory.join(name).exists()) {
            return Err(NodeError::file(directory, "a node has run here: state sync needs a folder without blocks"));
        }
        let unfinished = directory.join(UNFINISHED);
        create_directory(&unfinished)?;
        let import = Import::open(&unfinished.join(STATE), decoded.number, shard.state_root)?;
        let (directory, hash) = (directory.to_owned(), keccak256(header));
        Ok(Self { directory, genesis, hash, import, threads, _lock: lock })
    }

    /// The last key that is here; the next chunk begins after it.
    #[must_use]
    pub const fn after(&self) -> Option<Key> {
        self.import.after()
    }

    /// Takes the chunk after [`Self::after`]; returns how many rows it has, none at the end.
    ///
    /// # Errors
    /// When it is false or the file fails.
    pub fn add(&mut self, chunk: &[u8]) -> Result<usize, ImportError> {
        self.import.add(chunk)
    }

    /// Hashes of code that is missing, each with an account that has it.
    ///
    /// # Errors
    /// When the file fails.
    pub fn missing_codes(&self) -> Result<BTreeMap<B256, Address>, StateError> {
        self.import.missing_codes()
    }

    /// Takes code with its hashes.
    ///
    /// # Errors
    /// When it is false or the file fails.
    pub fn add_codes(&self, codes: &[(B256, Vec<u8>)]) -> Result<(), ImportError> {
        self.import.add_codes(codes)
    }

    /// Makes the folder one that a node starts from.
    ///
    /// `blocks` are the block itself and its descendants up to the one that its certificate names, which the caller has
    /// checked; `ancestors` are the headers of the 256 blocks before it, or of all but genesis, the newest first.
    ///
    /// # Errors
    /// When something is false or missing, or a file fails.
    pub fn finish(self, blocks: Vec<ToldBlock>, ancestors: &[Vec<u8>]) -> Result<(), SyncError> {
        let beginning = self.beginning(blocks, ancestors)?;
        self.import.finish()?;
        let unfinished = self.directory.join(UNFINISHED);
        for name in [ARCHIVE, INDEX] {
            remove(&unfinished.join(name))?;
        }
        Archive::begin(&unfinished.join(ARCHIVE), &beginning).map_err(NodeError::from)?;
        // The state moves last: with it the folder is complete.
        for name in [ARCHIVE, INDEX, STATE] {
            let (from, to) = (unfinished.join(name), self.directory.join(name));
            fs::rename(&from, &to).map_err(|error| NodeError::file(&to, error))?;
            let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
            synced.map_err(|error| NodeError::file(&self.directory, error))?;
        }
        fs::remove_dir_all(&unfinished).map_err(|error| NodeError::file(&unfinished, error))?;
        Ok(())
    }

    fn beginning(&self, blocks: Vec<ToldBlock>, ancestors: &[Vec<u8>]) -> Result<Beginning, SyncError> {
        let genesis = genesis_block(&self.genesis).map_err(NodeError::from)?;
        let (mut expected, mut headers) = (blocks.first().map(|block| parent(&block.header)).transpose()?, Vec::new());
        for bytes in ancestors {
            let header = header(bytes)?;
            if Some(keccak256(bytes)) != expected {
                return Err(lie("a header is not the parent of the block after it").into());
            }
            expected = Some(header.parent_hash);
            headers.push(ArchivedHeader {
                hash: keccak256(bytes),
                ethereum_header: header.to_ethereum(),
                header_bytes: bytes.clone().into(),
                certificate: Bytes::new(),
            });
        }
        headers.reverse();
        let reaches_genesis = expected == Some(genesis.hash);
        if !reaches_genesis && headers.len() < ANCESTORS {
            return Err(lie("headers of ancestors are missing").into());
        }
        let (mut chain, mut hash) = (Vec::new(), None);
        for told in blocks {
            let block = self.block(told)?;
            let follows = hash.map_or(block.hash == self.hash, |hash| block.block.header.parent_hash == hash);
            if !follows {
                return Err(lie("a block is not the one that was asked for").into());
            }
            hash = Some(block.hash);
            chain.push(archived(&block));
        }
        if chain.is_empty() {
            return Err(lie("the block is missing").into());
        }
        Ok(Beginning { genesis: archived(&genesis), ancestors: headers, blocks: chain })
    }

    /// The block that `told` is, if its header commits to the rest.
    fn block(&self, told: ToldBlock) -> Result<Finalized, ImportError> {
        let header = header(&told.header)?;
        let receipts_root = merkle::root(&told.receipts.iter().map(|bytes| merkle::leaf(bytes)).collect::<Vec<_>>());
        let block = Block { header, transactions: told.transactions, ..Block::default() };
        let committed = block.header.shards.first().is_some_and(|shard| {
            shard.transactions_root == block.transactions_root() && shard.receipts_root == receipts_root
        });
        if !committed {
            return Err(lie("a block's header is of other transactions or receipts"));
        }
        let transactions = decode_batch(block.transactions.clone(), self.threads).into_iter();
        let transactions = transactions.map(|each| each.map(Arc::new)).collect::<Result<_, _>>();
        let receipts = told.receipts.iter().map(|bytes| Receipt::decode(&mut bytes.as_ref())).collect::<Result<_, _>>();
        Ok(Finalized {
            hash: keccak256(&told.header),
            block: Arc::new(block),
            transactions: Arc::new(transactions.map_err(|_| lie("a block has what is no transaction"))?),
            receipts: Arc::new(receipts.map_err(|_| lie("a block has what is no receipt"))?),
            certificate: told.certificate,
        })
    }
}

fn header(mut bytes: &[u8]) -> Result<Header, ImportError> {
    Header::decode(&mut bytes).map_err(|_| lie("what should be a header is none"))
}

fn parent(bytes: &[u8]) -> Result<B256, ImportError> {
    header(bytes).map(|header| header.parent_hash)
}

fn remove(path: &Path) -> Result<(), NodeError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(NodeError::file(path, error)),
        _ => Ok(()),
    }
}

/// Why a sync did not finish.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// What others told is false or missing, or the state's file failed.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The folder failed.
    #[error(transparent)]
    Node(#[from] NodeError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{
        Parts, open,
        tests::{config, submit},
    };
    use candela_ledger::{Slot, StateMachine};
    use candela_primitives::U256;
    use candela_signing::SecretKey;

    const HEIGHT: u64 = 5;

    /// A chain of `HEIGHT` blocks with a transfer each.
    fn chain(directory: &Path, key: &SecretKey) -> Parts {
        create_directory(directory).unwrap();
        let parts = open(&config(directory, key)).unwrap();
        for number in 1..=HEIGHT {
            submit(&parts, key, number - 1);
            let slot =
                Slot { now_ms: number * 1_000, proposer: Address::ZERO, randomness: B256::ZERO, participation: None };
            let block = parts.ledger.propose(&[], slot).unwrap();
            assert_eq!(block.transactions.len(), 1);
            parts.ledger.finalize(&block, b"certificate").unwrap();
        }
        parts
    }

    fn told(parts: &Parts) -> ToldBlock {
        let block = parts.archive.block(HEIGHT).unwrap().unwrap();
        ToldBlock {
            header: block.header_bytes.to_vec(),
            transactions: block.transactions.iter().map(|each| each.encoded().clone()).collect(),
            receipts: block.receipts.iter().map(|each| alloy_rlp::encode(each).into()).collect(),
            certificate: block.certificate.clone(),
        }
    }

    fn ancestors(parts: &Parts) -> Vec<Vec<u8>> {
        let header = |number| parts.archive.header(number).unwrap().unwrap().header_bytes.to_vec();
        (1..HEIGHT).rev().map(header).collect()
    }

    /// A folder that has all rows; the genesis has no code.
    fn filled(directory: &Path, key: &SecretKey, parts: &Parts) -> StateSync {
        let genesis = serde_json::json!({
            "chainId": 1, "timestampMs": 0, "blockGasLimit": 30_000_000, "deployments": [],
            "accounts": { key.address().to_string(): { "balance": "0xde0b6b3a7640000" } },
        });
        let mut sync = StateSync::open(directory, &genesis.to_string(), &told(parts).header, 2).unwrap();
        let export = parts.ledger.export().unwrap();
        while sync.add(&export.chunk(sync.after()).unwrap()).unwrap() > 0 {}
        sync
    }

    #[test]
    fn a_node_goes_on_from_the_state_that_it_was_given_and_from_nothing_false() {
        let (directory, key) = (tempfile::tempdir().unwrap(), SecretKey::from_bytes(&[3; 32]).unwrap());
        let parts = chain(&directory.path().join("one"), &key);
        let other = directory.path().join("other");
        let without = |forget: &dyn Fn(&mut ToldBlock)| {
            let mut block = told(&parts);
            forget(&mut block);
            (vec![block], ancestors(&parts))
        };
        let false_parts = [
            (Vec::new(), ancestors(&parts)),
            without(&|block| block.transactions.clear()),
            without(&|block| block.receipts.clear()),
            without(&|block| block.header = ancestors(&parts).remove(0)),
            (vec![told(&parts)], ancestors(&parts)[1..].to_vec()),
            (vec![told(&parts)], ancestors(&parts)[..2].to_vec()),
            (vec![told(&parts), told(&parts)], ancestors(&parts)),
        ];
        for (place, (blocks, headers)) in false_parts.into_iter().enumerate() {
            let refused = filled(&other, &key, &parts).finish(blocks, &headers);
            assert!(matches!(refused, Err(SyncError::Import(ImportError::False(_)))), "{place}: {refused:?}");
            assert!(matches!(check_finished(&other), Err(NodeError::Unsynced(_))), "{place}");
        }
        filled(&other, &key, &parts).finish(vec![told(&parts)], &ancestors(&parts)).unwrap();
        check_finished(&other).unwrap();
        assert!(!other.join(UNFINISHED).exists());

        let synced = open(&config(&other, &key)).unwrap();
        assert_eq!(synced.ledger.head(), parts.ledger.head());
        assert_eq!(synced.ledger.origin().unwrap().unwrap().as_ref(), b"certificate");
        assert_eq!(synced.ledger.hash(HEIGHT - 3).unwrap(), parts.ledger.hash(HEIGHT - 3).unwrap());
        submit(&parts, &key, HEIGHT);
        let slot = Slot { now_ms: 60_000, proposer: Address::ZERO, randomness: B256::ZERO, participation: None };
        let next = parts.ledger.propose(&[], slot).unwrap();
        synced.ledger.verify(&[], &next, 60_000).unwrap();
        synced.ledger.finalize(&next, b"next").unwrap();
        let payee = synced.ledger.head_reader().account(&Address::repeat_byte(9)).unwrap().unwrap();
        assert_eq!(payee.balance, U256::from(5 * (HEIGHT + 1)));
    }
}
