//! Prints insertions per second on one thread, and how long it takes to select the best 5,000 of what is held.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, missing_docs)]

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Signature, TxKind};
use candela_pool::{Limits, Pool, SenderState};
use candela_primitives::{Address, Transaction, U256};
use std::time::Instant;

const SENDERS: u64 = 1_000;
const EACH: u64 = 100;

fn transaction(sender: u64, nonce: u64) -> Transaction {
    let fee = u128::from(1 + (sender * 7_919 + nonce * 31) % 1_000);
    let fields = TxEip1559 {
        chain_id: 1,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000,
        max_priority_fee_per_gas: fee,
        to: TxKind::Call(Address::ZERO),
        ..TxEip1559::default()
    };
    let signature = Signature::new(U256::from(sender + 1), U256::from(1), false);
    let envelope = TxEnvelope::Eip1559(fields.into_signed(signature));
    let encoded = envelope.encoded_2718().into();
    Transaction::new_unchecked(envelope, encoded, Address::left_padding_from(&sender.to_be_bytes()))
}

fn main() {
    let state = SenderState { balance: U256::MAX, ..SenderState::default() };
    let transactions: Vec<_> =
        (0..EACH).flat_map(|nonce| (0..SENDERS).map(move |sender| transaction(sender, nonce))).collect();
    let count = transactions.len();
    // Hashes are computed once and kept; a decoded transaction has had its own computed.
    assert!(transactions.iter().all(|transaction| !transaction.hash().is_zero()));
    let pool = Pool::new(Limits::new(1, 30_000_000));
    let started = Instant::now();
    let taken = transactions.into_iter().filter(|transaction| pool.insert(transaction.clone(), state).is_ok()).count();
    let seconds = started.elapsed().as_secs_f64();
    println!("{taken} of {count} inserted, {:.0} per second", taken as f64 / seconds);
    let started = Instant::now();
    let chosen = pool.best(10, |_| 0).take(5_000).count();
    println!("{chosen} selected of {taken} in {:.2} ms", started.elapsed().as_secs_f64() * 1e3);
}
