//! Measure decoding with signature checks, one core: `cargo run --release -p candela-signing --example signatures`.

#![allow(clippy::unwrap_used)]

use alloy_consensus::{TxEip1559, TypedTransaction};
use alloy_primitives::{Address, TxKind, U256};
use candela_primitives::{Bytes, CandelaTransaction};
use candela_signing::{SecretKey, SessionKey, decode, decode_batch, sign_session, sign_transaction};
use std::time::Instant;

const TRANSACTIONS: usize = 8_192;
const ROUNDS: usize = 5;

fn ecdsa(number: usize) -> Bytes {
    let key = SecretKey::from_bytes(U256::from(number + 1).to_be_bytes::<32>().as_slice()).unwrap();
    let fields = TxEip1559 { gas_limit: 21_000, to: TxKind::Call(Address::ZERO), ..TxEip1559::default() };
    sign_transaction(TypedTransaction::Eip1559(fields), &key).unwrap().encoded().clone()
}

fn session(number: usize, signers: usize) -> Bytes {
    let key = SessionKey::from_seed(U256::from(number % signers).to_be_bytes());
    let fields = CandelaTransaction { nonce: number as u64, gas_limit: 21_000, ..CandelaTransaction::default() };
    sign_session(fields, &key).encoded().clone()
}

/// Microseconds per transaction, the best of several rounds.
fn best_us(raw: &[Bytes], run: impl Fn(Vec<Bytes>) -> usize) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let raw = raw.to_vec();
        let (start, count) = (Instant::now(), raw.len());
        assert_eq!(run(raw), count, "a signature was refused");
        start.elapsed().as_secs_f64() * 1e6 / count as f64
    });
    rounds.fold(f64::MAX, f64::min)
}

fn main() {
    let singly = |raw: Vec<Bytes>| raw.into_iter().map(decode).filter(Result::is_ok).count();
    let batch = |threads| move |raw| decode_batch(raw, threads).iter().filter(|each| each.is_ok()).count();
    let ecdsa: Vec<_> = (0..TRANSACTIONS).map(ecdsa).collect();
    println!("{:<44}{:>7.2} us", "ECDSA", best_us(&ecdsa, singly));
    for signers in [TRANSACTIONS, 64, 1] {
        let raw: Vec<_> = (0..TRANSACTIONS).map(|number| session(number, signers)).collect();
        println!("{:<44}{:>7.2} us", format!("Ed25519 singly, {signers} signers"), best_us(&raw, singly));
        for size in [16, 64, 256, 1_024, TRANSACTIONS] {
            let part = |raw: Vec<Bytes>| raw.chunks(size).map(|chunk| batch(1)(chunk.to_vec())).sum();
            println!(
                "{:<44}{:>7.2} us",
                format!("Ed25519 in batches of {size}, {signers} signers"),
                best_us(&raw, part)
            );
        }
        println!("{:<44}{:>7.2} us", format!("Ed25519 on two threads, {signers} signers"), best_us(&raw, batch(2)));
        if signers == TRANSACTIONS {
            for (name, every) in [("one in 1,024", 1_024), ("one in 64", 64), ("all", 1)] {
                let mut raw = raw.clone();
                for at in (0..raw.len()).step_by(every) {
                    let mut changed = raw[at].to_vec();
                    changed[10] ^= 1;
                    raw[at] = changed.into();
                }
                let verdicts = |raw| decode_batch(raw, 1).len();
                println!("{:<44}{:>7.2} us", format!("Ed25519 in a batch, {name} bad"), best_us(&raw, verdicts));
            }
        }
    }
}
