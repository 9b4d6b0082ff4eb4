//! The store against a naive model: roots, reads, history, proofs, reopening.

#![allow(clippy::unwrap_used, missing_docs)]

use candela_primitives::{Account, AccountChange, Address, StateChanges, U256};
use candela_state::{DiskState, Key, Options, State, verify};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

type Model = BTreeMap<Address, (Account, BTreeMap<U256, U256>)>;

#[derive(Clone, Debug)]
struct Edit {
    who: u8,
    balance: Option<u64>,
    cleared: bool,
    slots: Vec<(u8, u8)>,
}

fn edit() -> impl Strategy<Value = Edit> {
    (
        0u8..5,
        proptest::option::weighted(0.8, any::<u64>()),
        any::<bool>(),
        proptest::collection::vec((0u8..6, 0u8..3), 0..5),
    )
        .prop_map(|(who, balance, cleared, slots)| Edit { who, balance, cleared, slots })
}

fn apply(model: &mut Model, edits: &[Edit]) -> StateChanges {
    let mut changes = StateChanges::default();
    for edit in edits {
        let address = Address::repeat_byte(edit.who + 1);
        let account = edit.balance.map(|balance| Account { balance: U256::from(balance), ..Account::default() });
        let mut change =
            AccountChange { account, storage_cleared: edit.cleared || account.is_none(), ..Default::default() };
        if account.is_some() {
            change.storage = edit.slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value))).collect();
        }
        let single = StateChanges { accounts: [(address, change.clone())].into(), ..Default::default() };
        changes.extend(&single);
        let Some(account) = account else {
            model.remove(&address);
            continue;
        };
        let entry = model.entry(address).or_insert((account, BTreeMap::new()));
        entry.0 = account;
        if change.storage_cleared {
            entry.1.clear();
        }
        for (slot, value) in change.storage {
            if value.is_zero() {
                entry.1.remove(&slot)
            } else {
                entry.1.insert(slot, value)
            };
        }
    }
    changes
}

fn check(model: &Model, reader: &dyn candela_primitives::StateReader) {
    for who in 1u8..6 {
        let address = Address::repeat_byte(who);
        let expected = model.get(&address);
        assert_eq!(reader.account(&address).unwrap(), expected.map(|entry| entry.0));
        for slot in 0..6 {
            let slot = U256::from(slot);
            let value = expected.and_then(|entry| entry.1.get(&slot)).copied().unwrap_or_default();
            assert_eq!(reader.storage(&address, &slot).unwrap(), value);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn store_equals_model(
        rounds in proptest::collection::vec(proptest::collection::vec(edit(), 0..4), 1..8),
        unwritten_heights in 0usize..5,
        cached_rows in prop_oneof![Just(0), Just(1 << 19)],
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let options = Options { unwritten_heights, cached_rows, ..Options::default() };
        let mut disk = DiskState::open_with(&path, options).unwrap();
        let (mut model, mut past, mut readers) = (Model::new(), Vec::new(), Vec::new());
        for edits in &rounds {
            let changes = apply(&mut model, edits);
            let version = disk.head().extend(Arc::new(changes)).unwrap();
            check(&model, &*version.reader());
            readers.push((model.clone(), version.reader()));
            disk.commit(&version).unwrap();
            disk.commit(&version).unwrap();
            prop_assert_eq!(disk.head().root(), version.root());
            past.push((model.clone(), version.root()));
            readers.push((model.clone(), disk.head().reader()));
            readers.iter().for_each(|(model, reader)| check(model, &**reader));
            for (height, (model, _)) in past.iter().enumerate() {
                check(model, &*disk.at(height as u64).unwrap().unwrap());
            }
        }
        drop(disk);
        disk = DiskState::open(&path).unwrap();
        let head = disk.head();
        prop_assert_eq!(head.root(), past.last().unwrap().1);
        for (height, (model, _)) in past.iter().enumerate() {
            check(model, &*disk.at(height as u64).unwrap().unwrap());
        }
        prop_assert!(disk.at(past.len() as u64).unwrap().is_none());
        let prover = disk.prover(past.len() as u64 - 1).unwrap();
        prop_assert_eq!(prover.root(), head.root());
        for who in 1u8..6 {
            let address = Address::repeat_byte(who);
            for slot in 0..6 {
                let slot = U256::from(slot);
                let key = Key::Slot(address, slot);
                let value = model.get(&address).and_then(|entry| entry.1.get(&slot)).map(|value| value.to_be_bytes::<32>());
                let proof = prover.prove(&key);
                verify(&head.root(), &key, value.as_ref().map(|bytes| bytes.as_slice()), &proof).unwrap();
                verify(&head.root(), &key, Some(&[0xff; 32]), &proof).unwrap_err();
            }
        }
    }
}

#[test]
fn unfinalised_children_read_and_root_as_if_committed() {
    let (left, right) = (DiskState::in_memory().unwrap(), DiskState::in_memory().unwrap());
    let mut model = Model::new();
    let edits = |seed: u8| {
        vec![Edit {
            who: seed % 3,
            balance: Some(seed.into()),
            cleared: seed.is_multiple_of(2),
            slots: vec![(seed % 4, 1)],
        }]
    };
    let mut speculative = left.head();
    for seed in 0..9 {
        let changes = Arc::new(apply(&mut model, &edits(seed)));
        speculative = speculative.extend(changes.clone()).unwrap();
        right.commit(&right.head().extend(changes).unwrap()).unwrap();
        assert_eq!(speculative.root(), right.head().root(), "after {seed}");
        check(&model, &*speculative.reader());
    }
}

#[test]
fn a_held_file_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let _first = DiskState::open(&path).unwrap();
    let error = DiskState::open(&path).err().unwrap().to_string();
    assert!(error.contains("could not be opened"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    std::fs::write(&path, vec![7; 5000]).unwrap();
    assert!(DiskState::open(&path).is_err());
}

fn funded(balance: u64) -> Arc<StateChanges> {
    let account = Some(Account { balance: U256::from(balance), ..Account::default() });
    let change = AccountChange { account, ..AccountChange::default() };
    Arc::new(StateChanges { accounts: [(Address::repeat_byte(1), change)].into(), ..StateChanges::default() })
}

fn balance(reader: &dyn candela_primitives::StateReader) -> u64 {
    reader.account(&Address::repeat_byte(1)).unwrap().unwrap().balance.to()
}

#[test]
fn only_retained_heights_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let options = Options { retained_heights: Some(5), ..Options::default() };
    let state = DiskState::open_with(&path, options).unwrap();
    for height in 0..20 {
        state.commit(&state.head().extend(funded(100 + height)).unwrap()).unwrap();
    }
    drop(state);
    let state = DiskState::open_with(&path, options).unwrap();
    for height in 0..14 {
        assert!(state.at(height).unwrap().is_none(), "height {height}");
    }
    for height in 14..20 {
        assert_eq!(balance(&*state.at(height).unwrap().unwrap()), 100 + height);
    }
}

#[test]
fn a_long_history_is_read_by_its_index_and_forgotten_with_it() {
    const HEIGHTS: u64 = 700;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let options = Options { unwritten_heights: 8, ..Options::default() };
    // Account n changes in every block that n divides, and with it a slot; account 7 is emptied by every 77th block.
    let block = |height: u64| {
        let change = |number: u64| AccountChange {
            account: Some(Account { nonce: height, ..Account::default() }),
            storage_cleared: number == 7 && height.is_multiple_of(11),
            storage: [(U256::from(height % 3), U256::from(height + 1))].into(),
        };
        let changed = (1..20).filter(|number| height.is_multiple_of(*number));
        let accounts = changed.map(|number| (Address::with_last_byte(number as u8), change(number))).collect();
        Arc::new(StateChanges { accounts, ..StateChanges::default() })
    };
    let check = |state: &DiskState, height: u64| {
        let reader = state.at(height).unwrap().unwrap();
        for number in 1..20u8 {
            let address = Address::with_last_byte(number);
            let last = |condition: &dyn Fn(u64) -> bool| {
                (0..=height).rev().find(|at| at.is_multiple_of(number.into()) && condition(*at))
            };
            assert_eq!(reader.account(&address).unwrap().map(|account| account.nonce), last(&|_| true));
            let cleared = last(&|at| number == 7 && at.is_multiple_of(11)).unwrap_or(0);
            for slot in 0..3 {
                let set = last(&|at| at % 3 == slot && at >= cleared).map_or(0, |at| at + 1);
                let found = reader.storage(&address, &U256::from(slot)).unwrap();
                assert_eq!(found, U256::from(set), "slot {slot} of {number} after block {height}");
            }
        }
    };
    let state = DiskState::open_with(&path, options).unwrap();
    for height in 0..HEIGHTS {
        state.commit(&state.head().extend(block(height)).unwrap()).unwrap();
    }
    (0..HEIGHTS).step_by(13).for_each(|height| check(&state, height));
    drop(state);
    let state = DiskState::open_with(&path, Options { retained_heights: Some(300), ..options }).unwrap();
    for height in HEIGHTS..HEIGHTS + 64 {
        state.commit(&state.head().extend(block(height)).unwrap()).unwrap();
    }
    let kept = HEIGHTS + 63 - 300;
    assert!(state.at(0).unwrap().is_none());
    (kept..HEIGHTS + 64).step_by(7).for_each(|height| check(&state, height));
}

#[test]
fn a_reader_keeps_its_version() {
    let state = DiskState::in_memory().unwrap();
    state.commit(&state.head().extend(funded(1)).unwrap()).unwrap();
    let reader = state.head().reader();
    state.commit(&state.head().extend(funded(2)).unwrap()).unwrap();
    assert_eq!((balance(&*reader), balance(&*state.head().reader())), (1, 2));
}

#[test]
fn only_a_child_of_the_head_is_committed() {
    let state = DiskState::in_memory().unwrap();
    let genesis = state.head().extend(funded(1)).unwrap();
    let other = state.head().extend(funded(2)).unwrap().extend(funded(3)).unwrap();
    assert!(state.commit(&other).is_err(), "a gap");
    state.commit(&genesis).unwrap();
    assert!(state.commit(&other).is_err(), "a child of another genesis");
    assert_eq!(state.head().root(), genesis.root());
}

#[test]
fn a_chain_that_never_returns_to_the_head_reads_what_was_committed() {
    let state = DiskState::in_memory().unwrap();
    let mut versions = vec![state.head().extend(funded(0)).unwrap()];
    for height in 1..30 {
        versions.push(versions.last().unwrap().extend(funded(height)).unwrap());
        state.commit(&versions[height as usize - 1]).unwrap();
        assert_eq!(balance(&*versions[height as usize].reader()), height);
        assert_eq!(balance(&*state.at(height - 1).unwrap().unwrap()), height - 1);
    }
}

#[test]
fn a_missing_directory_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let error = DiskState::open(&directory.path().join("none/state.redb")).err().unwrap().to_string();
    assert!(error.contains("could not be opened"), "{error}");
}

#[test]
fn a_file_of_an_earlier_version_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let table: redb::TableDefinition<'_, [u8; 28], Option<[u8; 72]>> = redb::TableDefinition::new("account_history");
    transaction.open_table(table).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = DiskState::open(&path).err().unwrap().to_string();
    assert!(error.contains("earlier version") && error.contains("empty folder"), "{error}");
}

#[test]
fn a_damaged_file_is_refused_or_still_has_its_root() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let state = DiskState::open(&path).unwrap();
    for height in 0..10 {
        state.commit(&state.head().extend(funded(height)).unwrap()).unwrap();
    }
    let root = state.head().root();
    drop(state);
    let intact = std::fs::read(&path).unwrap();
    let damaged = directory.path().join("damaged.redb");
    let mut refused = 0;
    for start in (0..intact.len()).step_by(intact.len() / 97) {
        let mut bytes = intact.clone();
        let end = bytes.len().min(start + 600);
        bytes[start..end].fill(0xa5);
        std::fs::write(&damaged, bytes).unwrap();
        match DiskState::open(&damaged) {
            Ok(state) => assert_eq!(state.head().root(), root, "damage at {start} went unseen"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0);
}
