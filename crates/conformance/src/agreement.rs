//! Check that everything that executes in parallel agrees with the sequential executor, byte for byte.

use candela_evm::{
    BlockEnvironment, BlockHashes, Execution, Executor, ParallelExecutor, Schedule, SkipReason, SpecId, Workers, replay,
};
use candela_primitives::{StateReader, Transaction};
use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Numbers of workers that are tried.
const WORKERS: [usize; 4] = [1, 2, 4, 8];

/// Windows so small, and so eagerly shared, that even short blocks are divided.
const EAGER: Schedule = Schedule { first_window: 8, largest_window: 64, batch_gas: 1, eager: true, disturbance: None };

/// How often [`speed`] measures; medians count.
const RUNS: usize = 21;

type Outcome = (Vec<Result<(), SkipReason>>, Execution);

fn pools() -> Result<&'static [Workers], String> {
    static POOLS: OnceLock<Result<Vec<Workers>, String>> = OnceLock::new();
    let pools = POOLS.get_or_init(|| {
        WORKERS.iter().map(|count| Workers::new(*count)).collect::<Result<_, _>>().map_err(|error| error.to_string())
    });
    pools.as_deref().map_err(Clone::clone)
}

fn in_order(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    transactions: &[Transaction],
) -> Result<Outcome, String> {
    let mut executor = Executor::new(state, hashes, environment);
    let mut outcomes = Vec::with_capacity(transactions.len());
    for transaction in transactions {
        outcomes.push(executor.transact(transaction).map_err(|error| error.to_string())?.map(|_| ()));
    }
    Ok((outcomes, executor.finish().map_err(|error| error.to_string())?))
}

fn side_by_side(
    workers: &Workers,
    schedule: Schedule,
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    transactions: &[Transaction],
) -> Result<Outcome, String> {
    let mut executor = ParallelExecutor::new(workers, state, hashes, environment).with_schedule(schedule);
    let outcomes = executor.transact(&transactions.iter().collect::<Vec<_>>()).map_err(|error| error.to_string())?;
    Ok((outcomes, executor.finish().map_err(|error| error.to_string())?))
}

/// Executes `transactions` in every way there is: in order, on 1, 2, 4 and 8 workers, and from the access list.
///
/// # Errors
/// When two of them differ, or the state can't be read.
pub fn agree(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    transactions: &[Transaction],
) -> Result<(), String> {
    let expected = in_order(state, hashes, environment, transactions)?;
    let valid = expected.0.iter().zip(transactions).filter(|(outcome, _)| outcome.is_ok());
    let included: Vec<_> = valid.map(|(_, transaction)| transaction.clone()).collect();
    for workers in pools()? {
        let count = workers.threads();
        for schedule in [Schedule::default(), EAGER] {
            if side_by_side(workers, schedule, state, hashes, environment, transactions)? != expected {
                return Err(format!("{count} workers give something else than one after the other"));
            }
        }
        if environment.spec.is_enabled_in(SpecId::CANCUN) {
            let list = expected.1.access_list.clone();
            let replayed = replay(workers, state, hashes, environment, &included, list)
                .map_err(|error| format!("replay by {count} workers: {error}"))?;
            if replayed != expected.1 {
                return Err(format!("replay by {count} workers gives something else"));
            }
        }
    }
    Ok(())
}

/// What one block takes.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Gas of its transactions.
    pub gas: u64,
    /// The sequential executor.
    pub in_order: Duration,
    /// Two sequential executors at the same time: what two workers would take that share nothing.
    pub side_by_side: Duration,
    /// Building it with two workers.
    pub build: Duration,
    /// Replaying it with two workers.
    pub replay: Duration,
}

/// Measures a block of transactions that are all valid.
///
/// # Errors
/// When the executors disagree, or the state can't be read.
pub fn speed(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    transactions: &[Transaction],
) -> Result<Speed, String> {
    let workers = Workers::new(2).map_err(|error| error.to_string())?;
    let expected = in_order(state, hashes, environment, transactions)?;
    let mut taken: [Vec<Duration>; 4] = <_>::default();
    for _ in 0..RUNS {
        let sequential = || in_order(state, hashes, environment, transactions);
        let began = Instant::now();
        sequential()?;
        taken[0].push(began.elapsed());
        let began = Instant::now();
        let (one, other) = workers.run(|| rayon::join(sequential, sequential));
        taken[1].push(began.elapsed());
        let began = Instant::now();
        let built = side_by_side(&workers, Schedule::default(), state, hashes, environment, transactions)?;
        taken[2].push(began.elapsed());
        let list = expected.1.access_list.clone();
        let began = Instant::now();
        let replayed = replay(&workers, state, hashes, environment, transactions, list);
        taken[3].push(began.elapsed());
        if one? != expected || other? != expected || built != expected || replayed.as_ref() != Ok(&expected.1) {
            return Err("the executors disagree".to_owned());
        }
    }
    let [in_order, side_by_side, build, replay] = taken.map(|mut runs| {
        runs.sort_unstable();
        runs[RUNS / 2]
    });
    Ok(Speed { gas: expected.1.gas_used, in_order, side_by_side, build, replay })
}
