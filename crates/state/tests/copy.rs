//! A version is copied while the head moves on; every false chunk is refused, and what is missing is noticed.

#![allow(clippy::unwrap_used, missing_docs)]

use candela_primitives::{Account, AccountChange, Address, B256, StateChanges, U256, keccak256};
use candela_state::{DiskState, Import, ImportError, Key, Options, State};
use proptest::prelude::*;
use std::{cell::RefCell, collections::BTreeMap, path::Path, sync::Arc};

fn address(number: u64) -> Address {
    Address::from_word(keccak256(number.to_be_bytes()))
}

/// Accounts `range`, each with a balance, every tenth with code and two slots.
fn block(range: std::ops::Range<u64>, balance: u64) -> StateChanges {
    let mut changes = StateChanges::default();
    for number in range {
        let code = vec![0x60, (number % 7) as u8];
        let contract = number % 10 == 0;
        let code_hash = if contract { keccak256(&code) } else { Account::default().code_hash };
        let account = Account { nonce: number, balance: U256::from(balance), code_hash };
        let slots = [(U256::from(number), U256::from(balance)), (U256::MAX, U256::from(1))];
        let storage = slots.into_iter().filter(|_| contract).collect();
        if contract {
            changes.codes.insert(code_hash, code.into());
        }
        changes
            .accounts
            .insert(address(number), AccountChange { account: Some(account), storage, ..AccountChange::default() });
    }
    changes
}

fn commit(state: &DiskState, changes: StateChanges) {
    state.commit(&state.head().extend(Arc::new(changes)).unwrap()).unwrap();
}

/// Copies to the end; how many chunks it took.
fn copy(export: &candela_state::Export, import: &mut Import) -> usize {
    let mut chunks = 0;
    while import.add(&export.chunk(import.after()).unwrap()).unwrap() > 0 {
        chunks += 1;
    }
    chunks
}

fn add_codes(import: &Import, state: &DiskState, height: u64) {
    let reader = state.at(height).unwrap().unwrap();
    let missing = import.missing_codes().unwrap();
    let codes: Vec<_> = missing
        .iter()
        .map(|(hash, holder)| (*hash, reader.code(&reader.account(holder).unwrap().unwrap().code_hash).unwrap()))
        .map(|(hash, code)| (hash, code.to_vec()))
        .collect();
    import.add_codes(&codes).unwrap();
}

fn busy(directory: &Path) -> DiskState {
    let options = Options { unwritten_heights: 32, ..Options::default() };
    DiskState::open_with(&directory.join("state.redb"), options).unwrap()
}

#[test]
fn a_version_is_copied_while_the_head_changes_deletes_and_adds_rows() {
    let directory = tempfile::tempdir().unwrap();
    let state = busy(directory.path());
    commit(&state, block(0..3_000, 1));
    commit(&state, block(1_000..20_000, 2));
    let export = state.export().unwrap();
    let (height, root) = (export.height(), export.root());
    let path = directory.path().join("copy.redb");
    let mut import = Import::open(&path, height, root).unwrap();
    let first = export.chunk(None).unwrap();
    assert!(import.add(&first).unwrap() > 1_000);

    let mut gone = StateChanges::default();
    for number in (0..20_000).step_by(10) {
        let change = AccountChange { account: None, storage: BTreeMap::new(), storage_cleared: true };
        gone.accounts.insert(address(number), change);
    }
    commit(&state, gone);
    commit(&state, block(15_000..30_000, 3));
    assert_eq!(export.chunk(None).unwrap(), first, "the version stays what it was");
    drop(import);

    let mut import = Import::open(&path, height, root).unwrap();
    assert!(import.after().is_some(), "a copy goes on where it was interrupted");
    assert!(copy(&export, &mut import) > 2);
    add_codes(&import, &state, height);
    import.finish().unwrap();

    let copied = DiskState::open(&path).unwrap();
    assert_eq!((copied.head().height(), copied.head().root()), (Some(height), root));
    assert!(copied.at(height - 1).unwrap().is_none());
    let (ours, theirs) = (copied.head().reader(), state.at(height).unwrap().unwrap());
    for number in 0..20_000 {
        let account = ours.account(&address(number)).unwrap();
        assert_eq!(account, theirs.account(&address(number)).unwrap());
        let account = account.unwrap();
        assert_eq!(ours.code(&account.code_hash).unwrap(), theirs.code(&account.code_hash).unwrap());
    }
    commit(&copied, block(0..10, 9));
    assert_eq!(copied.at(height).unwrap().unwrap().account(&address(1)).unwrap().unwrap().balance, U256::from(1));
}

#[test]
fn another_target_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let state = busy(directory.path());
    commit(&state, block(0..10_000, 1));
    let (path, old) = (directory.path().join("copy.redb"), state.export().unwrap());
    let mut import = Import::open(&path, old.height(), old.root()).unwrap();
    import.add(&old.chunk(None).unwrap()).unwrap();
    drop(import);
    commit(&state, block(0..10, 2));
    let new = state.export().unwrap();
    let mut import = Import::open(&path, new.height(), new.root()).unwrap();
    assert_eq!(import.after(), None);
    copy(&new, &mut import);
    add_codes(&import, &state, new.height());
    import.finish().unwrap();
    assert_eq!(DiskState::open(&path).unwrap().head().root(), new.root());
}

/// A false part and what is said of it.
fn refused(result: Result<usize, ImportError>) -> &'static str {
    match result {
        Err(ImportError::False(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn false_chunks_are_refused_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let state = busy(directory.path());
    commit(&state, block(0..40, 1));
    let export = state.export().unwrap();
    let path = directory.path().join("copy.redb");
    let mut import = Import::open(&path, export.height(), export.root()).unwrap();
    let good = export.chunk(None).unwrap();
    for place in 0..good.len() {
        let mut changed = good.clone();
        changed[place] ^= 1;
        refused(import.add(&changed));
        if place > 0 {
            refused(import.add(&good[..place]));
        }
    }
    refused(import.add(&[good.as_slice(), &[0]].concat()));
    assert_eq!(import.after(), None);

    import.add(&good).unwrap();
    assert!(refused(import.add(&good)).contains("do not follow"), "the same rows again");
    let missing = import.missing_codes().unwrap();
    let forged = vec![(*missing.keys().next().unwrap(), b"forged".to_vec())];
    assert!(matches!(import.add_codes(&forged), Err(ImportError::False(_))));
    assert!(matches!(import.finish(), Err(ImportError::False("code is missing"))));
}

#[test]
fn rows_that_are_left_out_are_noticed_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let state = busy(directory.path());
    commit(&state, block(0..20_000, 1));
    let export = state.export().unwrap();
    let path = directory.path().join("copy.redb");
    let open = || Import::open(&path, export.height(), export.root()).unwrap();
    let mut import = open();
    let skipped = export.chunk(Some(Key::Account(Address::repeat_byte(0x10)))).unwrap();
    import.add(&skipped).unwrap();
    copy(&export, &mut import);
    add_codes(&import, &state, export.height());
    match import.finish() {
        Err(ImportError::False(why)) => assert!(why.contains("rows are missing"), "{why}"),
        other => panic!("not noticed: {other:?}"),
    }
    let mut again = open();
    assert_eq!(again.after(), None, "it begins anew");
    copy(&export, &mut again);
    add_codes(&again, &state, export.height());
    again.finish().unwrap();
}

#[test]
fn random_bytes_are_no_chunk() {
    let directory = tempfile::tempdir().unwrap();
    let import = Import::open(&directory.path().join("copy.redb"), 1, B256::repeat_byte(1)).unwrap();
    let import = RefCell::new(import);
    proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..300))| {
        prop_assert!(!matches!(import.borrow_mut().add(&bytes), Ok(1..)));
    });
}
