//! Measure how large proofs are, what they cost, and what the versions kept for them hold in memory.
//!
//! `cargo run --release -p candela-state --example proof_cost -- [accounts] [changed per block] [blocks] [MiB]`

#![allow(missing_docs)]

use candela_primitives::{Account, AccountChange, Address, StateChanges, U256, keccak256};
use candela_state::{DiskState, Key, Options, State, account_value, verify};
use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

const PROOFS: u64 = 10_000;

fn address(index: u64) -> Address {
    Address::from_slice(&keccak256(index.to_be_bytes())[12..])
}

fn account(balance: u64) -> Account {
    Account { balance: U256::from(balance), ..Account::default() }
}

fn changes(indices: impl Iterator<Item = u64>, balance: u64) -> Arc<StateChanges> {
    let change = AccountChange { account: Some(account(balance)), ..AccountChange::default() };
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
    let changed: u64 = arguments.next().map_or(Ok(1_000), |count| count.parse())?;
    let blocks: u64 = arguments.next().map_or(Ok(256), |count| count.parse())?;
    let mebibytes: usize = arguments.next().map_or(Ok(128), |count| count.parse())?;
    let options = Options { proof_bytes: mebibytes << 20, ..Options::default() };
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("state.redb");
    let state = DiskState::open_with(&file, options)?;
    for first in (0..accounts).step_by(50_000) {
        state.commit(&state.head().extend(changes(first..accounts.min(first + 50_000), 1))?)?;
    }
    drop(state);
    let state = DiskState::open_with(&file, options)?;
    println!("{accounts} accounts: resident {:?} MB, one height kept", resident_mb());
    for round in 0..blocks {
        let block = changes((0..changed).map(|index| (index * 7_919 + round * 104_729) % accounts), 2);
        state.commit(&state.head().extend(block)?)?;
    }
    let head = state.head().height().unwrap_or_default();
    let oldest = state.prover(u64::MAX).err().and_then(|error| error.provable).map_or(head, |heights| *heights.start());
    let kept = head - oldest + 1;
    println!("{blocks} blocks of {changed} changes: resident {:?} MB, {kept} heights kept", resident_mb());

    let prover = state.prover(head)?;
    let started = Instant::now();
    let proofs: Vec<_> = (0..PROOFS).map(|index| prover.prove(&Key::Account(address(index * 97 % accounts)))).collect();
    println!("prove an account: {:.2?}", started.elapsed() / PROOFS as u32);
    let siblings: Vec<_> = proofs.iter().map(|proof| proof.siblings.len()).collect();
    let (most, sum) = (siblings.iter().max(), siblings.iter().sum::<usize>());
    println!("siblings: {:.1} on average, {most:?} at most, 32 bytes each", sum as f64 / PROOFS as f64);
    let (root, reader) = (prover.root(), state.head().reader());
    let mut values = Vec::new();
    for index in 0..PROOFS {
        values.push(reader.account(&address(index * 97 % accounts))?.map(|account| account_value(&account)));
    }
    let started = Instant::now();
    for (index, (proof, value)) in (0..PROOFS).zip(proofs.iter().zip(&values)) {
        let key = Key::Account(address(index * 97 % accounts));
        black_box(verify(&root, &key, value.as_ref().map(<[u8; 72]>::as_slice), proof)?);
    }
    println!("verify: {:.2?}", started.elapsed() / PROOFS as u32);
    Ok(())
}
