//! Whatever executes a block must give what the sequential executor gives, byte for byte.
//!
//! Blocks are random and adversarial; seeds are printed on failure. `SEED` and `BLOCKS` choose others than the default.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod blocks;
mod contracts;
mod state;
mod tamper;

use blocks::Generator;
use candela_evm::{
    BlockEnvironment, Execution, Executor, NoBlockHashes, ParallelExecutor, ReplayError, Schedule, SkipReason,
    Speculation, Workers, replay,
};
use candela_primitives::{StateReader, Transaction};

/// EIP-2718 type of transactions that session keys sign.
const SESSION_TYPE: u8 = 0x50;

type Outcome = (Vec<Result<(), SkipReason>>, Execution);

fn in_order(state: &dyn StateReader, environment: &BlockEnvironment, block: &[Transaction]) -> Outcome {
    let mut executor = Executor::new(state, &NoBlockHashes, environment);
    executor.begin().unwrap();
    let outcomes = block.iter().map(|transaction| executor.transact(transaction).unwrap().map(|_| ())).collect();
    (outcomes, executor.finish().unwrap())
}

fn side_by_side(
    workers: &Workers,
    state: &dyn StateReader,
    environment: &BlockEnvironment,
    block: &[Transaction],
    schedule: Schedule,
) -> (Outcome, Speculation) {
    let mut executor = ParallelExecutor::new(workers, state, &NoBlockHashes, environment).with_schedule(schedule);
    executor.begin().unwrap();
    let transactions: Vec<_> = block.iter().collect();
    // In two parts, as a proposer hands them over.
    let (one, other) = transactions.split_at(transactions.len() / 3);
    let mut outcomes = executor.transact(one).unwrap();
    outcomes.extend(executor.transact(other).unwrap());
    let speculation = executor.speculation();
    ((outcomes, executor.finish().unwrap()), speculation)
}

/// Takes a system call that fails out of the block; every executor has to refuse it.
fn without_failing_call(workers: &Workers, state: &dyn StateReader, environment: &mut BlockEnvironment) {
    let expected = Executor::new(state, &NoBlockHashes, environment).begin();
    let found = ParallelExecutor::new(workers, state, &NoBlockHashes, environment).begin();
    assert_eq!(expected, found);
    if expected.is_err() {
        environment.system_call = None;
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

fn compare(seed: u64, expected: &Outcome, found: &Outcome, how: &str) {
    let differs = |what: &str| panic!("seed {seed}, {how}: {what} differ (run again with SEED={seed} BLOCKS=1)");
    for (index, (expected, found)) in expected.0.iter().zip(&found.0).enumerate() {
        assert_eq!(expected, found, "seed {seed}, {how}: transaction {index}");
    }
    for (index, (expected, found)) in expected.1.receipts.iter().zip(&found.1.receipts).enumerate() {
        assert_eq!(expected, found, "seed {seed}, {how}: receipt {index}");
    }
    for (address, change) in &expected.1.changes.accounts {
        assert_eq!(Some(change), found.1.changes.accounts.get(address), "seed {seed}, {how}: change of {address}");
    }
    for (expected, found) in expected.1.access_list.iter().zip(&found.1.access_list) {
        assert_eq!(expected, found, "seed {seed}, {how}: accesses");
    }
    if expected.1.changes != found.1.changes {
        differs("changes");
    }
    if expected != found {
        differs("outcomes");
    }
}

#[test]
fn workers_give_what_one_after_the_other_gives() {
    let (first, blocks) = (number("SEED", 1), number("BLOCKS", 2_000));
    let pools: Vec<_> = [1, 2, 4, 8].map(|threads| Workers::new(threads).unwrap()).into();
    let (mut all, mut sessions, mut system_calls) = (Speculation::default(), 0, 0);
    for seed in first..first + blocks {
        let mut generator = Generator::new(seed);
        let mut state = generator.genesis();
        for _ in 0..2 {
            let mut environment = generator.environment();
            let block = generator.block(&state);
            let workers = &pools[generator.below(pools.len())];
            without_failing_call(workers, &state, &mut environment);
            system_calls += u64::from(environment.system_call.is_some());
            let expected = in_order(&state, &environment, &block);
            let schedule = generator.schedule();
            let how = format!("{} workers, {schedule:?}", workers.threads());
            let (found, speculation) = side_by_side(workers, &state, &environment, &block, schedule);
            compare(seed, &expected, &found, &how);
            let included = expected.0.iter().zip(&block).filter(|(outcome, _)| outcome.is_ok());
            let included: Vec<_> = included.map(|(_, transaction)| transaction.clone()).collect();
            let run = |list| replay(workers, &state, &NoBlockHashes, &environment, &included, list);
            let replayed = run(expected.1.access_list.clone())
                .unwrap_or_else(|error| panic!("seed {seed}, replay by {} workers: {error}", workers.threads()));
            compare(seed, &expected, &(expected.0.clone(), replayed), "replay");
            if seed % 4 == 0 {
                let mut list = expected.1.access_list.clone();
                if let Some(what) = tamper::tamper(&mut list, &mut generator) {
                    let error = run(list).expect_err(&format!("seed {seed}: a false list was believed: {what}"));
                    assert!(!matches!(error, ReplayError::Execution(candela_evm::ExecutionError::State(_))), "{error}");
                }
            }
            sessions += expected.1.receipts.iter().filter(|receipt| receipt.tx_type == SESSION_TYPE).count() as u64;
            all.shared += speculation.shared;
            all.clashes += speculation.clashes;
            all.ordered += speculation.ordered;
            all.repeated += speculation.repeated;
            all.attempts += speculation.attempts;
            state.apply(&expected.1.changes);
        }
    }
    println!("{blocks} pairs of blocks from seed {first}: {all:?}, {sessions} by session keys");
    // The test means nothing unless windows are shared, clash and fall back.
    assert!(sessions > blocks / 10 && system_calls > blocks / 4, "{sessions} sessions, {system_calls} system calls");
    assert!(all.shared > blocks / 4 && all.clashes > blocks / 50 && all.ordered > blocks / 50, "{all:?}");
}

#[test]
fn payments_and_looks_that_meet_across_workers_run_again() {
    let mut generator = Generator::new(1);
    let (state, block) = generator.payments_then_looks(100);
    let environment = BlockEnvironment { gas_limit: 300_000_000, system_call: None, ..generator.environment() };
    let expected = in_order(&state, &environment, &block);
    assert!(expected.0.iter().filter(|outcome| outcome.is_ok()).count() > 150);
    // One batch of payments and one of looks: whoever takes them, each worker's own part is fine.
    let schedule = Schedule { first_window: 200, batch_gas: 6_000_000, eager: true, ..Schedule::default() };
    for _ in 0..50 {
        // What one window teaches must not help the next.
        let workers = Workers::new(2).unwrap();
        let mut executor =
            ParallelExecutor::new(&workers, &state, &NoBlockHashes, &environment).with_schedule(schedule);
        let outcomes = executor.transact(&block.iter().collect::<Vec<_>>()).unwrap();
        assert!(executor.speculation().clashes > 0);
        compare(1, &expected, &(outcomes, executor.finish().unwrap()), "two workers");
    }
}
