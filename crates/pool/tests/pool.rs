//! The pool holds what a naive list would hold, and stays within its limits.

#![allow(clippy::unwrap_used, missing_docs)]

use alloy_consensus::{SignableTransaction, Transaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Signature, TxKind};
use candela_pool::{Limits, Pool, PoolError, SenderState, Status};
use candela_primitives::{Address, Transaction, U256};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const GAS: u64 = 21_000;

fn transaction(sender: u8, nonce: u64, fee: u128, value: u64) -> Transaction {
    let fields = TxEip1559 {
        chain_id: 1,
        nonce,
        gas_limit: GAS,
        max_fee_per_gas: fee,
        max_priority_fee_per_gas: fee,
        to: TxKind::Call(Address::ZERO),
        value: U256::from(value),
        ..TxEip1559::default()
    };
    // The sender is part of r, so that equal fields of two senders have different hashes.
    let signature = Signature::new(U256::from(sender) + U256::from(1), U256::from(1), false);
    let envelope = TxEnvelope::Eip1559(fields.into_signed(signature));
    let encoded = envelope.encoded_2718().into();
    Transaction::new_unchecked(envelope, encoded, Address::repeat_byte(sender))
}

fn rich(nonce: u64) -> SenderState {
    SenderState { nonce, balance: U256::from(u64::MAX), has_code: false }
}

fn pool() -> Pool {
    Pool::new(Limits::new(1, 30_000_000))
}

#[test]
fn a_gap_is_queued_until_it_is_filled() {
    let pool = pool();
    pool.insert(transaction(1, 1, 10, 0), rich(0)).unwrap();
    assert_eq!(pool.status(), Status { pending: 0, queued: 1 });
    assert!(!pool.has_ready(1, |_| 0));
    pool.insert(transaction(1, 0, 10, 0), rich(0)).unwrap();
    assert_eq!(pool.status(), Status { pending: 2, queued: 0 });
    assert_eq!(pool.pending_nonce(&Address::repeat_byte(1)), Some(2));
}

#[test]
fn a_replacement_pays_a_tenth_more() {
    let pool = pool();
    pool.insert(transaction(1, 0, 100, 0), rich(0)).unwrap();
    assert_eq!(pool.insert(transaction(1, 0, 109, 0), rich(0)), Err(PoolError::ReplacementUnderpriced));
    pool.insert(transaction(1, 0, 110, 0), rich(0)).unwrap();
    assert_eq!(pool.status().pending, 1);
    assert_eq!(pool.best(1, |_| 0).next().unwrap().max_fee_per_gas(), 110);
}

#[test]
fn funds_are_checked_over_the_whole_queue() {
    let pool = pool();
    let state = SenderState { balance: U256::from(2 * (10 * GAS + 5)), ..SenderState::default() };
    pool.insert(transaction(1, 0, 10, 5), state).unwrap();
    pool.insert(transaction(1, 1, 10, 5), state).unwrap();
    let error = pool.insert(transaction(1, 2, 10, 5), state).unwrap_err();
    assert_eq!(
        error.to_string(),
        "insufficient funds for gas * price + value: balance 420010, queued cost 420010, tx cost 210005, overshot 210005"
    );
    let error = pool.insert(transaction(1, 1, 20, 5), state).unwrap_err();
    assert!(error.to_string().contains("tx bumped 210000, overshot 210000"), "{error}");
}

#[test]
fn a_full_pool_drops_gaps_first_then_the_cheapest() {
    let pool = Pool::new(Limits { transactions: 3, ..Limits::new(1, 30_000_000) });
    pool.insert(transaction(1, 5, 1_000, 0), rich(0)).unwrap();
    pool.insert(transaction(2, 0, 10, 0), rich(0)).unwrap();
    pool.insert(transaction(3, 0, 20, 0), rich(0)).unwrap();
    pool.insert(transaction(4, 0, 5, 0), rich(0)).unwrap();
    assert!(!pool.has_sender(&Address::repeat_byte(1)), "the gapped one goes however much it offers");
    assert_eq!(pool.insert(transaction(5, 0, 5, 0), rich(0)), Err(PoolError::Underpriced));
    pool.insert(transaction(5, 0, 6, 0), rich(0)).unwrap();
    assert!(!pool.has_sender(&Address::repeat_byte(4)));
    assert_eq!(pool.status(), Status { pending: 3, queued: 0 });
}

#[test]
fn a_selection_ends_with_what_was_there_when_it_was_made() {
    let pool = pool();
    pool.insert(transaction(1, 0, 10, 0), rich(0)).unwrap();
    pool.insert(transaction(1, 1, 10, 0), rich(0)).unwrap();
    let selection = pool.best(0, |_| 0);
    pool.insert(transaction(1, 2, 10, 0), rich(0)).unwrap();
    pool.insert(transaction(2, 0, 90, 0), rich(0)).unwrap();
    assert_eq!(selection.map(|chosen| chosen.nonce()).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_stale_view_of_the_sender_never_brings_a_used_nonce_back() {
    let pool = pool();
    for nonce in 0..3 {
        pool.insert(transaction(1, nonce, 10, 0), rich(0)).unwrap();
    }
    pool.advance(&Address::repeat_byte(1), rich(2));
    let error = pool.insert(transaction(1, 1, 50, 0), rich(0)).unwrap_err();
    assert_eq!(error.to_string(), "nonce too low: next nonce 2, tx nonce 1");
    assert_eq!(pool.status(), Status { pending: 1, queued: 0 });
}

#[test]
fn what_is_in_flight_is_no_work_and_listeners_hear_of_every_transaction() {
    let pool = pool();
    let heard = Arc::new(AtomicUsize::new(0));
    let counter = heard.clone();
    pool.subscribe(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    pool.insert(transaction(1, 0, 10, 0), rich(0)).unwrap();
    assert!(pool.insert(transaction(1, 0, 10, 0), rich(0)).is_err());
    assert!(!pool.has_ready(1, |sender| u64::from(*sender == Address::repeat_byte(1))));
    assert!(pool.has_ready(1, |sender| u64::from(*sender != Address::repeat_byte(1))));
    assert_eq!(heard.load(Ordering::Relaxed), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Insert { sender: u8, nonce: u64, fee: u128 },
    Advance { sender: u8, by: u64 },
    Remove { sender: u8, nonce: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..4, 0u64..12, 1u128..40).prop_map(|(sender, nonce, fee)| Step::Insert { sender, nonce, fee }),
        1 => (0u8..4, 0u64..4).prop_map(|(sender, by)| Step::Advance { sender, by }),
        1 => (0u8..4, 0u64..12).prop_map(|(sender, nonce)| Step::Remove { sender, nonce }),
    ]
}

/// The same rules over a plain map, everything computed anew.
struct Model {
    /// Transactions held at most.
    most: usize,
    nonces: BTreeMap<u8, u64>,
    held: BTreeMap<(u8, u64), u128>,
}

impl Model {
    fn nonce(&self, sender: u8) -> u64 {
        self.nonces.get(&sender).copied().unwrap_or_default()
    }

    fn next(&self, sender: u8) -> u64 {
        (self.nonce(sender)..).find(|nonce| !self.held.contains_key(&(sender, *nonce))).unwrap()
    }

    fn insert(&mut self, sender: u8, nonce: u64, fee: u128) -> bool {
        let pays = self.held.get(&(sender, nonce)).is_none_or(|old| fee > *old && fee >= *old * 110 / 100);
        let taken = nonce >= self.nonce(sender) && pays && self.make_room(sender, nonce, fee);
        if taken {
            self.held.insert((sender, nonce), fee);
        }
        taken
    }

    fn make_room(&mut self, sender: u8, nonce: u64, fee: u128) -> bool {
        if self.held.len() < self.most || self.held.contains_key(&(sender, nonce)) {
            return true;
        }
        // Later ones of a sender replace earlier ones, so that the last of each is left.
        let lasts: BTreeMap<_, _> = self.held.iter().map(|((owner, last), fee)| (*owner, (*last, *fee))).collect();
        let tails = lasts.iter().map(|(owner, (last, fee))| (*last < self.next(*owner), *fee, *owner, *last));
        let (executable, least, owner, last) = tails.min().unwrap();
        let goes = (executable, least) < (nonce <= self.next(sender), fee) && (owner != sender || last >= nonce);
        if goes {
            self.held.remove(&(owner, last));
        }
        goes
    }

    fn advance(&mut self, sender: u8, by: u64) {
        let nonce = self.nonce(sender) + by;
        self.nonces.insert(sender, nonce);
        self.held.retain(|(owner, held), _| *owner != sender || *held >= nonce);
    }

    fn pending(&self) -> BTreeSet<(u8, u64)> {
        self.held.keys().filter(|(sender, nonce)| *nonce < self.next(*sender)).copied().collect()
    }
}

fn selected(pool: &Pool) -> Vec<(u8, u64)> {
    pool.best(0, |_| 0).map(|chosen| (chosen.sender().0[0], chosen.nonce())).collect()
}

proptest! {
    #[test]
    fn the_pool_agrees_with_a_naive_one(steps in proptest::collection::vec(step(), 1..120), most in 5usize..60) {
        let pool = Pool::new(Limits { transactions: most, ..Limits::new(1, 30_000_000) });
        let mut model = Model { most, nonces: BTreeMap::new(), held: BTreeMap::new() };
        for step in steps {
            match step {
                Step::Insert { sender, nonce, fee } => {
                    let taken = pool.insert(transaction(sender, nonce, fee, 0), rich(model.nonce(sender))).is_ok();
                    prop_assert_eq!(taken, model.insert(sender, nonce, fee));
                }
                Step::Advance { sender, by } => {
                    model.advance(sender, by);
                    pool.advance(&Address::repeat_byte(sender), rich(model.nonce(sender)));
                }
                Step::Remove { sender, nonce } => {
                    if let Some(fee) = model.held.remove(&(sender, nonce)) {
                        pool.remove(&transaction(sender, nonce, fee, 0));
                    }
                }
            }
            let pending = model.pending();
            let status = pool.status();
            prop_assert_eq!((status.pending, status.queued), (pending.len(), model.held.len() - pending.len()));
            let chosen = selected(&pool);
            prop_assert_eq!(chosen.iter().copied().collect::<BTreeSet<_>>(), pending);
            for sender in 0..4 {
                let nonces: Vec<_> = chosen.iter().filter(|(owner, _)| *owner == sender).map(|(_, nonce)| *nonce).collect();
                prop_assert!(nonces.windows(2).all(|pair| pair[0] + 1 == pair[1]), "nonces in order: {:?}", nonces);
            }
        }
    }

    #[test]
    fn the_limits_hold_whatever_arrives(steps in proptest::collection::vec((0u8..20, 0u64..30, 1u128..100), 1..200)) {
        let limits = Limits { transactions: 20, bytes: 2_000, transactions_per_sender: 7, ..Limits::new(1, 30_000_000) };
        let pool = Pool::new(limits);
        for (sender, nonce, fee) in steps {
            let _ = pool.insert(transaction(sender, nonce, fee, 0), rich(0));
            let (pending, queued) = pool.content();
            let held: Vec<_> = pending.values().chain(queued.values()).flat_map(BTreeMap::values).collect();
            prop_assert!(held.len() <= 20);
            prop_assert!(held.iter().map(|held| held.encoded().len()).sum::<usize>() <= 2_000);
            for (sender, of_sender) in &pending {
                prop_assert!(of_sender.len() + queued.get(sender).map_or(0, BTreeMap::len) <= 7);
            }
        }
    }
}
