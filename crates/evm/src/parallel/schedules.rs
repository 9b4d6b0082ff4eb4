//! Whatever order the workers' steps come in, a block's outcome is the sequential one, and nobody waits for ever.
//!
//! Tests run on Shuttle's threads, which switch at every atomic operation as a seed says.

use super::{Lane, ParallelExecutor, Schedule, Window, Workers};
use crate::{BlockEnvironment, Execution, Executor, NoBlockHashes, SkipReason};
use alloy_consensus::{Signed, TxEip1559, TxEnvelope};
use alloy_primitives::{Signature, TxKind};
use candela_primitives::{
    Account, Address, B256, Bytes, KECCAK256_EMPTY, StateError, StateReader, Transaction, U256, keccak256,
};
use std::sync::Mutex;

const CHAIN: u64 = 7;
const PEOPLE: u8 = 6;
const BLOCK: usize = 24;
const COUNTER: Address = Address::repeat_byte(0xcc);
/// Adds one to its first slot.
const COUNTING: [u8; 11] = [0x60, 0x00, 0x54, 0x60, 0x01, 0x01, 0x60, 0x00, 0x55, 0x00, 0x00];

/// Runs the lanes of a window, each on a thread of Shuttle's.
pub(super) fn run_all<'a>(lanes: Vec<Lane<'a>>, window: &Window<'_>) -> Result<Vec<Lane<'a>>, StateError> {
    shuttle::thread::scope(|scope| {
        let running: Vec<_> = lanes.into_iter().map(|lane| scope.spawn(|| lane.run(window))).collect();
        running.into_iter().map(|lane| lane.join().unwrap()).collect()
    })
}

struct People;

fn person(number: u8) -> Address {
    Address::repeat_byte(number + 1)
}

impl StateReader for People {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        let rich = Account { nonce: 0, balance: U256::from(10u64.pow(18)), code_hash: KECCAK256_EMPTY };
        let known = (0..PEOPLE).any(|number| person(number) == *address).then_some(rich);
        Ok(if *address == COUNTER { Some(Account { code_hash: keccak256(COUNTING), ..rich }) } else { known })
    }

    fn storage(&self, _: &Address, _: &U256) -> Result<U256, StateError> {
        Ok(U256::ZERO)
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        Ok(if *code_hash == keccak256(COUNTING) { Bytes::from_static(&COUNTING) } else { Bytes::new() })
    }
}

fn environment() -> BlockEnvironment {
    let mut environment = BlockEnvironment::candela(CHAIN, 1, 1_700_000_000, 30_000_000, 1_000);
    environment.beneficiary = Address::repeat_byte(0xfe);
    environment
}

/// Payments among a few people and to strangers, calls of the counter, which nobody foresees, and gaps in nonces.
fn block(seed: u64) -> Vec<Transaction> {
    let mut state = seed;
    let mut draw = |below: u8| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8 % below
    };
    let mut nonces = [0; PEOPLE as usize];
    let transaction = |_| {
        let (from, kind) = (draw(PEOPLE), draw(8));
        let nonce = &mut nonces[from as usize];
        *nonce += u64::from(kind == 7);
        let to = match kind {
            0..3 => person(draw(PEOPLE)),
            3..6 => Address::repeat_byte(0x80 + draw(64)),
            _ => COUNTER,
        };
        let fields = TxEip1559 {
            chain_id: CHAIN,
            nonce: *nonce,
            gas_limit: 100_000,
            max_fee_per_gas: 2_000,
            max_priority_fee_per_gas: u128::from(draw(200)),
            to: TxKind::Call(to),
            value: U256::from(draw(3)),
            ..TxEip1559::default()
        };
        *nonce += u64::from(kind != 7);
        let signature = Signature::new(U256::ONE, U256::ONE, false);
        let signed = Signed::new_unchecked(fields, signature, B256::ZERO);
        Transaction::new_unchecked(TxEnvelope::from(signed), Bytes::new(), person(from))
    };
    (0..BLOCK).map(transaction).collect()
}

type Outcome = (Vec<Result<(), SkipReason>>, Execution);

fn in_order(block: &[Transaction]) -> Outcome {
    let mut executor = Executor::new(&People, &NoBlockHashes, &environment());
    let outcomes = block.iter().map(|transaction| executor.transact(transaction).unwrap().map(|_| ())).collect();
    (outcomes, executor.finish().unwrap())
}

/// Windows that were shared and that were thrown away, in all runs.
static WINDOWS: Mutex<[u64; 2]> = Mutex::new([0; 2]);

fn any_order_gives_what_one_after_the_other_gives(seed: u64) {
    let (block, schedule) = (block(seed), Schedule { first_window: 8, batch_gas: 1, eager: true, ..<_>::default() });
    let workers = Workers::new(3).unwrap();
    let mut executor = ParallelExecutor::new(&workers, &People, &NoBlockHashes, &environment()).with_schedule(schedule);
    let outcomes = executor.transact(&block.iter().collect::<Vec<_>>()).unwrap();
    let how = executor.speculation();
    assert_eq!((outcomes, executor.finish().unwrap()), in_order(&block), "block {seed}");
    WINDOWS.lock().unwrap().iter_mut().zip([how.shared, how.clashes]).for_each(|(sum, count)| *sum += count);
}

#[test]
fn every_schedule_gives_the_sequential_outcome() {
    for seed in 0..40 {
        shuttle::check_random(move || any_order_gives_what_one_after_the_other_gives(seed), 25);
        shuttle::check_pct(move || any_order_gives_what_one_after_the_other_gives(seed), 25, 3);
    }
    // The test means nothing unless windows are shared and clash.
    let windows = *WINDOWS.lock().unwrap();
    assert!(windows.iter().all(|count| *count > 500), "{windows:?} windows shared and thrown away");
}
