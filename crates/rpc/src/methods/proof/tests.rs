//! The method over a small chain.

use crate::{Chain, Feed, Limits, RpcContext, RpcError, handler::Handler, methods::dispatch};
use alloy_consensus::Header as EthereumHeader;
use candela_archive::{Archive, ArchivedBlock};
use candela_evm::BlockEnvironment;
use candela_pool::Pool;
use candela_primitives::{
    Account, AccountChange, Address, B256, Bytes, Header, ShardHeader, StateChanges, StateError, StateReader, U256,
    keccak256,
};
use candela_state::{DiskState, Options, Prover, State};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

const HEIGHTS: usize = 3;

struct TestChain {
    state: DiskState,
    _directory: tempfile::TempDir,
}

impl Chain for TestChain {
    fn chain_id(&self) -> u64 {
        1
    }

    fn state_after(&self, number: u64) -> Result<Option<Arc<dyn StateReader>>, StateError> {
        self.state.at(number)
    }

    fn prover_after(&self, number: u64) -> Result<Prover, RpcError> {
        self.state.prover(number).map_err(|error| RpcError::server(error.to_string()))
    }

    fn environment(&self, header: &EthereumHeader) -> BlockEnvironment {
        BlockEnvironment::candela(1, header.number, header.timestamp, header.gas_limit, 0)
    }

    fn next_header(&self, parent: &EthereumHeader) -> EthereumHeader {
        parent.clone()
    }

    fn max_blob_gas(&self, _header: &EthereumHeader) -> u64 {
        0
    }

    fn blob_base_fee(&self, _header: &EthereumHeader) -> u128 {
        1
    }

    fn submit(&self, _raw: Vec<Bytes>) -> Vec<Result<B256, RpcError>> {
        Vec::new()
    }
}

/// A handler over a chain that grows by one block for each of `blocks`.
pub(super) fn handler(blocks: Vec<StateChanges>) -> Handler {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { proved_heights: HEIGHTS, ..Options::default() };
    let state = DiskState::open_with(&directory.path().join("state.redb"), options).unwrap();
    let archive = Arc::new(Archive::in_memory().unwrap());
    for (number, changes) in blocks.into_iter().enumerate() {
        let version = state.head().extend(Arc::new(changes)).unwrap();
        let shard = ShardHeader { state_root: version.root(), ..ShardHeader::default() };
        let header =
            Header { version: Header::VERSION, number: number as u64, shards: vec![shard], ..Header::default() };
        state.commit(&version).unwrap();
        archive.append(Arc::new(archived(&header))).unwrap();
    }
    let pool = Arc::new(Pool::new(candela_pool::Limits::new(1, 30_000_000)));
    let chain = Arc::new(TestChain { state, _directory: directory });
    let context = RpcContext { chain, archive, pool, feed: Feed::new(), client_version: String::new() };
    Handler::new(context, Limits::default())
}

fn archived(header: &Header) -> ArchivedBlock {
    ArchivedBlock {
        hash: header.hash(),
        ethereum_header: header.to_ethereum(),
        header_bytes: alloy_rlp::encode(header).into(),
        transactions: Arc::default(),
        receipts: Arc::default(),
        certificate: Bytes::new(),
    }
}

pub(super) fn call(handler: &Handler, params: Value) -> Result<Value, RpcError> {
    dispatch(handler, "candela_getProof", Some(params)).map(|json| serde_json::from_str(&json.0).unwrap())
}

pub(super) fn address(index: u64) -> Address {
    Address::from_slice(&keccak256(index.to_be_bytes())[12..])
}

pub(super) const CONTRACT: Address = Address::repeat_byte(0xc0);
pub(super) const RICH: Address = Address::repeat_byte(0xff);
pub(super) const POOR: Address = Address::ZERO;

pub(super) fn put(changes: &mut StateChanges, address: Address, account: Account, slots: &[(U256, U256)]) {
    let storage = slots.iter().copied().collect();
    changes.accounts.insert(address, AccountChange { account: Some(account), storage, ..AccountChange::default() });
}

pub(super) fn funded(balance: u64) -> Account {
    Account { balance: U256::from(balance), ..Account::default() }
}

/// Sixty accounts, one of them a contract with slots; then two blocks that change some of it.
pub(super) fn small_chain() -> Vec<StateChanges> {
    let (mut first, mut second, mut third) = Default::default();
    (0..57).for_each(|index| put(&mut first, address(index), funded(index + 1), &[]));
    put(&mut first, POOR, Account::default(), &[]);
    let rich = Account { nonce: u64::MAX, balance: U256::MAX, code_hash: B256::repeat_byte(0xff) };
    put(&mut first, RICH, rich, &[(U256::MAX, U256::MAX)]);
    let contract = Account { nonce: 1, balance: U256::ZERO, code_hash: keccak256("code") };
    let slots: Vec<_> = (0..20).map(|slot| (U256::from(slot), U256::from(slot * 7 + 1))).collect();
    put(&mut first, CONTRACT, contract, &slots);
    put(&mut second, CONTRACT, contract, &[(U256::ZERO, U256::from(99)), (U256::ONE, U256::ZERO)]);
    put(&mut third, address(0), Account { nonce: 1, ..funded(5) }, &[]);
    vec![first, second, third]
}

fn refusal(params: Value) -> (i64, String) {
    let error = call(&handler(small_chain()), params).unwrap_err();
    (error.code, error.message)
}

#[test]
fn questions_that_make_no_sense_are_refused_in_words() {
    let many = vec!["0x0"; super::MAX_SLOTS + 1];
    assert_eq!(refusal(json!([POOR, many])), (-32005, "too many slots (max 64)".to_owned()));
    let cases = [
        (json!([]), -32602, "missing value for required argument 0"),
        (json!([POOR]), -32602, "missing value for required argument 1"),
        (
            json!([POOR, "0x0"]),
            -32602,
            "invalid argument 1: json: cannot unmarshal string into Go value of type []string",
        ),
        (json!([POOR, [7]]), -32602, "invalid argument 1: json: cannot unmarshal number into Go value of type string"),
        (json!([POOR, ["0xzz"]]), -32602, "invalid hex in storage key: \"0xzz\""),
        (json!([POOR, [], "pending"]), -32602, "the pending block has no header to prove against: use \"latest\""),
        (json!([POOR, [], "0x9"]), -32000, "header not found"),
        (json!([POOR, [], B256::ZERO]), -32000, "header for hash not found"),
    ];
    for (params, code, message) in cases {
        assert_eq!(refusal(params), (code, message.to_owned()));
    }
}

#[test]
fn a_height_that_is_no_longer_kept_is_refused_with_those_that_are() {
    let mut blocks = small_chain();
    blocks.extend((0..4).map(|_| StateChanges::default()));
    let handler = handler(blocks);
    let refused = call(&handler, json!([POOR, [], "0x3"])).unwrap_err();
    let message = "state of block 3 can't be proved: proofs are kept for blocks 4 to 6".to_owned();
    assert_eq!((refused.code, refused.message), (-32000, message));
    let numbers: BTreeMap<_, _> = ["0x4", "0x5", "finalized"]
        .into_iter()
        .map(|tag| (tag, call(&handler, json!([POOR, [], tag])).unwrap()["blockNumber"].clone()))
        .collect();
    assert_eq!(json!(numbers), json!({ "0x4": "0x4", "0x5": "0x5", "finalized": "0x6" }));
}

#[test]
fn a_slot_may_be_named_by_any_hex_of_32_bytes() {
    let chain = handler(small_chain());
    let shown = |slot: &str| call(&chain, json!([CONTRACT, [slot]])).unwrap()["storageProof"][0].clone();
    assert_eq!(shown("0x7"), shown(&format!("0x{:064x}", 7)));
    assert_eq!(shown("0x7")["value"], json!(B256::with_last_byte(50)));
}
