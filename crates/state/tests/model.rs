//! The store against a naive model: roots, reads, history, proofs, reopening.

#![allow(clippy::unwrap_used, missing_docs)]

use candela_primitives::{Account, AccountChange, Address, StateChanges, U256};
use candela_state::{DiskState, Key, State, verify};
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
    fn store_equals_model(rounds in proptest::collection::vec(proptest::collection::vec(edit(), 0..4), 1..8)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let mut disk = DiskState::open(&path).unwrap();
        let (mut model, mut past) = (Model::new(), Vec::new());
        for edits in &rounds {
            let changes = apply(&mut model, edits);
            let version = disk.head().extend(Arc::new(changes)).unwrap();
            check(&model, &*version.reader());
            disk.commit(&version).unwrap();
            disk.commit(&version).unwrap();
            prop_assert_eq!(disk.head().root(), version.root());
            past.push((model.clone(), version.root()));
        }
        drop(disk);
        disk = DiskState::open(&path).unwrap();
        let head = disk.head();
        prop_assert_eq!(head.root(), past.last().unwrap().1);
        for (height, (model, _)) in past.iter().enumerate() {
            check(model, &*disk.at(height as u64).unwrap().unwrap());
        }
        prop_assert!(disk.at(past.len() as u64).unwrap().is_none());
        for who in 1u8..6 {
            let address = Address::repeat_byte(who);
            for slot in 0..6 {
                let slot = U256::from(slot);
                let key = Key::Slot(address, slot);
                let value = model.get(&address).and_then(|entry| entry.1.get(&slot)).map(|value| value.to_be_bytes::<32>());
                let proof = head.prove(&key);
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
        vec![Edit { who: seed % 3, balance: Some(seed.into()), cleared: seed % 2 == 0, slots: vec![(seed % 4, 1)] }]
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
