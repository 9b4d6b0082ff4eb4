//! A process that is killed while it commits leaves exactly a committed height behind, and no more than it may are lost.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use candela_primitives::{Account, AccountChange, Address, B256, StateChanges, U256};
use candela_state::{DiskState, Options, State, Version};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const FILE: &str = "CANDELA_STATE_CRASH_FILE";
const UNWRITTEN: &str = "CANDELA_STATE_UNWRITTEN_HEIGHTS";
const SEED: &str = "CANDELA_SEED";
const ROUNDS: usize = 12;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn changes(seed: u64, height: u64) -> Arc<StateChanges> {
    let mut random = Random(seed ^ height.wrapping_mul(0x1000_0001));
    let mut changes = StateChanges::default();
    for _ in 0..200 {
        let address = Address::left_padding_from(&(random.next() % 500).to_be_bytes());
        let exists = !random.next().is_multiple_of(8);
        let account =
            exists.then(|| Account { nonce: height, balance: U256::from(random.next()), ..Account::default() });
        let storage = (0..if exists { 3 } else { 0 })
            .map(|_| (U256::from(random.next() % 20), U256::from(random.next() % 3)))
            .collect();
        let storage_cleared = !exists || random.next().is_multiple_of(5);
        changes.accounts.insert(address, AccountChange { account, storage_cleared, storage });
    }
    Arc::new(changes)
}

#[test]
fn child_that_commits_until_it_is_killed() {
    let (Ok(file), Ok(seed)) = (std::env::var(FILE), std::env::var(SEED)) else {
        return;
    };
    let unwritten_heights = std::env::var(UNWRITTEN).unwrap().parse().unwrap();
    let options = Options { unwritten_heights, ..Options::default() };
    let (state, seed) = (DiskState::open_with(Path::new(&file), options).unwrap(), seed.parse().unwrap());
    loop {
        let head = state.head();
        let height = head.height().map_or(0, |height| height + 1);
        state.commit(&head.extend(changes(seed, height)).unwrap()).unwrap();
        println!("\ncommitted {height}");
        std::io::stdout().flush().unwrap();
    }
}

/// Runs the child for `lines` commits and a little longer, kills it, and returns the last height that it reported.
fn run_and_kill(file: &Path, seed: u64, unwritten: u64, lines: u64, extra: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"])
        .env(FILE, file)
        .env(SEED, seed.to_string())
        .env(UNWRITTEN, unwritten.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut reported = || loop {
        let line = output.next()?.ok()?;
        if let Some(height) = line.strip_prefix("committed ") {
            return height.parse().ok();
        }
    };
    let mut last: u64 = 0;
    for _ in 0..lines {
        last = reported().expect("the child ended by itself");
    }
    let deadline = Instant::now() + extra;
    while Instant::now() < deadline {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    while let Some(height) = reported() {
        last = height;
    }
    last
}

#[test]
fn a_killed_process_leaves_a_committed_height_with_its_root() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var(SEED).map_or(now, |seed| seed.parse().unwrap());
    println!("{SEED}={seed}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let mut random = Random(seed);
    let mut twin: Version = DiskState::in_memory().unwrap().head();
    let mut roots: Vec<B256> = Vec::new();
    for round in 0..ROUNDS {
        let extra = Duration::from_micros(random.next() % 20_000);
        let unwritten = random.next() % 4;
        let reported = run_and_kill(&file, seed, unwritten, 1 + unwritten + random.next() % 6, extra);
        let head = DiskState::open(&file).unwrap().head();
        let height = head.height().unwrap();
        assert!(
            height + unwritten >= reported,
            "round {round}: {height} after {reported}, {unwritten} may be unwritten"
        );
        while roots.len() as u64 <= height {
            twin = twin.extend(changes(seed, roots.len() as u64)).unwrap();
            roots.push(twin.root());
        }
        assert_eq!(head.root(), roots[height as usize], "round {round}, height {height}");
    }
}
