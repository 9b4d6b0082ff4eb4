//! Proofs of every key hold against their root, and nothing else does.

#![allow(clippy::unwrap_used, missing_docs)]

use candela_primitives::{Account, AccountChange, Address, B256, StateChanges, U256};
use candela_state::{DiskState, Key, Proof, Prover, State, account_value, slot_value, verify};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

type Accounts = BTreeMap<u8, (u64, BTreeMap<u8, u64>)>;

fn accounts() -> impl Strategy<Value = Accounts> {
    let slots = proptest::collection::btree_map(any::<u8>(), 1..u64::MAX, 0..6);
    proptest::collection::btree_map(any::<u8>(), (any::<u64>(), slots), 0..40)
}

fn account(balance: u64) -> Account {
    Account { balance: U256::from(balance), ..Account::default() }
}

fn committed(accounts: &Accounts) -> Prover {
    let change = |(balance, slots): &(u64, BTreeMap<u8, u64>)| AccountChange {
        account: Some(account(*balance)),
        storage: slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value))).collect(),
        ..AccountChange::default()
    };
    let changed = accounts.iter().map(|(who, entry)| (Address::repeat_byte(*who), change(entry))).collect();
    let state = DiskState::in_memory().unwrap();
    let changes = StateChanges { accounts: changed, ..StateChanges::default() };
    state.commit(&state.head().extend(Arc::new(changes)).unwrap()).unwrap();
    state.prover(0).unwrap()
}

/// Every account and slot that there is, and as many that there are not.
fn keys(accounts: &Accounts) -> Vec<(Key, Option<Vec<u8>>)> {
    let mut keys = Vec::new();
    for who in 0..=u8::MAX {
        let (address, known) = (Address::repeat_byte(who), accounts.get(&who));
        keys.push((Key::Account(address), known.map(|(balance, _)| account_value(&account(*balance)).to_vec())));
        for slot in known.iter().flat_map(|(_, slots)| slots.keys().copied().chain([0, 255])) {
            let value = known.and_then(|(_, slots)| slots.get(&slot)).copied().unwrap_or_default();
            keys.push((
                Key::Slot(address, U256::from(slot)),
                slot_value(&U256::from(value)).map(|bytes| bytes.to_vec()),
            ));
        }
    }
    keys
}

fn flipped(hash: &B256, byte: usize, bit: u8) -> B256 {
    let mut other = *hash;
    other[byte % 32] ^= 1 << (bit % 8);
    other
}

/// The proof with one bit flipped, for each of its hashes; and with a hash less, a hash more, and another end.
fn tampered(proof: &Proof, byte: usize, bit: u8) -> Vec<Proof> {
    let mut all = Vec::new();
    for index in 0..proof.siblings.len() {
        let mut other = proof.clone();
        other.siblings[index] = flipped(&other.siblings[index], byte, bit);
        all.push(other);
        let mut other = proof.clone();
        other.siblings.remove(index);
        all.push(other);
        let mut other = proof.clone();
        other.siblings.insert(index, B256::ZERO);
        all.push(other);
    }
    if let Some((path, value)) = proof.leaf {
        all.push(Proof { leaf: Some((flipped(&path, byte, bit), value)), ..proof.clone() });
        all.push(Proof { leaf: Some((path, flipped(&value, byte, bit))), ..proof.clone() });
        all.push(Proof { leaf: None, ..proof.clone() });
    } else {
        all.push(Proof { leaf: Some((B256::ZERO, B256::ZERO)), ..proof.clone() });
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_key_proves_its_value_or_its_absence(accounts in accounts()) {
        let prover = committed(&accounts);
        let root = prover.root();
        for (key, value) in keys(&accounts) {
            let proof = prover.prove(&key);
            prop_assert_eq!(verify(&root, &key, value.as_deref(), &proof), Ok(()));
            let denied = if value.is_some() { None } else { Some([1u8; 32].as_slice()) };
            prop_assert!(verify(&root, &key, denied, &proof).is_err());
        }
    }

    #[test]
    fn no_changed_bit_of_root_proof_or_value_passes(accounts in accounts(), byte in 0usize..72, bit in 0u8..8) {
        let prover = committed(&accounts);
        let root = prover.root();
        for (key, value) in keys(&accounts).into_iter().step_by(7) {
            let proof = prover.prove(&key);
            prop_assert!(verify(&flipped(&root, byte, bit), &key, value.as_deref(), &proof).is_err());
            for other in tampered(&proof, byte, bit) {
                prop_assert!(verify(&root, &key, value.as_deref(), &other).is_err(), "{other:?} instead of {proof:?}");
            }
            if let Some(mut value) = value {
                let place = byte % value.len();
                value[place] ^= 1 << bit;
                prop_assert!(verify(&root, &key, Some(&value), &proof).is_err());
            }
        }
    }

    #[test]
    fn a_proof_shows_nothing_about_another_key(accounts in accounts()) {
        let prover = committed(&accounts);
        let all = keys(&accounts);
        for (key, value) in all.iter().filter(|(_, value)| value.is_some()).step_by(5) {
            for (other, _) in all.iter().step_by(11).filter(|(other, _)| other != key) {
                let proof = prover.prove(other);
                prop_assert!(verify(&prover.root(), key, None, &proof).is_err());
                if proof != prover.prove(key) {
                    prop_assert!(verify(&prover.root(), key, value.as_deref(), &proof).is_err());
                }
            }
        }
    }

    #[test]
    fn any_proof_is_judged_without_a_panic(
        siblings in proptest::collection::vec(any::<[u8; 32]>(), 0..400), leaf in any::<Option<([u8; 32], [u8; 32])>>(),
    ) {
        let siblings = siblings.into_iter().map(B256::new).collect();
        let proof = Proof { siblings, leaf: leaf.map(|(path, value)| (path.into(), value.into())) };
        prop_assert!(verify(&B256::repeat_byte(1), &Key::Account(Address::ZERO), None, &proof).is_err());
    }
}
