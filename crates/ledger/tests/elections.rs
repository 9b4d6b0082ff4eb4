//! The last block of an epoch elects, in every executor and after a crash.

#![allow(clippy::unwrap_used, missing_docs)]

use alloy_consensus::{TxEip1559, TypedTransaction};
use alloy_primitives::TxKind;
use candela_ledger::{GenesisError, Ledger, MachineError, MemoryBlockStore, OpenError, Slot, StateMachine};
use candela_pool::{Limits, Pool};
use candela_primitives::{
    Address, B256, Block, Bytes, CHAIN_ID, Deployment, Epochs, Genesis, GenesisAccount, STAKING, U256,
};
use candela_signing::{SecretKey, sign_transaction};
use candela_state::DiskState;
use std::sync::Arc;

const GAS_LIMIT: u64 = 100_000_000;
const EPOCH_BLOCKS: u64 = 4;
const START_MS: u64 = 1_700_000_000_000;
const OWNER: Address = Address::repeat_byte(0x33);

fn payer() -> SecretKey {
    SecretKey::from_bytes(&[1; 32]).unwrap()
}

fn keys() -> Vec<[u8; 32]> {
    (1..=4).map(|number| [number; 32]).collect()
}

fn word(number: u64) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

/// The constructor's arguments: seats, how many at most and at least, least bond, no contracts beside it, safety fund.
fn arguments() -> Vec<u8> {
    let mut words = vec![word(7 * 32), word(4), word(1), U256::from(10).pow(U256::from(18)).to_be_bytes()];
    words.extend([word(0), word(0), OWNER.into_word().0, word(4)]);
    words.extend(keys().into_iter().flat_map(|key| [OWNER.into_word().0, key, word(1)]));
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
        to: TxKind::Call(Address::repeat_byte(9)),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let signed = sign_transaction(TypedTransaction::Eip1559(fields), &payer()).unwrap();
    ledger.submit(signed.encoded().clone()).unwrap();
}

fn propose(ledger: &Ledger, number: u64) -> Arc<Block> {
    let slot = Slot { now_ms: START_MS + 500 * number, proposer: Address::repeat_byte(0xfe), randomness: B256::ZERO };
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
        assert_eq!(ledger.committee(0).unwrap(), Some(keys()));
        extend(&ledger, &other, 2);
        assert_eq!(ledger.committee(1).unwrap(), None, "an epoch was elected before its time");
        extend(&ledger, &other, 1);
        // Nobody stands, so the seats stay.
        assert_eq!(ledger.committee(1).unwrap(), Some(keys()));
        assert_eq!(other.committee(1).unwrap(), Some(keys()));
        extend(&ledger, &other, 4);
        assert_eq!(other.committee(2).unwrap(), Some(keys()));
        assert_eq!(other.committee(0).unwrap(), Some(keys()), "a past epoch is forgotten");
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
    assert_eq!(again.committee(1).unwrap(), Some(keys()));
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
