//! Ethereum's GeneralStateTests: one transaction on a small state, for many forks and many inputs.

mod block;
mod fields;
mod format;

use crate::{
    agreement::agree,
    block::credit,
    fork::{self, BlobSchedule},
    memory::MemoryState,
    report::{self, Case, Format, Verdict},
};
use candela_evm::{BlockEnvironment, BlockHashes, Executor, SpecId};
use candela_primitives::{B256, Log, StateChanges, U256, keccak256};
use format::{Post, Test};
use serde_json::{Map, Value};
use std::{
    io,
    path::{Path, PathBuf},
};

/// State test files, plain or packed.
pub const FORMAT: Format = Format { find, check };

fn find(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in report::entries(path)? {
            let name = entry.to_string_lossy();
            if entry.is_dir() || name.ends_with(".json") || name.ends_with(".json.gz") {
                find(&entry, files)?;
            }
        }
    } else {
        std::fs::metadata(path)?;
        files.push(path.to_owned());
    }
    Ok(())
}

fn check(path: &Path) -> Vec<Case> {
    let file = path.display().to_string();
    let bytes = match report::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return vec![Case::failed(file, error)],
    };
    let tests: Map<String, Value> = match serde_json::from_slice(&bytes) {
        Ok(tests) => tests,
        Err(error) => return vec![Case::failed(file, error)],
    };
    if tests.is_empty() {
        return vec![Case::failed(file, "it holds no test")];
    }
    tests.into_iter().flat_map(|(name, test)| check_test(&format!("{file} {name}"), test)).collect()
}

fn check_test(name: &str, test: Value) -> Vec<Case> {
    let test: Test = match serde_json::from_value(test) {
        Ok(test) => test,
        Err(error) => return vec![Case::failed(name, error)],
    };
    let mut cases = Vec::new();
    for (fork, posts) in &test.post {
        for (index, post) in posts.iter().enumerate() {
            let verdict = match fork::by_name(fork) {
                None => Verdict::Skipped(format!("fork {fork} is not one of the engine's")),
                Some(spec) => check_post(&test, spec, fork, post).map_or_else(Verdict::Failed, |()| Verdict::Passed),
            };
            cases.push(Case { name: format!("{name} {fork} {index}"), verdict });
        }
        if let Some(spec) = fork::by_name(fork) {
            let verdict = check_blocks(&test, spec, fork, posts).map_or_else(Verdict::Failed, |()| Verdict::Passed);
            cases.push(Case { name: format!("{name} {fork} in blocks"), verdict });
        }
    }
    if cases.is_empty() {
        cases.push(Case::failed(name, "it expects nothing of any fork"));
    }
    cases
}

/// `BLOCKHASH` as the tests were filled with it: the hash of the decimal number.
struct NumberHashes;

impl BlockHashes for NumberHashes {
    fn block_hash(&self, number: u64) -> Option<B256> {
        Some(keccak256(number.to_string()))
    }
}

fn environment(test: &Test, spec: SpecId, fork: &str) -> Result<BlockEnvironment, String> {
    let env = &test.env;
    let optional = |quantity: &Option<crate::quantity::Quantity>| quantity.as_ref().map(|quantity| quantity.get());
    let base_fee = match &env.current_base_fee {
        Some(base_fee) if spec.is_enabled_in(SpecId::LONDON) => base_fee.narrow()?,
        None if spec.is_enabled_in(SpecId::LONDON) => format::DEFAULT_BASE_FEE,
        _ => 0,
    };
    let mut environment = BlockEnvironment::candela(
        test.chain_id()?,
        env.current_number.clamp_u64()?,
        env.current_timestamp.clamp_u64()?,
        env.current_gas_limit.clamp_u64()?,
        base_fee,
    );
    environment.spec = spec;
    environment.beneficiary = env.current_coinbase;
    environment.difficulty = optional(&env.current_difficulty).transpose()?.unwrap_or_default();
    environment.prevrandao =
        optional(&env.current_random).transpose()?.map_or(B256::from(environment.difficulty), B256::from);
    environment.excess_blob_gas =
        optional(&env.current_excess_blob_gas).transpose()?.unwrap_or_default().saturating_to();
    if let Some(blobs) = test.blobs(fork)?.or_else(|| BlobSchedule::of(spec)) {
        environment.blob_base_fee_update_fraction = Some(blobs.base_fee_update_fraction);
        environment.max_blobs_per_transaction = Some(blobs.max_per_transaction(spec));
    }
    environment.allow_blobs = true;
    Ok(environment)
}

/// What the transaction did, or why it was refused.
fn execute(
    test: &Test,
    state: &MemoryState,
    environment: &BlockEnvironment,
    post: &Post,
) -> Result<Result<(StateChanges, Vec<Log>), String>, String> {
    let transaction = match fields::transaction(test, post) {
        Ok(transaction) => transaction,
        Err(fields::FieldError::Format(reason)) => return Err(reason),
        Err(fields::FieldError::Refused(reason)) => return Ok(Err(reason)),
    };
    let mut executor = Executor::new(state, &NumberHashes, environment);
    match executor.transact(&transaction).map_err(|error| error.to_string())? {
        Err(reason) => Ok(Err(reason.to_string())),
        Ok(receipt) => {
            let logs = receipt.logs.clone();
            let execution = executor.finish().map_err(|error| error.to_string())?;
            Ok(Ok((execution.changes, logs)))
        }
    }
}

fn check_post(test: &Test, spec: SpecId, fork: &str, post: &Post) -> Result<(), String> {
    let mut state = test.state()?;
    let environment = environment(test, spec, fork)?;
    let (mut changes, logs) = match (execute(test, &state, &environment, post)?, &post.expect_exception) {
        (Ok(done), None) => done,
        (Err(_), Some(_)) => Default::default(),
        (Ok(_), Some(expected)) => return Err(format!("it was executed, expected {expected}")),
        (Err(reason), None) => return Err(format!("it was refused: {reason}")),
    };
    // The tests were filled with a mining reward of zero, which touches the beneficiary even without a transaction.
    credit(&state, spec, &mut changes, environment.beneficiary, U256::ZERO).map_err(|error| error.to_string())?;
    state.apply(&changes);
    expect("state root", state.root(), post.hash)?;
    expect("logs hash", keccak256(alloy_rlp::encode(&logs)), post.logs)
}

/// However a test's transactions are put into blocks, all executors agree on them.
fn check_blocks(test: &Test, spec: SpecId, fork: &str, posts: &[Post]) -> Result<(), String> {
    let mut environment = environment(test, spec, fork)?;
    environment.gas_limit = u64::MAX;
    for (state, transactions) in [block::colliding(test, posts)?, block::disjoint(test, posts)?] {
        agree(&state, &NumberHashes, &environment, &transactions)?;
    }
    Ok(())
}

fn expect(what: &str, actual: B256, expected: B256) -> Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("{what} is {actual}, expected {expected}")) }
}
