//! Measure the executors on one block of each workload: in order, side by side, and replayed from its access list.
//!
//! Prints one JSON document. Arguments: `--transactions N` (a block's), `--runs N`, `--workers 1,2`, `--only W3,W5`.

use alloy_primitives::{Address, B256, Signature, keccak256};
use candela_bench::{
    BASE_FEE, Call, MemoryState, Workload, World,
    measure::{Cost, cost, median, peak_memory_bytes, reset_peak_memory},
};
use candela_evm::{
    BlockEnvironment, Execution, Executor, NoBlockHashes, ParallelExecutor, Speculation, Workers, install, replay,
};
use candela_primitives::{Bytes, CHAIN_ID, Transaction};
use serde::Serialize;
use std::error::Error;

const NOW: u64 = 1_700_000_000;

struct Settings {
    transactions: usize,
    runs: usize,
    workers: Vec<usize>,
    workloads: Vec<Workload>,
}

impl Settings {
    fn from_arguments() -> Result<Self, Box<dyn Error>> {
        let mut settings =
            Self { transactions: 10_000, runs: 5, workers: vec![1, 2], workloads: Workload::ALL.to_vec() };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--transactions" => settings.transactions = value.parse()?,
                "--runs" => settings.runs = value.parse()?,
                "--workers" => settings.workers = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
                "--only" => {
                    let named = |name| Workload::named(name).ok_or_else(|| format!("{name} is no workload"));
                    settings.workloads = value.split(',').map(named).collect::<Result<_, _>>()?;
                }
                _ => return Err(format!("unknown argument {name}").into()),
            }
        }
        Ok(settings)
    }
}

#[derive(Serialize)]
struct Figure {
    per_second: f64,
    wall_ms: f64,
    cpu_ms: f64,
    /// Speed over that of the sequential executor in the same run.
    ratio: f64,
    /// CPU time over that of the sequential executor.
    cpu_ratio: f64,
}

#[derive(Serialize)]
struct Parallel {
    workers: usize,
    build: Figure,
    replay: Figure,
    /// Speed of as many sequential executors, each on a block of its own, over that of one: what the machine gives to
    /// work that shares nothing.
    ceiling: f64,
    shared_windows: u64,
    ordered_windows: u64,
    clashes: u64,
    repeated_transactions: u64,
}

#[derive(Serialize)]
struct Report {
    workload: &'static str,
    title: &'static str,
    transactions: usize,
    gas: u64,
    access_list_bytes: usize,
    peak_memory_bytes: Option<u64>,
    sequential: Figure,
    parallel: Vec<Parallel>,
}

fn address(number: usize) -> Address {
    Address::from_word(keccak256((number as u64 ^ 0xcafe_0000_0000).to_be_bytes()))
}

fn unsigned(call: &Call, nonces: &mut [u64]) -> Result<Transaction, Box<dyn Error>> {
    use alloy_consensus::{SignableTransaction, TxEnvelope, TypedTransaction};
    let nonce = nonces[call.sender];
    nonces[call.sender] += 1;
    let TypedTransaction::Eip1559(fields) = call.fields(nonce) else { return Err("a workload is of type 2".into()) };
    let signed = fields.into_signed(Signature::new(Default::default(), Default::default(), false));
    Ok(Transaction::new_unchecked(TxEnvelope::from(signed), Bytes::new(), address(call.sender)))
}

fn environment() -> BlockEnvironment {
    let mut environment = BlockEnvironment::candela(CHAIN_ID, 1, NOW, u64::MAX, BASE_FEE);
    environment.beneficiary = Address::repeat_byte(0xfe);
    environment.prevrandao = B256::repeat_byte(7);
    environment
}

fn prepared(world: &World, nonces: &mut [u64]) -> Result<MemoryState, Box<dyn Error>> {
    let mut state = MemoryState::default();
    world.genesis.accounts.iter().for_each(|(address, account)| state.fund(*address, account.balance));
    for deployment in &world.genesis.deployments {
        let changes = install(&state, &environment(), deployment.address, deployment.init_code.clone())?;
        state.apply(&changes);
    }
    let setup = world.setup.iter().map(|call| unsigned(call, nonces)).collect::<Result<Vec<_>, _>>()?;
    state.apply(&in_order(&state, &setup)?.changes);
    Ok(state)
}

fn in_order(state: &MemoryState, block: &[Transaction]) -> Result<Execution, Box<dyn Error>> {
    let mut executor = Executor::new(state, &NoBlockHashes, &environment());
    for (at, transaction) in block.iter().enumerate() {
        let receipt = executor.transact(transaction)?.map_err(|reason| format!("transaction {at}: {reason}"))?;
        if !receipt.success {
            return Err(format!("transaction {at} failed").into());
        }
    }
    Ok(executor.finish()?)
}

fn side_by_side(
    workers: &Workers,
    state: &MemoryState,
    block: &[Transaction],
) -> Result<(Execution, Speculation), Box<dyn Error>> {
    let mut executor = ParallelExecutor::new(workers, state, &NoBlockHashes, &environment());
    executor.transact(&block.iter().collect::<Vec<_>>())?;
    let speculation = executor.speculation();
    Ok((executor.finish()?, speculation))
}

/// The sequential executor, once on each of `count` threads at the same time.
fn independently(count: usize, state: &MemoryState, block: &[Transaction]) -> Result<(), Box<dyn Error>> {
    std::thread::scope(|scope| {
        let run = || in_order(state, block).map(drop).map_err(|error| error.to_string());
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(run)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())));
        ended.collect::<Result<(), _>>()
    })?;
    Ok(())
}

fn figure(count: usize, cost: Cost, baseline: Cost) -> Figure {
    Figure {
        per_second: count as f64 / cost.wall.as_secs_f64(),
        wall_ms: cost.wall.as_secs_f64() * 1e3,
        cpu_ms: cost.cpu.as_secs_f64() * 1e3,
        ratio: baseline.wall.as_secs_f64() / cost.wall.as_secs_f64(),
        cpu_ratio: cost.cpu.as_secs_f64() / baseline.cpu.as_secs_f64(),
    }
}

fn measure(workload: Workload, settings: &Settings) -> Result<Report, Box<dyn Error>> {
    let world = workload.world(settings.transactions, settings.transactions, NOW, &address);
    let mut nonces = vec![0; world.senders];
    let state = prepared(&world, &mut nonces)?;
    let block = world.calls.iter().map(|call| unsigned(call, &mut nonces)).collect::<Result<Vec<_>, _>>()?;
    drop(world);
    let pools = settings.workers.iter().map(|threads| Workers::new(*threads)).collect::<Result<Vec<_>, _>>()?;
    let oracle = in_order(&state, &block)?;
    reset_peak_memory();
    let mut sequential = Vec::new();
    let mut costs = vec![(Vec::new(), Vec::new(), Vec::new(), Speculation::default()); pools.len()];
    // Each run measures everything once, so that a noisy moment spoils one run of all and not all of one.
    for _ in 0..settings.runs {
        let (execution, spent) = cost(|| in_order(&state, &block));
        execution?;
        sequential.push(spent);
        for (workers, (build, again, alone, how)) in pools.iter().zip(&mut costs) {
            let (built, spent) = cost(|| side_by_side(workers, &state, &block));
            let (built, speculation) = built?;
            build.push(spent);
            *how = speculation;
            let list = oracle.access_list.clone();
            let (replayed, spent) = cost(|| replay(workers, &state, &NoBlockHashes, &environment(), &block, list));
            again.push(spent);
            let (ended, spent) = cost(|| independently(workers.threads(), &state, &block));
            ended?;
            alone.push(spent);
            if built != oracle || replayed? != oracle {
                return Err(format!("{}: the parallel executor gave something else", workload.name()).into());
            }
        }
    }
    let baseline = median(sequential);
    let parallel = pools.iter().zip(costs).map(|(workers, (build, again, alone, how))| Parallel {
        workers: workers.threads(),
        build: figure(block.len(), median(build), baseline),
        replay: figure(block.len(), median(again), baseline),
        ceiling: workers.threads() as f64 * baseline.wall.as_secs_f64() / median(alone).wall.as_secs_f64(),
        shared_windows: how.shared,
        ordered_windows: how.ordered,
        clashes: how.clashes,
        repeated_transactions: how.repeated,
    });
    Ok(Report {
        workload: workload.name(),
        title: workload.title(),
        transactions: block.len(),
        gas: oracle.gas_used,
        access_list_bytes: alloy_rlp::encode(&oracle.access_list).len(),
        peak_memory_bytes: peak_memory_bytes(),
        sequential: figure(block.len(), baseline, baseline),
        parallel: parallel.collect(),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_arguments()?;
    let reports = settings.workloads.iter().map(|workload| measure(*workload, &settings));
    println!("{}", serde_json::to_string_pretty(&reports.collect::<Result<Vec<_>, _>>()?)?);
    Ok(())
}
