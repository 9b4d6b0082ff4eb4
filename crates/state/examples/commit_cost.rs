//! Measure what a commit, a speculative child and a restart cost over many accounts.
//!
//! `cargo run --release -p candela-state --example commit_cost -- [accounts] [changed per block]`

#![allow(missing_docs)]

use candela_primitives::{Account, AccountChange, Address, StateChanges, U256, keccak256};
use candela_state::{DiskState, State};
use std::{error::Error, sync::Arc, time::Instant};

fn address(index: u64) -> Address {
    Address::from_slice(&keccak256(index.to_be_bytes())[12..])
}

fn changes(indices: impl Iterator<Item = u64>, balance: u64) -> Arc<StateChanges> {
    let account = Some(Account { balance: U256::from(balance), ..Account::default() });
    let change = AccountChange { account, ..AccountChange::default() };
    Arc::new(StateChanges {
        accounts: indices.map(|index| (address(index), change.clone())).collect(),
        ..StateChanges::default()
    })
}

fn resident_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let accounts: u64 = arguments.next().map_or(Ok(1_000_000), |count| count.parse())?;
    let changed: u64 = arguments.next().map_or(Ok(10_000), |count| count.parse())?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("state.redb");
    let state = DiskState::open(&file)?;
    println!("empty: resident {:?} MB", resident_mb());
    let started = Instant::now();
    for first in (0..accounts).step_by(50_000) {
        state.commit(&state.head().extend(changes(first..accounts.min(first + 50_000), 1))?)?;
    }
    println!("{accounts} accounts filled in {:.2?}, resident {:?} MB", started.elapsed(), resident_mb());
    for round in 0..5 {
        let block = changes((0..changed).map(|index| (index * 7_919 + round) % accounts), 2 + round);
        let started = Instant::now();
        let version = state.head().extend(block)?;
        let root = started.elapsed();
        state.commit(&version)?;
        println!("{changed} changed: root {root:.2?}, durable {:.2?}", started.elapsed());
    }
    let started = Instant::now();
    for round in 0..100 {
        state.commit(&state.head().extend(changes(round..round + 1, 9))?)?;
    }
    println!("1 changed: durable {:.2?} on average", started.elapsed() / 100);
    let root = state.head().root();
    drop(state);
    println!("file {} MB, resident after closing {:?} MB", std::fs::metadata(&file)?.len() >> 20, resident_mb());
    let started = Instant::now();
    let state = DiskState::open(&file)?;
    println!("restart {:.2?}, resident {:?} MB", started.elapsed(), resident_mb());
    if state.head().root() != root { Err("the root changed".into()) } else { Ok(()) }
}
