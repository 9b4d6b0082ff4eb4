//! Replay request and response pairs of the Ethereum JSON-RPC specification against the server.
//!
//! The chain beside them (`genesis.json`, `chain.rlp`) is executed block by block under Ethereum's own rules, stored in
//! state and archive, and served by the same server that a node runs.

use crate::{
    block::{EthereumBlock, Rules, environment, execute_block},
    fork::BlobSchedule,
    memory::MemoryState,
    report::{Case, Verdict},
};
use alloy_consensus::{Block, BlockBody, Header, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::{
    eip1559::{BaseFeeParams, calc_next_block_base_fee},
    eip2718::{Decodable2718, Encodable2718},
    eip4844::fake_exponential,
    eip4895::Withdrawal,
};
use alloy_genesis::Genesis;
use alloy_rlp::Decodable;
use candela_archive::{Archive, ArchivedBlock};
use candela_evm::{BlockEnvironment, BlockHashes, SpecId};
use candela_pool::{Limits, Pool, SenderState};
use candela_primitives::{
    Account, AccountChange, B256, Bytes, StateChanges, StateError, StateReader, Transaction, U256, keccak256,
};
use candela_rpc::{Chain, EthereumBody, Feed, RpcConfig, RpcContext, RpcError, Server};
use candela_state::{DiskState, State};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

const GAS_PER_BLOB: u64 = 1 << 17;

/// How a request starts its parameters that sends a transaction of type 3.
const BLOB_TRANSACTION: &str = r#""params":["0x03f"#;

/// The methods that Candela answers; others are skipped.
const METHODS: &[&str] = &[
    "eth_accounts",
    "eth_blobBaseFee",
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_createAccessList",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_fillTransaction",
    "eth_gasPrice",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getBlockTransactionCountByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getCode",
    "eth_getFilterChanges",
    "eth_getFilterLogs",
    "eth_getLogs",
    "eth_getStorageAt",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_getUncleByBlockHashAndIndex",
    "eth_getUncleByBlockNumberAndIndex",
    "eth_getUncleCountByBlockHash",
    "eth_getUncleCountByBlockNumber",
    "eth_maxPriorityFeePerGas",
    "eth_newBlockFilter",
    "eth_newFilter",
    "eth_newPendingTransactionFilter",
    "eth_sendRawTransaction",
    "eth_sendRawTransactionSync",
    "eth_syncing",
    "eth_uninstallFilter",
    "net_listening",
    "net_version",
    "txpool_content",
    "txpool_contentFrom",
    "txpool_status",
    "web3_clientVersion",
    "web3_sha3",
];

/// Why a fixture chain can't be served.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ImportError(String);

fn failed(error: impl std::fmt::Display) -> ImportError {
    ImportError(error.to_string())
}

/// The fork schedule of a chain.
struct Schedule {
    genesis: Genesis,
}

impl Schedule {
    fn spec(&self, number: u64, timestamp: u64) -> SpecId {
        let config = &self.genesis.config;
        let at_block = |fork: Option<u64>| fork.is_some_and(|fork| number >= fork);
        let at_time = |fork: Option<u64>| fork.is_some_and(|fork| timestamp >= fork);
        let forks = [
            (at_time(config.osaka_time), SpecId::OSAKA),
            (at_time(config.prague_time), SpecId::PRAGUE),
            (at_time(config.cancun_time), SpecId::CANCUN),
            (at_time(config.shanghai_time), SpecId::SHANGHAI),
            (at_block(config.merge_netsplit_block), SpecId::MERGE),
            (at_block(config.london_block), SpecId::LONDON),
            (at_block(config.berlin_block), SpecId::BERLIN),
            (at_block(config.istanbul_block), SpecId::ISTANBUL),
            (at_block(config.constantinople_block), SpecId::PETERSBURG),
            (at_block(config.byzantium_block), SpecId::BYZANTIUM),
            (at_block(config.eip158_block), SpecId::SPURIOUS_DRAGON),
            (at_block(config.eip150_block), SpecId::TANGERINE),
            (at_block(config.homestead_block), SpecId::HOMESTEAD),
        ];
        forks.into_iter().find(|(active, _)| *active).map_or(SpecId::FRONTIER, |(_, spec)| spec)
    }

    fn blobs(&self, number: u64, timestamp: u64) -> Option<BlobSchedule> {
        let spec = self.spec(number, timestamp);
        let config = &self.genesis.config;
        let times = [
            ("bpo5", config.bpo5_time),
            ("bpo4", config.bpo4_time),
            ("bpo3", config.bpo3_time),
            ("bpo2", config.bpo2_time),
            ("bpo1", config.bpo1_time),
            ("osaka", config.osaka_time),
            ("prague", config.prague_time),
            ("cancun", config.cancun_time),
        ];
        let active = times.iter().find(|(_, time)| time.is_some_and(|time| timestamp >= time));
        let named = active.and_then(|(name, _)| config.blob_schedule.get(*name));
        match named {
            Some(schedule) => Some(BlobSchedule {
                max: schedule.max_blob_count,
                base_fee_update_fraction: u64::try_from(schedule.update_fraction).unwrap_or(u64::MAX),
            }),
            None => BlobSchedule::of(spec),
        }
    }

    fn rules(&self, header: &Header) -> Rules {
        Rules {
            chain_id: self.genesis.config.chain_id,
            spec: self.spec(header.number, header.timestamp),
            blobs: self.blobs(header.number, header.timestamp),
            deposit_contract: self.genesis.config.deposit_contract_address,
        }
    }
}

/// An imported Ethereum chain behind the server's interface.
struct EthereumChain {
    schedule: Schedule,
    state: DiskState,
    pool: Arc<Pool>,
    bodies: HashMap<B256, Arc<EthereumBody>>,
}

impl Chain for EthereumChain {
    fn chain_id(&self) -> u64 {
        self.schedule.genesis.config.chain_id
    }

    fn state_after(&self, number: u64) -> Result<Option<Arc<dyn StateReader>>, StateError> {
        self.state.at(number)
    }

    fn environment(&self, header: &Header) -> BlockEnvironment {
        environment(&self.schedule.rules(header), header)
    }

    fn next_header(&self, parent: &Header) -> Header {
        let base_fee = parent
            .base_fee_per_gas
            .map(|fee| calc_next_block_base_fee(parent.gas_used, parent.gas_limit, fee, BaseFeeParams::ethereum()));
        Header {
            number: parent.number + 1,
            timestamp: parent.timestamp + 12,
            base_fee_per_gas: base_fee,
            ..parent.clone()
        }
    }

    fn max_blob_gas(&self, header: &Header) -> u64 {
        self.schedule.blobs(header.number, header.timestamp).map_or(0, |blobs| blobs.max * GAS_PER_BLOB)
    }

    fn blob_base_fee(&self, header: &Header) -> u128 {
        let fraction = self.schedule.blobs(header.number, header.timestamp).map(|blobs| blobs.base_fee_update_fraction);
        match (header.excess_blob_gas, fraction) {
            (Some(excess), Some(fraction)) => fake_exponential(1, excess.into(), fraction.into()),
            _ => 0,
        }
    }

    fn ethereum_body(&self, hash: &B256) -> Option<Arc<EthereumBody>> {
        self.bodies.get(hash).cloned()
    }

    fn submit(&self, raw: Vec<Bytes>) -> Vec<Result<B256, RpcError>> {
        raw.into_iter().map(|raw| self.submit_one(raw)).collect()
    }
}

impl EthereumChain {
    fn submit_one(&self, raw: Bytes) -> Result<B256, RpcError> {
        let transaction = decode(raw).map_err(|error| RpcError::server(error.to_string()))?;
        let account = self.state.head().reader().account(&transaction.sender())?.unwrap_or_default();
        let state = SenderState { nonce: account.nonce, balance: account.balance, has_code: false };
        self.pool.insert(transaction, state).map_err(|error| RpcError::server(error.to_string()))
    }
}

fn decode(raw: Bytes) -> Result<Transaction, ImportError> {
    let envelope = TxEnvelope::decode_2718(&mut raw.as_ref()).map_err(failed)?;
    let sender = envelope.recover_signer_unchecked().map_err(failed)?;
    Ok(Transaction::new_unchecked(envelope, raw, sender))
}

struct Hashes<'a>(&'a Archive);

impl BlockHashes for Hashes<'_> {
    fn block_hash(&self, number: u64) -> Option<B256> {
        self.0.hash(number).ok().flatten()
    }
}

fn allocation(genesis: &Genesis) -> StateChanges {
    let mut changes = StateChanges::default();
    for (address, entry) in &genesis.alloc {
        let code = entry.code.clone().unwrap_or_default();
        let mut account =
            Account { nonce: entry.nonce.unwrap_or_default(), balance: entry.balance, ..Account::default() };
        if !code.is_empty() {
            account.code_hash = keccak256(&code);
            changes.codes.insert(account.code_hash, code);
        }
        let storage: BTreeMap<U256, U256> =
            entry.storage.iter().flatten().map(|(slot, value)| ((*slot).into(), (*value).into())).collect();
        let change = AccountChange { account: Some(account), storage_cleared: false, storage };
        changes.accounts.insert(*address, change);
    }
    changes
}

fn genesis_header(genesis: &Genesis, state_root: B256) -> Header {
    Header {
        state_root,
        beneficiary: genesis.coinbase,
        difficulty: genesis.difficulty,
        gas_limit: genesis.gas_limit,
        timestamp: genesis.timestamp,
        extra_data: genesis.extra_data.clone(),
        mix_hash: genesis.mix_hash,
        nonce: genesis.nonce.into(),
        base_fee_per_gas: genesis.base_fee_per_gas.and_then(|fee| u64::try_from(fee).ok()),
        ..Header::default()
    }
}

fn archived(
    header: Header,
    transactions: Vec<Transaction>,
    receipts: Vec<candela_primitives::Receipt>,
) -> ArchivedBlock {
    ArchivedBlock {
        hash: header.hash_slow(),
        header_bytes: alloy_rlp::encode(&header).into(),
        ethereum_header: header,
        transactions: Arc::new(transactions.into_iter().map(Arc::new).collect()),
        receipts: Arc::new(receipts),
        certificate: Bytes::new(),
    }
}

/// Executes the chain in `folder` and serves it on a port of this machine.
///
/// # Errors
/// When a file is missing or a block does not execute as its header says.
pub fn serve(folder: &Path) -> Result<Server, ImportError> {
    let genesis: Genesis =
        serde_json::from_slice(&std::fs::read(folder.join("genesis.json")).map_err(failed)?).map_err(failed)?;
    let bytes = std::fs::read(folder.join("chain.rlp")).map_err(failed)?;
    let state = DiskState::in_memory().map_err(failed)?;
    let archive = Arc::new(Archive::in_memory().map_err(failed)?);
    let changes = allocation(&genesis);
    let mut trie = MemoryState::default();
    trie.apply(&changes);
    let header = genesis_header(&genesis, trie.root());
    state.commit(&state.head().extend(Arc::new(changes)).map_err(failed)?).map_err(failed)?;
    archive.append(Arc::new(archived(header, Vec::new(), Vec::new()))).map_err(failed)?;
    let mut import = Import { schedule: Schedule { genesis }, state, archive, trie, bodies: HashMap::new() };
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        import.block(Block::<TxEnvelope>::decode(&mut rest).map_err(failed)?)?;
    }
    let Import { schedule, state, archive, bodies, .. } = import;
    let limits = Limits::new(schedule.genesis.config.chain_id, u64::MAX);
    let pool = Arc::new(Pool::new(limits));
    let chain = Arc::new(EthereumChain { schedule, state, pool: pool.clone(), bodies });
    let context = RpcContext { chain, archive, pool, feed: Feed::new(), client_version: "candela/rpctest".into() };
    Server::start(context, RpcConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)))).map_err(failed)
}

/// A chain on its way in.
struct Import {
    schedule: Schedule,
    state: DiskState,
    archive: Arc<Archive>,
    /// The same state once more, with Ethereum's root.
    trie: MemoryState,
    bodies: HashMap<B256, Arc<EthereumBody>>,
}

impl Import {
    fn block(&mut self, block: Block<TxEnvelope>) -> Result<(), ImportError> {
        let Block { header, body: BlockBody { transactions, ommers, withdrawals } } = block;
        let number = header.number;
        let wrong = |what: &str| ImportError(format!("block {number}: {what} differs from the header's"));
        let transactions: Vec<Transaction> =
            transactions.into_iter().map(|each| decode(each.encoded_2718().into())).collect::<Result<_, _>>()?;
        let withdrawals: Vec<Withdrawal> = withdrawals.map(|list| list.into_inner()).unwrap_or_default();
        let whole =
            EthereumBlock { header: &header, transactions: &transactions, ommers: &ommers, withdrawals: &withdrawals };
        let reader = self.state.head().reader();
        let done = execute_block(&*reader, &Hashes(&self.archive), &self.schedule.rules(&header), &whole)
            .map_err(|error| ImportError(format!("block {number}: {error}")))?;
        if done.gas_used != header.gas_used || done.logs_bloom != header.logs_bloom {
            return Err(wrong("gas or bloom"));
        }
        let roots = done.intermediate.iter().map(|changes| self.root_with(changes)).collect();
        self.trie.apply(&done.changes);
        if self.trie.root() != header.state_root {
            return Err(wrong("state root"));
        }
        self.state.commit(&self.state.head().extend(Arc::new(done.changes)).map_err(failed)?).map_err(failed)?;
        let block = archived(header, transactions, done.receipts);
        self.bodies.insert(block.hash, Arc::new(EthereumBody { uncles: ommers, withdrawals, roots }));
        self.archive.append(Arc::new(block)).map_err(failed)
    }

    fn root_with(&self, changes: &StateChanges) -> B256 {
        let mut trie = self.trie.clone();
        trie.apply(changes);
        trie.root()
    }
}

fn post(address: SocketAddr, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n";
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}

/// Whether two answers agree: results must be equal; of errors code and data must be, as the specification leaves texts
/// open.
fn agree(expected: &Value, found: &Value) -> bool {
    match (expected.get("error"), found.get("error")) {
        (Some(expected), Some(found)) => {
            ["code", "data"].iter().all(|member| expected.get(member) == found.get(member))
        }
        (None, None) => expected.get("result") == found.get("result"),
        _ => false,
    }
}

/// Whether a member's name is a key of a map, an address or a nonce, rather than a field's name.
fn is_key(name: &str) -> bool {
    name.starts_with("0x") || name.parse::<u64>().is_ok()
}

/// Whether an answer has the shape of another: the same kind of value, and every member that the other has. In a map
/// from addresses or nonces, every value has the shape of one that the other has.
fn same_shape(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) if expected.keys().all(|name| is_key(name)) => {
            found.values().all(|value| expected.is_empty() || expected.values().any(|shape| same_shape(shape, value)))
        }
        (Value::Object(expected), Value::Object(found)) => expected
            .iter()
            .all(|(name, value)| found.get(name).is_some_and(|other| value.is_null() || same_shape(value, other))),
        (Value::Array(_), Value::Array(_)) | (Value::Null, _) => true,
        _ => std::mem::discriminant(expected) == std::mem::discriminant(found),
    }
}

/// Runs one `.io` file.
fn check(address: SocketAddr, name: String, text: &str) -> Case {
    let schema_only = text.lines().any(|line| line.starts_with("//") && line.contains("speconly"));
    let mut sent: Option<String> = None;
    for line in text.lines() {
        if let Some(request) = line.strip_prefix(">> ") {
            let method = serde_json::from_str::<Value>(request)
                .ok()
                .and_then(|value| Some(value.get("method")?.as_str()?.to_owned()));
            if let Some(method) = method.filter(|method| METHODS.binary_search(&method.as_str()).is_err()) {
                return Case { name, verdict: Verdict::Skipped(format!("{method} is not answered")) };
            }
            if request.contains(BLOB_TRANSACTION) {
                return Case { name, verdict: Verdict::Skipped("blob transactions are not carried".to_owned()) };
            }
            sent = Some(request.to_owned());
        } else if let Some(expected) = line.strip_prefix("<< ") {
            let answer = sent.take().map_or(Ok(String::new()), |request| post(address, &request));
            let found = match answer {
                Ok(found) => found,
                Err(error) => return Case::failed(name, error),
            };
            let (Ok(wanted), Ok(have)) = (serde_json::from_str(expected), serde_json::from_str::<Value>(&found)) else {
                return Case::failed(name, format!("not JSON: {found}"));
            };
            let holds = if schema_only { same_shape(&wanted, &have) } else { agree(&wanted, &have) };
            if !holds {
                return Case::failed(name, format!("\n  want {expected}\n  have {found}"));
            }
        }
    }
    Case { name, verdict: Verdict::Passed }
}

fn find(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            find(&entry, files)?;
        } else if entry.extension().is_some_and(|extension| extension == "io") {
            files.push(entry);
        }
    }
    Ok(())
}

/// Serves the chain in `folder` and runs every `.io` file below it, one after the other.
#[must_use]
pub fn run(folder: &Path) -> Vec<Case> {
    let server = match serve(folder) {
        Ok(server) => server,
        Err(error) => return vec![Case::failed(folder.display().to_string(), error)],
    };
    let mut files = Vec::new();
    if let Err(error) = find(folder, &mut files) {
        return vec![Case::failed(folder.display().to_string(), error)];
    }
    let cases = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(folder).unwrap_or(file).display().to_string();
            match std::fs::read_to_string(file) {
                Ok(text) => check(server.address(), name, &text),
                Err(error) => Case::failed(name, error),
            }
        })
        .collect();
    server.stop();
    cases
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_methods_are_sorted() {
        assert!(super::METHODS.is_sorted());
    }
}
