//! Readers of many versions, while blocks become final and are written on another thread.

#![allow(clippy::unwrap_used, missing_docs)]

use candela_primitives::{Account, AccountChange, Address, StateChanges, StateReader, U256};
use candela_state::{DiskState, Options, State};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

const ACCOUNTS: u64 = 300;
const HEIGHTS: u64 = 400;

/// Whether block `height` changes account `number`: a different third each time.
const fn changes(number: u64, height: u64) -> bool {
    (number.wrapping_mul(0x9e37_79b9) ^ height.wrapping_mul(0x85eb_ca6b)).is_multiple_of(3)
}

/// The last height up to `height` whose block changed account `number`.
fn changed_at(number: u64, height: u64) -> Option<u64> {
    (0..=height).rev().find(|height| changes(number, *height))
}

fn address(number: u64) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

fn block(height: u64) -> Arc<StateChanges> {
    let change = |nonce| AccountChange {
        account: Some(Account { nonce, ..Account::default() }),
        storage: [(U256::ZERO, U256::from(nonce + 1))].into(),
        ..AccountChange::default()
    };
    let accounts = (0..ACCOUNTS).filter(|number| changes(*number, height));
    Arc::new(StateChanges {
        accounts: accounts.map(|number| (address(number), change(height))).collect(),
        ..StateChanges::default()
    })
}

fn check(reader: &dyn StateReader, height: u64, number: u64) {
    let expected = changed_at(number, height);
    let found = reader.account(&address(number)).unwrap().map(|account| account.nonce);
    assert_eq!(found, expected, "account {number} after block {height}");
    let found = reader.storage(&address(number), &U256::ZERO).unwrap();
    assert_eq!(found, U256::from(expected.map_or(0, |at| at + 1)), "slot of {number} after block {height}");
}

#[test]
fn every_reader_keeps_seeing_its_own_version() {
    for cached_rows in [0, 256, 1 << 16] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { unwritten_heights: 6, cached_rows, ..Options::default() };
        let state = DiskState::open_with(&directory.path().join("state.redb"), options).unwrap();
        let readers: Mutex<Vec<(u64, Arc<dyn StateReader>)>> = Mutex::default();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for seed in 0..3u64 {
                let (readers, done) = (&readers, &done);
                scope.spawn(move || {
                    let mut number = seed;
                    while !done.load(Ordering::Relaxed) {
                        let all = readers.lock().unwrap().clone();
                        for (height, reader) in all.iter().rev().take(12).chain(all.first()) {
                            number = (number + 7) % ACCOUNTS;
                            check(&**reader, *height, number);
                        }
                        thread::yield_now();
                    }
                });
            }
            for height in 0..HEIGHTS {
                let version = state.head().extend(block(height)).unwrap();
                let child = version.extend(block(height + 1)).unwrap();
                let mut all = readers.lock().unwrap();
                all.push((height, version.reader()));
                all.push((height + 1, child.reader()));
                drop(all);
                state.commit(&version).unwrap();
                readers.lock().unwrap().push((height, state.at(height).unwrap().unwrap()));
            }
            done.store(true, Ordering::Relaxed);
        });
        let all = readers.into_inner().unwrap();
        all.iter().step_by(97).for_each(|(height, reader)| (0..ACCOUNTS).for_each(|at| check(&**reader, *height, at)));
    }
}
