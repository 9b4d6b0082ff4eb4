//! The last block of an epoch elects, and the first one of the next shares the fees, in every executor and after a crash.

#![allow(clippy::unwrap_used, missing_docs)]

use alloy_consensus::{TxEip1559, TypedTransaction};
use alloy_primitives::TxKind;
use candela_evm::{CallRequest, CallResult, StateOverrides, call};
use candela_ledger::{GenesisError, Ledger, MachineError, MemoryBlockStore, OpenError, Seat, Slot, StateMachine};
use candela_pool::{Limits, Pool};
use candela_primitives::{
    Address, B256, Block, Bytes, CHAIN_ID, Deployment, Epochs, Genesis, GenesisAccount, Participation, STAKING, SYSTEM,
    U256, keccak256,
};
use candela_signing::{SecretKey, sign_transaction};
use candela_state::DiskState;
use std::sync::Arc;

const GAS_LIMIT: u64 = 100_000_000;
const EPOCH_BLOCKS: u64 = 4;
const START_MS: u64 = 1_700_000_000_000;
const SAFETY_FUND: Address = Address::repeat_byte(0x33);
/// What a payment pays to be included, in nit.
const TIP: u64 = 21_000 * 1_000;
/// Signatures of the first three of four seats.
const SIGNERS: u128 = 0b0111;

fn payer() -> SecretKey {
    SecretKey::from_bytes(&[1; 32]).unwrap()
}

fn keys() -> Vec<[u8; 32]> {
    (1..=4).map(|number| [number; 32]).collect()
}

fn seats() -> Vec<Seat> {
    keys().into_iter().map(|public_key| Seat { public_key, stake: 1 }).collect()
}

/// Who has the earnings of a seat.
fn owner(key: &[u8; 32]) -> Address {
    Address::repeat_byte(key[0])
}

fn word(number: u64) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

/// The constructor's arguments: seats, how many at most and at least, least bond, no contracts beside it, safety fund.
fn arguments() -> Vec<u8> {
    let mut words = vec![word(7 * 32), word(4), word(1), U256::from(10).pow(U256::from(18)).to_be_bytes()];
    words.extend([word(0), word(0), SAFETY_FUND.into_word().0, word(4)]);
    words.extend(keys().into_iter().flat_map(|key| [owner(&key).into_word().0, key, word(1)]));
    words.concat()
}

fn genesis() -> Genesis {
    let artefact: serde_json::Value =
        serde_json::from_str(include_str!("../../../candela/network/contracts/Staking.json")).unwrap();
    let code: Bytes = artefact["bytecode"].as_str().unwrap().parse().unwrap();
    Genesis {
        chain_id: CHAIN_ID,
        timestamp_ms: START_MS,
        block_gas_limit: GAS_LIMIT,
        accounts: [(payer().address(), GenesisAccount { balance: U256::from(10).pow(U256::from(21)) })].into(),
        deployments: vec![Deployment {
            name: "Staking".into(),
            address: STAKING,
            init_code: [code.to_vec(), arguments()].concat().into(),
        }],
        epoch_blocks: Some(EPOCH_BLOCKS),
    }
}

fn open(state: &Arc<DiskState>, store: &Arc<MemoryBlockStore>) -> Ledger {
    let pool = Arc::new(Pool::new(Limits::new(CHAIN_ID, GAS_LIMIT)));
    Ledger::open(&genesis(), state.clone(), store.clone(), pool, 2).unwrap()
}

fn fresh() -> Ledger {
    open(&Arc::new(DiskState::in_memory().unwrap()), &Arc::default())
}

fn pay(ledger: &Ledger, nonce: u64) {
    let fields = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: u128::from(TIP / 21_000),
        to: TxKind::Call(Address::repeat_byte(9)),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let signed = sign_transaction(TypedTransaction::Eip1559(fields), &payer()).unwrap();
    ledger.submit(signed.encoded().clone()).unwrap();
}

/// A certificate of the block `distance` below the one that shows it.
fn shown(distance: u8) -> Option<Participation> {
    Some(Participation { distance, signers: SIGNERS, certificate: [7; 15] })
}

fn randomness(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

/// A block whose proposer has the certificate of its parent.
fn propose(ledger: &Ledger, number: u64) -> Arc<Block> {
    let slot = Slot {
        now_ms: START_MS + 500 * number,
        proposer: Address::repeat_byte(0xfe),
        randomness: randomness(number),
        participation: shown(1),
    };
    ledger.propose(&[], slot).unwrap()
}

/// A chain of `blocks` blocks, each with a payment, that `other` verifies and finalises too.
fn extend(ledger: &Ledger, other: &Ledger, blocks: u64) {
    for _ in 0..blocks {
        let number = ledger.head().header.number + 1;
        pay(ledger, number - 1);
        let block = propose(ledger, number);
        assert_eq!(block.transactions.len(), 1);
        other.verify(&[], &block, START_MS + 500 * number).unwrap();
        ledger.finalize(&block, b"certificate").unwrap();
        other.finalize(&block, b"certificate").unwrap();
        assert_eq!(other.head().hash(), ledger.head().hash());
    }
}

#[test]
fn an_epoch_s_last_block_elects_and_whoever_verifies_finds_the_same() {
    // One replays by the access list, the other executes as the proposer does.
    for replayed in [false, true] {
        let ledger = if replayed { fresh().with_access_lists() } else { fresh() };
        let other = fresh();
        assert_eq!(ledger.epochs(), Epochs::new(EPOCH_BLOCKS));
        assert_eq!(ledger.committee(0).unwrap(), Some(seats()));
        extend(&ledger, &other, 2);
        assert_eq!(ledger.committee(1).unwrap(), None, "an epoch was elected before its time");
        assert_eq!(ledger.seed(0).unwrap(), B256::ZERO);
        extend(&ledger, &other, 1);
        // Nobody stands, so the seats stay.
        assert_eq!(ledger.committee(1).unwrap(), Some(seats()));
        assert_eq!(other.committee(1).unwrap(), Some(seats()));
        assert_eq!(other.seed(1).unwrap(), randomness(3), "the block that elects orders the leaders");
        extend(&ledger, &other, 4);
        assert_eq!([other.seed(1).unwrap(), other.seed(2).unwrap()], [randomness(3), randomness(7)]);
        assert_eq!(other.committee(2).unwrap(), Some(seats()));
        assert_eq!(other.committee(0).unwrap(), Some(seats()), "a past epoch is forgotten");
        assert_eq!(other.committee(3).unwrap(), None);
    }
}

#[test]
fn the_hash_of_a_final_block_is_known_and_no_other() {
    let (ledger, other) = (fresh(), fresh());
    extend(&ledger, &other, 3);
    assert_eq!(ledger.hash(3).unwrap(), Some(ledger.head().hash()));
    assert_eq!(ledger.hash(0).unwrap(), Some(ledger.genesis().hash()));
    assert_eq!(ledger.hash(4).unwrap(), None);
}

#[test]
fn an_election_that_the_state_lost_in_a_crash_is_made_again() {
    let (state, store) = (Arc::new(DiskState::in_memory().unwrap()), Arc::new(MemoryBlockStore::default()));
    let (ledger, other) = (open(&state, &store), fresh());
    extend(&ledger, &other, 5);
    drop(ledger);
    // The blocks are there, the state is that of genesis.
    let again = open(&Arc::new(DiskState::in_memory().unwrap()), &store);
    assert_eq!(again.head().hash(), other.head().hash());
    assert_eq!(again.committee(1).unwrap(), Some(seats()));
    extend(&again, &other, 4);
}

#[test]
fn a_block_that_does_not_elect_when_it_has_to_is_refused() {
    let (ledger, other) = (fresh(), fresh());
    extend(&ledger, &other, 2);
    let block = propose(&ledger, 3);
    let mut forged = (*block).clone();
    forged.header.shards[0].state_root = ledger.head().header.shards[0].state_root;
    let refused = other.verify(&[], &Arc::new(forged), START_MS + 10_000);
    assert!(matches!(refused, Err(MachineError::Invalid { number: 3, .. })), "{refused:?}");
    other.verify(&[], &block, START_MS + 10_000).unwrap();
}

#[test]
fn the_length_of_epochs_is_part_of_the_genesis_block() {
    let hash = |genesis: &Genesis| {
        candela_ledger::execute_genesis(genesis, &DiskState::in_memory().unwrap()).map(|made| made.block.hash())
    };
    let other = Genesis { epoch_blocks: Some(5), ..genesis() };
    assert_ne!(hash(&genesis()).unwrap(), hash(&other).unwrap());
    let short = Genesis { epoch_blocks: Some(1), ..genesis() };
    assert!(matches!(hash(&short), Err(GenesisError::Epochs(1))));
    let without = Genesis { deployments: Vec::new(), ..genesis() };
    assert!(matches!(hash(&without), Err(GenesisError::Epochs(EPOCH_BLOCKS))));
    let pool = Arc::new(Pool::new(Limits::new(CHAIN_ID, GAS_LIMIT)));
    let opened =
        Ledger::open(&short, Arc::new(DiskState::in_memory().unwrap()), Arc::<MemoryBlockStore>::default(), pool, 1);
    assert!(matches!(opened.err(), Some(OpenError::Genesis(GenesisError::Epochs(1)))));
}

/// What is credited to an owner, in nit.
fn credited(ledger: &Ledger, owner: Address) -> U256 {
    let request = CallRequest {
        to: Some(STAKING),
        gas: 1_000_000,
        data: [&keccak256("credits(address)")[..4], owner.into_word().as_slice()].concat().into(),
        ..CallRequest::default()
    };
    let environment = ledger.environment_of(&ledger.head().header);
    let reader = ledger.head_reader();
    let answer = call(&*reader, &ledger.block_hashes(), &environment, &request, &StateOverrides::new()).unwrap();
    assert_eq!(answer.result, CallResult::Success);
    U256::from_be_slice(&answer.output)
}

fn fees(ledger: &Ledger) -> U256 {
    ledger.head_reader().account(&SYSTEM).unwrap().map_or(U256::ZERO, |account| account.balance)
}

#[test]
fn fees_wait_for_the_end_of_the_epoch_and_go_to_those_who_signed() {
    for replayed in [false, true] {
        let ledger = if replayed { fresh().with_access_lists() } else { fresh() };
        let other = fresh();
        extend(&ledger, &other, 3);
        let supply = ledger.head().header.shards[0].supply;
        assert_eq!(fees(&ledger), U256::from(3 * TIP));
        assert_eq!(ledger.head_reader().account(&Address::repeat_byte(0xfe)).unwrap(), None, "the proposer was paid");
        extend(&ledger, &other, 1);
        assert_eq!(fees(&ledger), U256::from(TIP), "the block's own fees belong to its epoch");
        let earned: Vec<_> = keys().iter().map(|key| credited(&ledger, owner(key))).collect();
        assert_eq!(earned, [TIP, TIP, TIP, 0].map(U256::from), "the fees of three blocks to three seats");
        let shard = ledger.head().header.shards[0].clone();
        assert_eq!(supply - shard.supply, U256::from(shard.gas_used * shard.base_fee_per_gas), "sharing burns nothing");
        extend(&ledger, &other, 4);
        assert_eq!(credited(&other, owner(&keys()[0])), U256::from(TIP + 4 * TIP / 3));
    }
}

#[test]
fn a_block_shows_the_certificate_of_its_parent_where_the_rules_allow_it() {
    let (ledger, other, mut heights) = (fresh(), fresh(), Vec::new());
    for _ in 1..9 {
        extend(&ledger, &other, 1);
        let header = &ledger.head().header;
        let shown = Participation::decode(&header.extra_data).unwrap();
        heights.push(shown.map(|shown| header.number - u64::from(shown.distance)));
    }
    assert_eq!(heights, [None, Some(1), None, None, Some(4), Some(5), None, None]);
}

#[test]
fn what_a_block_must_not_show_is_refused_by_every_executor() {
    for replayed in [false, true] {
        let ledger = if replayed { fresh().with_access_lists() } else { fresh() };
        let other = fresh();
        extend(&ledger, &other, 5);
        pay(&ledger, 5);
        let block = propose(&ledger, 6);
        let verify = |extra_data: Bytes| {
            let mut forged = (*block).clone();
            forged.header.extra_data = extra_data;
            other.verify(&[], &Arc::new(forged), START_MS + 10_000)
        };
        let honest = shown(1).unwrap();
        let others = Participation { signers: 0b1111, ..honest };
        let cases: [(Bytes, &str); 5] = [
            // Block 5 has shown the certificate of block 4.
            (shown(2).unwrap().encode().into(), "system call"),
            (shown(3).unwrap().encode().into(), "3 below"),
            (others.encode().into(), "access list"),
            (Bytes::new(), "access list"),
            (vec![1].into(), "1 bytes"),
        ];
        for (extra_data, reason) in cases {
            let refused = verify(extra_data).unwrap_err();
            assert!(matches!(refused, MachineError::Invalid { number: 6, .. }), "{refused}");
            assert!(refused.to_string().contains(reason), "{refused} instead of {reason}");
        }
        verify(honest.encode().into()).unwrap();
    }
}
