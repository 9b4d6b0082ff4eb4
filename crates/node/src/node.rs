//! The running node.

use crate::block_store::{ArchiveStore, archived};
use crate::chain::{Committed, LedgerChain};
use crate::peers::PeerTransactions;
use crate::vitals::Vitals;
use crate::{Config, NodeError, committee, key, logging, sync};
use candela_archive::Archive;
use candela_consensus::{Announcements, DirectoryLock, Engine, EngineError, Evidence, WorkSignal};
use candela_ledger::{Ledger, StateMachine};
use candela_pool::{Limits, Pool};
use candela_rpc::{Feed, RpcConfig, RpcContext, Server};
use candela_state::{DiskState, Options};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

/// Room for header, framing and length prefixes around a block's transactions.
const BLOCK_OVERHEAD_BYTES: usize = 1 << 18;

/// Heights that the state writes together: writing one alone costs several times as much, and executing this many again
/// after a crash takes a second or two.
const UNWRITTEN_HEIGHTS: usize = 32;

/// A node with a validator. Dropping it stops it.
pub struct Node {
    server: Option<Server>,
    engine: Option<Engine>,
    address: SocketAddr,
    ledger: Arc<Ledger>,
    _lock: DirectoryLock,
}

pub(crate) fn create_directory(path: &Path) -> Result<(), NodeError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| NodeError::file(path, error))
}

/// The file of the state in a node's folder.
pub(crate) const STATE: &str = "state.redb";
/// The file of the blocks.
pub(crate) const ARCHIVE: &str = "archive.redb";
/// The folder of votes and undecided blocks.
pub(crate) const CONSENSUS: &str = "consensus";

/// The ledger with everything that listens to it.
pub(crate) struct Parts {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) archive: Arc<Archive>,
    pool: Arc<Pool>,
    feed: Feed,
    work: WorkSignal,
    announcements: Announcements,
    evidence: Evidence,
    vitals: Arc<Vitals>,
    committed: Arc<Committed>,
}

pub(crate) fn open(config: &Config) -> Result<Parts, NodeError> {
    let archive = Arc::new(Archive::open(&config.data_dir.join(ARCHIVE))?);
    // The archive holds every block, so the ledger executes again what the state loses in a crash.
    let options = Options { unwritten_heights: UNWRITTEN_HEIGHTS, ..Options::default() };
    let state = Arc::new(DiskState::open_with(&config.data_dir.join(STATE), options)?);
    let pool = Arc::new(Pool::new(Limits::new(config.genesis.chain_id, config.genesis.block_gas_limit)));
    let store = Arc::new(ArchiveStore(archive.clone()));
    let ledger = Arc::new(Ledger::open(&config.genesis, state, store, pool.clone(), config.threads)?);
    let (feed, work, committed) = (Feed::new(), WorkSignal::new(), Arc::new(Committed::default()));
    committed.advance(ledger.head().header.number);

    let (announcements, evidence) = (Announcements::default(), Evidence::default());
    let vitals = Arc::new(Vitals::default());

    let (news, waiting, others) = (feed.clone(), work.clone(), announcements.clone());
    pool.subscribe(move |transaction| {
        waiting.notify();
        others.announce(&transaction.hash(), transaction.encoded());
        if news.pending_wanted() {
            news.publish_pending(transaction.as_ref().clone());
        }
    });
    let (news, heights, blocks, counts) = (feed.clone(), committed.clone(), archive.clone(), vitals.clone());
    ledger.subscribe(move |block| {
        let number = block.block.header.number;
        heights.advance(number);
        counts.count(block);
        let stored = blocks.block(number).ok().flatten().unwrap_or_else(|| Arc::new(archived(block)));
        news.publish_block(stored);
        tracing::debug!(number, transactions = block.transactions.len(), hash = %block.hash, "block final");
    });
    Ok(Parts { ledger, archive, pool, feed, work, announcements, evidence, vitals, committed })
}

fn start_rpc(config: &Config, parts: &Parts) -> Result<Server, NodeError> {
    let chain = LedgerChain {
        ledger: parts.ledger.clone(),
        committed: parts.committed.clone(),
        fee_recipient: config.fee_recipient,
        evidence: parts.evidence.clone(),
        vitals: parts.vitals.clone(),
    };
    let context = RpcContext {
        chain: Arc::new(chain),
        archive: parts.archive.clone(),
        pool: parts.pool.clone(),
        feed: parts.feed.clone(),
        client_version: format!("candela/v{}/rust", env!("CARGO_PKG_VERSION")),
    };
    let mut settings = RpcConfig::new(SocketAddr::new(config.rpc.host, config.rpc.port));
    settings.cors_origins.clone_from(&config.rpc.cors_origins);
    settings.threads = config.threads;
    Ok(Server::start(context, settings)?)
}

fn start_engine(config: &Config, parts: &Parts, key: Option<[u8; 32]>) -> Result<Engine, NodeError> {
    let secret = key.map_or_else(|| key::load_or_create(&config.data_dir.join("validator.key")), Ok)?;
    let settings = candela_consensus::Config {
        directory: config.data_dir.join(CONSENSUS),
        secret,
        committee: committee::committee(config, &secret)?,
        network: committee::network(config)?,
        chain_id: config.genesis.chain_id,
        fee_recipient: config.fee_recipient,
        max_block_bytes: parts.ledger.parameters().block_bytes_limit + BLOCK_OVERHEAD_BYTES,
        threads: config.threads,
        timings: committee::timings(config),
        work: parts.work.clone(),
        announcements: parts.announcements.clone(),
        pool: Arc::new(PeerTransactions { ledger: parts.ledger.clone(), pool: parts.pool.clone() }),
        votes: committee::votes(config, &secret, &parts.ledger.genesis().hash())?,
        evidence: parts.evidence.clone(),
        progress: parts.vitals.progress().clone(),
    };
    let engine = Engine::start(settings, parts.ledger.clone())?;
    parts.vitals.watch(engine.outcome());
    Ok(engine)
}

impl Node {
    /// Opens or creates the data directory, recovers from a crash if there was one, and serves.
    ///
    /// `key` is the Ed25519 secret key to vote with, which is kept in memory only; `None`: the one in `validator.key`,
    /// which is not encrypted, and made when it is missing.
    ///
    /// # Errors
    /// When the directory is in use, its data belong to another chain or are damaged, the port is taken, or
    /// `validator.key` holds no plain key.
    pub fn start(config: &Config, key: Option<[u8; 32]>) -> Result<Self, NodeError> {
        if let Some(settings) = &config.logging {
            logging::init(settings)?;
        }
        create_directory(&config.data_dir)?;
        let lock = DirectoryLock::acquire(&config.data_dir)?;
        sync::check_finished(&config.data_dir)?;
        let parts = open(config)?;
        let server = start_rpc(config, &parts)?;
        let engine = start_engine(config, &parts, key)?;
        let address = server.address();
        tracing::info!(%address, height = parts.ledger.head().header.number, "node started");
        Ok(Self { server: Some(server), engine: Some(engine), address, ledger: parts.ledger, _lock: lock })
    }

    /// Where RPC listens, over HTTP and WebSocket.
    #[must_use]
    pub const fn rpc_address(&self) -> SocketAddr {
        self.address
    }

    /// The ledger, for a process that holds the node and needs no RPC to talk to it.
    #[must_use]
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Why the node ended by itself, or `None` while it runs.
    #[must_use]
    pub fn failure(&self) -> Option<EngineError> {
        self.engine.as_ref()?.ended()?.err()
    }

    /// Closes the port, lets the block in progress finish and closes the files.
    ///
    /// # Errors
    /// The failure that had ended the node before, if any.
    pub fn stop(mut self) -> Result<(), NodeError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), NodeError> {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        self.engine.take().map_or(Ok(()), Engine::stop)?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "node had failed");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloy_consensus::{TxEip1559, TypedTransaction};
    use alloy_primitives::{Address, B256, TxKind, U256};
    use candela_signing::{SecretKey, sign_transaction};
    use std::time::{Duration, Instant};

    pub(crate) fn config(directory: &Path, key: &SecretKey) -> Config {
        let address = key.address();
        let json = serde_json::json!({
            "data_dir": directory,
            "genesis": {
                "chainId": 1, "timestampMs": 0, "blockGasLimit": 30_000_000, "deployments": [],
                "accounts": { address.to_string(): { "balance": "0xde0b6b3a7640000" } },
            },
            "fee_recipient": Address::repeat_byte(0xfe),
            "rpc": { "host": "127.0.0.1", "port": 0 },
        });
        Config::from_json(&json.to_string()).unwrap()
    }

    pub(crate) fn submit(parts: &Parts, key: &SecretKey, nonce: u64) -> B256 {
        let fields = TxEip1559 {
            chain_id: 1,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 10_000_000_000,
            to: TxKind::Call(Address::repeat_byte(9)),
            value: U256::from(5),
            ..TxEip1559::default()
        };
        let signed = sign_transaction(TypedTransaction::Eip1559(fields), key).unwrap();
        parts.ledger.submit(signed.encoded().clone()).unwrap()
    }

    #[test]
    fn a_transfer_becomes_final_soon_and_survives_a_restart() {
        let (directory, key) = (tempfile::tempdir().unwrap(), SecretKey::from_bytes(&[3; 32]).unwrap());
        let config = config(directory.path(), &key);
        let mut sent = Vec::new();
        for nonce in 0..3 {
            let parts = open(&config).unwrap();
            for hash in &sent {
                assert!(parts.archive.transaction(hash).unwrap().is_some(), "a final transaction is lost");
            }
            let engine = start_engine(&config, &parts, None).unwrap();
            let began = Instant::now();
            let hash = submit(&parts, &key, nonce);
            while parts.archive.transaction(&hash).unwrap().is_none() {
                assert!(began.elapsed() < Duration::from_secs(10), "not final after 10 s");
                std::thread::yield_now();
            }
            sent.push(hash);
            engine.stop().unwrap();
            let stored = parts.ledger.head_reader().account(&Address::repeat_byte(9)).unwrap().unwrap();
            assert_eq!(stored.balance, U256::from(5 * (nonce + 1)));
        }
    }

    /// Configurations of four validators on loopback that know each other.
    fn committee_of_four(directory: &Path, key: &SecretKey) -> Vec<Config> {
        let listeners: Vec<_> = (0..4).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let mut configs: Vec<_> = (0..4).map(|index: usize| config(&directory.join(index.to_string()), key)).collect();
        let validator = |config: &Config, address: &SocketAddr| {
            create_directory(&config.data_dir).unwrap();
            let secret = key::load_or_create(&config.data_dir.join("validator.key")).unwrap();
            let public_key = B256::from(candela_consensus::public_key(&secret).unwrap());
            crate::Validator { public_key, weight: 1, address: *address }
        };
        let validators: Vec<_> = configs.iter().zip(&addresses).map(|(config, at)| validator(config, at)).collect();
        for (config, address) in configs.iter_mut().zip(addresses) {
            config.validators.clone_from(&validators);
            config.listen = Some(address);
        }
        configs
    }

    #[test]
    fn four_nodes_execute_the_same_transfer_and_keep_the_same_certified_block() {
        let (directory, key) = (tempfile::tempdir().unwrap(), SecretKey::from_bytes(&[3; 32]).unwrap());
        let configs = committee_of_four(directory.path(), &key);
        let parts: Vec<_> = configs.iter().map(|config| open(config).unwrap()).collect();
        let engines: Vec<_> =
            configs.iter().zip(&parts).map(|(config, parts)| start_engine(config, parts, None).unwrap()).collect();
        for nonce in 0..3 {
            let hash = submit(&parts[0], &key, nonce);
            let began = Instant::now();
            while parts.iter().any(|parts| parts.archive.transaction(&hash).unwrap().is_none()) {
                assert!(began.elapsed() < Duration::from_secs(40), "not final everywhere after 40 s");
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        engines.into_iter().for_each(|engine| engine.stop().unwrap());
        let hashes: Vec<_> = parts.iter().map(|parts| parts.archive.block(3).unwrap().unwrap().hash).collect();
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
        for parts in &parts {
            let stored = parts.ledger.head_reader().account(&Address::repeat_byte(9)).unwrap().unwrap();
            assert_eq!(stored.balance, U256::from(15));
            assert!(!parts.archive.certificate(1).unwrap().unwrap().is_empty());
        }
    }
}
