//! Blocks follow the rules, replicas agree, crashes heal.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use alloy_consensus::{TxEip1559, TypedTransaction};
use alloy_primitives::TxKind;

use candela_ledger::{
    BlockStore, BlockStoreError, Finalized, Ledger, MachineError, MemoryBlockStore, OpenError, Slot, StateMachine,
    SubmitError, next_base_fee,
};
use candela_pool::{Limits, Pool, PoolError};
use candela_primitives::{
    Address, B256, Block, Bytes, CHAIN_ID, Deployment, Genesis, GenesisAccount, Header, Parameters, Participation,
    ShardHeader, U256, keccak256,
};
use candela_signing::{SecretKey, sign_transaction};
use candela_state::{DiskState, State};
use parking_lot::Mutex;
use std::sync::Arc;

const GAS_LIMIT: u64 = 30_000_000;
/// Returns the code 0x00 (stop) from its constructor.
const STOP_INIT: &[u8] = &[0x60, 0x01, 0x60, 0x00, 0xf3];

fn key(index: u8) -> SecretKey {
    SecretKey::from_bytes(&[index; 32]).unwrap()
}

fn genesis() -> Genesis {
    let fund = |index| (key(index).address(), GenesisAccount { balance: U256::from(10).pow(U256::from(21)) });
    Genesis {
        chain_id: CHAIN_ID,
        timestamp_ms: 1_700_000_000_000,
        block_gas_limit: GAS_LIMIT,
        accounts: (1..=5).map(fund).collect(),
        deployments: vec![Deployment {
            name: "Stop".into(),
            address: Address::repeat_byte(0xcd),
            init_code: Bytes::from_static(STOP_INIT),
        }],
        ..Genesis::default()
    }
}

struct Chain {
    ledger: Ledger,
    state: Arc<DiskState>,
    store: Arc<MemoryBlockStore>,
    now_ms: Mutex<u64>,
}

impl Chain {
    fn new() -> Self {
        let state = Arc::new(DiskState::in_memory().unwrap());
        let store = Arc::new(MemoryBlockStore::default());
        let pool = Arc::new(Pool::new(Limits::new(CHAIN_ID, GAS_LIMIT)));
        let ledger = Ledger::open(&genesis(), state.clone(), store.clone(), pool, 2).unwrap();
        Self { ledger, state, store, now_ms: Mutex::new(1_700_000_000_500) }
    }

    fn slot(&self) -> Slot {
        let mut now = self.now_ms.lock();
        *now += 100;
        Slot {
            now_ms: *now,
            proposer: Address::repeat_byte(0xfe),
            randomness: B256::repeat_byte(7),
            participation: None,
        }
    }

    fn pay(&self, from: u8, nonce: u64, value: u64) -> Result<B256, SubmitError> {
        self.ledger.submit(payment(from, nonce, value, 100_000_000_000))
    }

    fn block(&self) -> Arc<Block> {
        let block = self.ledger.propose(&[], self.slot()).unwrap();
        self.ledger.finalize(&block, b"certificate").unwrap();
        block
    }
}

fn payment(from: u8, nonce: u64, value: u64, max_fee_per_gas: u128) -> Bytes {
    let fields = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas,
        max_priority_fee_per_gas: 1_000_000_000.min(max_fee_per_gas),
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::from(value),
        ..TxEip1559::default()
    };
    sign_transaction(TypedTransaction::Eip1559(fields), &key(from)).unwrap().encoded().clone()
}

#[test]
fn a_proposal_that_was_dropped_is_made_again() {
    let chain = Chain::new();
    chain.pay(1, 0, 5).unwrap();
    let dropped = chain.ledger.propose(&[], chain.slot()).unwrap();
    assert!(!chain.ledger.has_work(), "its transaction is in flight");

    chain.ledger.begin(&[]);
    assert!(chain.ledger.has_work());
    let block = chain.block();
    assert_eq!(block.transactions, dropped.transactions);
    assert!(!chain.ledger.has_work());
}

#[test]
fn what_is_in_an_ancestor_stays_in_flight() {
    let chain = Chain::new();
    chain.pay(1, 0, 5).unwrap();
    let ancestor = chain.ledger.propose(&[], chain.slot()).unwrap();
    chain.ledger.begin(std::slice::from_ref(&ancestor));
    assert!(!chain.ledger.has_work());
}

#[test]
fn genesis_is_reproducible_and_holds_the_deployments() {
    let (left, right) = (Chain::new(), Chain::new());
    assert_eq!(left.ledger.genesis().hash(), right.ledger.genesis().hash());
    let account = left.ledger.head_reader().account(&Address::repeat_byte(0xcd)).unwrap().unwrap();
    assert_eq!(left.ledger.head_reader().code(&account.code_hash).unwrap(), Bytes::from_static(&[0]));
    assert_eq!(left.state.head().root(), left.ledger.genesis().header.shards[0].state_root);
}

#[test]
fn a_payment_moves_value_and_burns_the_base_fee() {
    let chain = Chain::new();
    chain.pay(1, 0, 5).unwrap();
    assert!(chain.ledger.has_work());
    let block = chain.block();
    assert!(!chain.ledger.has_work());
    let shard = &block.header.shards[0];
    assert_eq!((block.transactions.len(), shard.gas_used), (1, 21_000));
    let payee = chain.ledger.head_reader().account(&Address::repeat_byte(0x77)).unwrap().unwrap();
    assert_eq!(payee.balance, U256::from(5));
    let supply = chain.ledger.genesis().header.shards[0].supply;
    assert_eq!(supply - shard.supply, U256::from(21_000u64 * shard.base_fee_per_gas));
}

#[test]
fn a_replica_accepts_what_was_proposed_and_reaches_the_same_state() {
    let (proposer, replica) = (Chain::new(), Chain::new());
    let mut ancestry = Vec::new();
    for round in 0..5u64 {
        for sender in 1..=3 {
            proposer.pay(sender, round, 1 + round).unwrap();
        }
        let block = proposer.ledger.propose(&ancestry, proposer.slot()).unwrap();
        assert_eq!(block.transactions.len(), 3);
        replica.ledger.verify(&ancestry, &block, u64::MAX / 2).unwrap();
        ancestry.push(block);
    }
    assert!(!proposer.ledger.has_work(), "what is in unfinalised blocks is no work");
    for block in &ancestry {
        proposer.ledger.finalize(block, b"").unwrap();
        replica.ledger.finalize(block, b"").unwrap();
    }
    assert_eq!(proposer.state.head().root(), replica.state.head().root());
    assert_eq!(proposer.ledger.head().hash(), ancestry.last().unwrap().hash());
}

#[test]
fn every_tampered_header_field_is_refused() {
    type Tamper = fn(&mut Header);
    let tampers: [(&str, Tamper); 23] = [
        ("access list hash", |header| header.shards[0].access_list_hash.0[0] ^= 1),
        ("version", |header| header.version += 1),
        ("parameters version", |header| header.parameters_version += 1),
        ("parent", |header| header.parent_hash = B256::ZERO),
        ("number", |header| header.number += 1),
        ("time before parent", |header| header.timestamp_ms = 0),
        ("time far ahead", |header| header.timestamp_ms += 60_000),
        ("gas limit", |header| header.gas_limit += 1),
        ("bloom", |header| header.logs_bloom.0[0] ^= 1),
        ("extra data", |header| header.extra_data = vec![0; 33].into()),
        ("what is no certificate", |header| header.extra_data = vec![0].into()),
        ("a certificate where nobody is elected", |header| {
            let shown = Participation { distance: 1, signers: 1, certificate: [0; 15] };
            header.extra_data = shown.encode().into();
        }),
        ("no shard", |header| header.shards.clear()),
        ("two shards", |header| header.shards.push(ShardHeader::default())),
        ("state root", |header| header.shards[0].state_root.0[0] ^= 1),
        ("transactions root", |header| header.shards[0].transactions_root.0[0] ^= 1),
        ("receipts root", |header| header.shards[0].receipts_root.0[0] ^= 1),
        ("outbox root", |header| header.shards[0].outbox_root.0[0] ^= 1),
        ("cursors", |header| header.shards[0].inbound_cursors.push(1)),
        ("gas used", |header| header.shards[0].gas_used += 1),
        ("base fee", |header| header.shards[0].base_fee_per_gas += 1),
        ("supply", |header| header.shards[0].supply += U256::from(1)),
        ("in flight", |header| header.shards[0].in_flight += U256::from(1)),
    ];
    let (proposer, replica) = (Chain::new(), Chain::new());
    proposer.pay(1, 0, 5).unwrap();
    let slot = proposer.slot();
    let block = proposer.ledger.propose(&[], slot).unwrap();
    for (name, tamper) in tampers {
        let mut forged = (*block).clone();
        tamper(&mut forged.header);
        assert!(replica.ledger.verify(&[], &Arc::new(forged), slot.now_ms).is_err(), "accepted another {name}");
    }
    let mut forged = (*block).clone();
    forged.transactions.push(payment(2, 0, 1, 100_000_000_000));
    assert!(replica.ledger.verify(&[], &Arc::new(forged), slot.now_ms).is_err());
    replica.ledger.verify(&[], &block, slot.now_ms).unwrap();
    let mut other_body = (*block).clone();
    other_body.transactions.clear();
    assert_eq!(other_body.hash(), block.hash());
    assert!(
        replica.ledger.verify(&[], &Arc::new(other_body), slot.now_ms).is_err(),
        "a known header vouched for a body"
    );
}

#[test]
fn a_carried_access_list_is_followed_and_never_believed() {
    let (proposer, replica) = (Chain::new(), Chain::new());
    let proposer = Chain { ledger: proposer.ledger.with_access_lists(), ..proposer };
    for from in 1..=5 {
        proposer.pay(from, 0, 5).unwrap();
    }
    let slot = proposer.slot();
    let block = proposer.ledger.propose(&[], slot).unwrap();
    assert_eq!(keccak256(&block.access_list), block.header.shards[0].access_list_hash);
    let verify = |block: Block| replica.ledger.verify(&[], &Arc::new(block), slot.now_ms);
    for position in 0..block.access_list.len() {
        let mut list = block.access_list.to_vec();
        list[position] ^= 1;
        let mut forged = (*block).clone();
        forged.access_list = list.into();
        assert!(verify(forged.clone()).is_err(), "accepted a list that the header does not name");
        forged.header.shards[0].access_list_hash = keccak256(&forged.access_list);
        assert!(verify(forged).is_err(), "believed a false list, byte {position}");
    }
    verify((*block).clone()).unwrap();
    let without = Block { access_list: Bytes::new(), ..(*block).clone() };
    assert!(Chain::new().ledger.verify(&[], &Arc::new(without), slot.now_ms).is_ok(), "a list may be left out");
}

#[test]
fn the_genesis_hash_is_the_committed_one() {
    let vector = include_str!("../../../vectors/genesis.json");
    let fields: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_str(vector).unwrap();
    let genesis: Genesis = serde_json::from_value(fields["genesis"].clone()).unwrap();
    let executed = candela_ledger::execute_genesis(&genesis, &DiskState::in_memory().unwrap()).unwrap();
    assert_eq!(executed.block.hash().to_string(), fields["hash"].as_str().unwrap());
    assert_eq!(executed.version.root().to_string(), fields["state_root"].as_str().unwrap());
}

#[test]
fn the_environment_of_a_block_is_the_one_that_was_pending() {
    let chain = Chain::new();
    let slot = chain.slot();
    let pending = chain.ledger.pending_environment(&slot);
    let block = chain.ledger.propose(&[], slot).unwrap();
    assert_eq!(format!("{pending:?}"), format!("{:?}", chain.ledger.environment_of(&block.header)));
}

#[test]
fn blocks_are_bounded_by_gas_and_the_rest_follows() {
    let chain = Chain::new();
    let fits = GAS_LIMIT / 21_000;
    for nonce in 0..fits + 10 {
        chain.pay(1, nonce, 1).unwrap();
    }
    assert_eq!(chain.block().transactions.len() as u64, fits);
    assert!(chain.ledger.has_work());
    assert_eq!(chain.block().transactions.len(), 10);
}

#[test]
fn a_gap_is_held_and_an_unpayable_fee_is_no_work() {
    let chain = Chain::new();
    chain.pay(1, 1, 1).unwrap();
    chain.ledger.submit(payment(2, 0, 1, 1)).unwrap();
    assert!(!chain.ledger.has_work());
    chain.pay(1, 0, 1).unwrap();
    assert_eq!(chain.block().transactions.len(), 2);
}

#[test]
fn funds_that_vanish_stall_the_sender_instead_of_making_empty_blocks() {
    let chain = Chain::new();
    let all = U256::from(10).pow(U256::from(21)) - U256::from(21_000u64 * 2) * U256::from(100_000_000_000u64);
    let fields = |nonce| TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: all,
        ..TxEip1559::default()
    };
    for nonce in [20, 0] {
        let raw = sign_transaction(TypedTransaction::Eip1559(fields(nonce)), &key(1)).unwrap().encoded().clone();
        chain.ledger.submit(raw).unwrap();
    }
    chain.block();
    assert!(!chain.ledger.has_work());
}

#[test]
fn finalising_twice_changes_nothing() {
    let chain = Chain::new();
    chain.pay(1, 0, 1).unwrap();
    let block = chain.block();
    let root = chain.state.head().root();
    chain.ledger.finalize(&block, b"certificate").unwrap();
    assert_eq!(chain.state.head().root(), root);
}

#[test]
fn an_unknown_parent_is_refused() {
    let chain = Chain::new();
    let mut orphan = (*chain.ledger.propose(&[], chain.slot()).unwrap()).clone();
    orphan.header.parent_hash = B256::repeat_byte(1);
    let error = chain.ledger.verify(&[], &Arc::new(orphan), u64::MAX).unwrap_err();
    assert!(matches!(error, MachineError::UnknownParent(_)));
}

#[test]
fn blocks_that_the_state_lost_in_a_crash_are_executed_again() {
    let chain = Chain::new();
    let blocks: Vec<_> = (0..5)
        .map(|nonce| {
            chain.pay(1, nonce, 9).unwrap();
            chain.block()
        })
        .collect();
    let pool = || Arc::new(Pool::new(Limits::new(CHAIN_ID, GAS_LIMIT)));
    for written in 0..=blocks.len() {
        let behind = Arc::new(DiskState::in_memory().unwrap());
        let replayed = Arc::new(MemoryBlockStore::default());
        {
            let ledger = Ledger::open(&genesis(), behind.clone(), replayed.clone(), pool(), 1).unwrap();
            blocks[..written].iter().for_each(|block| ledger.finalize(block, b"").unwrap());
        }
        for block in &blocks[written..] {
            replayed.append(&chain.store.block(block.header.number).unwrap().unwrap()).unwrap();
        }
        let healed = Ledger::open(&genesis(), behind.clone(), replayed, pool(), 1).unwrap();
        assert_eq!(healed.head().hash(), blocks.last().unwrap().hash(), "{written} blocks were written");
        assert_eq!(behind.head().root(), chain.state.head().root(), "{written} blocks were written");
    }
}

#[test]
fn another_genesis_is_refused_with_both_hashes() {
    let chain = Chain::new();
    let other = Genesis { timestamp_ms: 1, ..genesis() };
    let pool = Arc::new(Pool::new(Limits::new(CHAIN_ID, GAS_LIMIT)));
    let error = Ledger::open(&other, chain.state.clone(), chain.store.clone(), pool, 1).err().unwrap();
    let found = chain.ledger.genesis().hash().to_string();
    assert!(matches!(&error, OpenError::OtherChain { .. }) && error.to_string().contains(&found), "{error}");
}

#[test]
fn a_failing_store_stops_finalisation_before_the_state_moves() {
    struct Full(MemoryBlockStore);
    impl BlockStore for Full {
        fn head(&self) -> Result<Option<Arc<Finalized>>, BlockStoreError> {
            self.0.head()
        }
        fn hash(&self, number: u64) -> Result<Option<B256>, BlockStoreError> {
            self.0.hash(number)
        }
        fn block(&self, number: u64) -> Result<Option<Arc<Finalized>>, BlockStoreError> {
            self.0.block(number)
        }
        fn append(&self, block: &Arc<Finalized>) -> Result<(), BlockStoreError> {
            if block.block.header.number > 0 { Err(BlockStoreError("disk full".into())) } else { self.0.append(block) }
        }
    }
    let state = Arc::new(DiskState::in_memory().unwrap());
    let pool = Arc::new(Pool::new(Limits::new(CHAIN_ID, GAS_LIMIT)));
    let store = Arc::new(Full(MemoryBlockStore::default()));
    let ledger = Ledger::open(&genesis(), state.clone(), store, pool, 1).unwrap();
    let root = state.head().root();
    let slot = Slot { now_ms: 1_700_000_001_000, proposer: Address::ZERO, randomness: B256::ZERO, participation: None };
    let block = ledger.propose(&[], slot).unwrap();
    assert!(matches!(ledger.finalize(&block, b""), Err(MachineError::Storage(reason)) if reason == "disk full"));
    assert_eq!(state.head().root(), root);
}

#[test]
fn refusals_use_geths_words() {
    let chain = Chain::new();
    chain.pay(1, 0, 1).unwrap();
    chain.block();
    let text = |result: Result<B256, SubmitError>| result.unwrap_err().to_string();
    assert_eq!(text(chain.pay(1, 0, 2)), "nonce too low: next nonce 1, tx nonce 0");
    assert!(text(chain.pay(9, 0, 1)).starts_with("insufficient funds for gas * price + value: balance 0, tx cost "));
    chain.pay(2, 0, 1).unwrap();
    assert_eq!(text(chain.pay(2, 0, 1)), "already known");
    assert_eq!(text(chain.pay(2, 0, 2)), "replacement transaction underpriced");
    assert!(matches!(chain.ledger.submit(Bytes::from_static(&[3, 0xc0])), Err(SubmitError::Signing(_))));
    assert!(!matches!(chain.pay(2, 1, 1), Err(SubmitError::Pool(PoolError::AlreadyKnown))));
}

#[test]
fn base_fee_follows_eip_1559_down_to_the_minimum() {
    let parameters = Parameters::genesis(GAS_LIMIT);
    let header = |gas_used, base_fee_per_gas| Header {
        gas_limit: GAS_LIMIT,
        shards: vec![ShardHeader { gas_used, base_fee_per_gas, ..ShardHeader::default() }],
        ..Header::default()
    };
    assert_eq!(next_base_fee(&header(GAS_LIMIT, 8_000_000), &parameters), 9_000_000);
    assert_eq!(next_base_fee(&header(GAS_LIMIT / 2, 8_000_000), &parameters), 8_000_000);
    assert_eq!(next_base_fee(&header(0, 8_000_000), &parameters), 7_000_000);
    assert_eq!(next_base_fee(&header(0, 1_000_000), &parameters), parameters.min_base_fee_per_gas);
}

/// Submits transactions of 100 KiB, two more than fit into a block; returns how many do.
fn submit_large(chain: &Chain) -> usize {
    let fit = chain.ledger.parameters().block_bytes_limit / (100 << 10);
    for nonce in 0..fit as u64 + 2 {
        let fields = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 1_100_000,
            max_fee_per_gas: 100_000_000_000,
            max_priority_fee_per_gas: 2_000_000_000,
            to: TxKind::Call(Address::repeat_byte(0x77)),
            input: vec![0; 100 << 10].into(),
            ..TxEip1559::default()
        };
        let raw = sign_transaction(TypedTransaction::Eip1559(fields), &key(1)).unwrap().encoded().clone();
        chain.ledger.submit(raw).unwrap();
    }
    fit
}

#[test]
fn blocks_are_bounded_by_bytes() {
    let chain = Chain::new();
    let fit = submit_large(&chain);
    chain.pay(2, 0, 5).unwrap();
    let limit = chain.ledger.parameters().block_bytes_limit;
    let first = chain.block();
    assert!(first.transactions.iter().map(|bytes| bytes.len()).sum::<usize>() <= limit);
    assert_eq!(first.transactions.len(), fit + 1, "what is small fits behind what is too large");
    assert_eq!(chain.block().transactions.len(), 2);
}

#[test]
fn a_proposal_goes_on_where_ancestors_that_are_not_final_end() {
    let chain = Chain::new();
    let fit = submit_large(&chain);
    let mut ancestry = Vec::new();
    for expected in [fit, 2, 0] {
        let block = chain.ledger.propose(&ancestry, chain.slot()).unwrap();
        assert_eq!(block.transactions.len(), expected);
        ancestry.push(block);
    }
    assert_eq!(chain.ledger.propose(&ancestry[..1], chain.slot()).unwrap().transactions, ancestry[1].transactions);
    for block in &ancestry[..2] {
        chain.ledger.finalize(block, b"certificate").unwrap();
    }
    assert!(!chain.ledger.has_work());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    #[test]
    fn balances_sum_to_the_supply_of_the_header(
        payments in proptest::collection::vec((1u8..=5, 0u64..1_000_000_000_000_000_000), 1..60),
        per_block in 1usize..20,
    ) {
        let chain = Chain::new();
        let mut nonces = [0; 6];
        for block in payments.chunks(per_block) {
            for (sender, value) in block {
                chain.pay(*sender, nonces[usize::from(*sender)], *value).unwrap();
                nonces[usize::from(*sender)] += 1;
            }
            let block = chain.block();
            let reader = chain.ledger.head_reader();
            let known = [0x77, 0xfe, 0xcd].map(Address::repeat_byte);
            let holders = (1..=5).map(|index| key(index).address()).chain(known);
            let balance = |address| reader.account(&address).unwrap().unwrap_or_default().balance;
            proptest::prop_assert_eq!(holders.map(balance).sum::<U256>(), block.header.shards[0].supply);
        }
        proptest::prop_assert!(!chain.ledger.has_work());
    }
}
