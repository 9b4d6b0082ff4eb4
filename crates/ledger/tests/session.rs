//! Session keys at the door of the pool, and in blocks.

#![allow(clippy::unwrap_used, missing_docs)]

use alloy_consensus::{TxEip1559, TypedTransaction};
use alloy_primitives::TxKind;
use candela_evm::SessionError;
use candela_ledger::{Ledger, MemoryBlockStore, Slot, StateMachine, SubmitError};
use candela_pool::{Limits, Pool};
use candela_primitives::{
    Address, B256, Block, Bytes, CHAIN_ID, CandelaTransaction, Deployment, Genesis, GenesisAccount, SESSION_KEYS, U256,
    keccak256,
};
use candela_signing::{SecretKey, SessionKey, sign_session, sign_transaction};
use candela_state::DiskState;
use std::sync::Arc;

const NOW_MS: u64 = 1_700_000_000_000;
const GAS_LIMIT: u64 = 30_000_000;
const FEE_CAP: u128 = 100_000_000_000;

fn owner() -> SecretKey {
    SecretKey::from_bytes(&[1; 32]).unwrap()
}

fn key() -> SessionKey {
    SessionKey::from_seed([7; 32])
}

fn genesis() -> Genesis {
    let artefact: serde_json::Value =
        serde_json::from_str(include_str!("../../../candela/network/contracts/SessionKeys.json")).unwrap();
    let funded = GenesisAccount { balance: U256::from(10).pow(U256::from(21)) };
    Genesis {
        chain_id: CHAIN_ID,
        timestamp_ms: NOW_MS,
        block_gas_limit: GAS_LIMIT,
        accounts: [(owner().address(), funded)].into(),
        deployments: vec![Deployment {
            name: "SessionKeys".into(),
            address: SESSION_KEYS,
            init_code: artefact["bytecode"].as_str().unwrap().parse().unwrap(),
        }],
        ..Genesis::default()
    }
}

fn open() -> Ledger {
    let pool = Arc::new(Pool::new(Limits::new(CHAIN_ID, GAS_LIMIT)));
    let state = Arc::new(DiskState::in_memory().unwrap());
    Ledger::open(&genesis(), state, Arc::new(MemoryBlockStore::default()), pool, 2).unwrap()
}

fn manage(nonce: u64, function: &str, words: &[U256]) -> Bytes {
    let words = words.iter().flat_map(|word| word.to_be_bytes::<32>());
    let fields = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: FEE_CAP,
        to: TxKind::Call(SESSION_KEYS),
        input: keccak256(function)[..4].iter().copied().chain(words).collect(),
        ..TxEip1559::default()
    };
    sign_transaction(TypedTransaction::Eip1559(fields), &owner()).unwrap().encoded().clone()
}

fn authorize(nonce: u64) -> Bytes {
    let expiry = U256::from(NOW_MS / 1000 + 3_600);
    let words = [key().public().into(), expiry, U256::from(10).pow(U256::from(18)), U256::from(128), U256::ZERO];
    manage(nonce, "authorize(bytes32,uint256,uint256,address[])", &words)
}

fn pay(nonce: u64, key: &SessionKey) -> Bytes {
    let fields = CandelaTransaction {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: FEE_CAP,
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::from(5),
        sender: owner().address(),
        ..CandelaTransaction::default()
    };
    sign_session(fields, key).encoded().clone()
}

fn block(ledger: &Ledger, after_ms: u64) -> Arc<Block> {
    let slot = Slot {
        now_ms: NOW_MS + after_ms,
        proposer: Address::repeat_byte(0xfe),
        randomness: B256::ZERO,
        participation: None,
    };
    let block = ledger.propose(&[], slot).unwrap();
    ledger.finalize(&block, b"certificate").unwrap();
    block
}

#[test]
fn an_unauthorized_key_is_refused_at_the_door() {
    let ledger = open();
    let refused = ledger.submit(pay(0, &key())).unwrap_err();
    assert!(
        matches!(&refused, SubmitError::Session(error) if matches!(**error, SessionError::Unknown { .. })),
        "{refused}"
    );
    assert!(refused.to_string().contains("is not authorized by"), "{refused}");
    assert_eq!(ledger.pool().status().pending, 0);
}

#[test]
fn replicas_agree_on_blocks_with_session_transactions() {
    let (leader, follower) = (open(), open());
    leader.submit(authorize(0)).unwrap();
    let first = block(&leader, 100);
    let outcomes = leader.submit_batch(vec![pay(1, &key()), pay(2, &SessionKey::from_seed([8; 32])), pay(2, &key())]);
    assert!(outcomes[0].is_ok() && outcomes[1].is_err() && outcomes[2].is_ok());
    let second = block(&leader, 200);
    assert_eq!(second.transactions.len(), 2);
    for block in [first, second] {
        follower.verify(&[], &block, NOW_MS + 1_000).unwrap();
        follower.finalize(&block, b"certificate").unwrap();
    }
    let paid = follower.head_reader().account(&Address::repeat_byte(0x77)).unwrap().unwrap();
    assert_eq!(paid.balance, U256::from(10));
}

#[test]
fn a_block_with_an_unauthorized_key_is_invalid() {
    let (leader, follower) = (open(), open());
    leader.submit(authorize(0)).unwrap();
    block(&leader, 100);
    leader.submit(pay(1, &key())).unwrap();
    let mut forged = (*block(&leader, 200)).clone();
    forged.header.parent_hash = follower.head().hash();
    forged.header.number = 1;
    forged.transactions = vec![pay(0, &key())];
    let refused = follower.verify(&[], &Arc::new(forged), NOW_MS + 1_000).unwrap_err();
    assert!(refused.to_string().contains("is not authorized by"), "{refused}");
}

#[test]
fn what_was_pending_when_its_key_was_revoked_leaves_the_pool() {
    let ledger = open();
    ledger.submit(authorize(0)).unwrap();
    block(&ledger, 100);
    ledger.submit(manage(1, "revoke(bytes32)", &[key().public().into()])).unwrap();
    ledger.submit(pay(2, &key())).unwrap();
    assert_eq!(block(&ledger, 200).transactions.len(), 1);
    assert_eq!((ledger.pool().status().pending, ledger.pool().status().queued), (0, 0));
    let refused = ledger.submit(pay(2, &key())).unwrap_err();
    assert!(
        matches!(&refused, SubmitError::Session(error) if matches!(**error, SessionError::Revoked { .. })),
        "{refused}"
    );
}
