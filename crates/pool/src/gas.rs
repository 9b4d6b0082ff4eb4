//! Gas that a transaction costs before it runs.

use alloy_consensus::Transaction as _;
use candela_primitives::Transaction;

fn tokens(data: &[u8]) -> u64 {
    let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
    zeros + 4 * (data.len() as u64 - zeros)
}

/// Intrinsic gas: base, calldata (EIP-2028), creation (EIP-2, EIP-3860), access list (EIP-2930), authorizations (EIP-7702).
#[must_use]
pub fn intrinsic_gas(transaction: &Transaction) -> u64 {
    let data = transaction.input();
    let creation = if transaction.is_create() { 32_000 + 2 * (data.len() as u64).div_ceil(32) } else { 0 };
    let access = transaction
        .access_list()
        .map_or(0, |list| list.iter().map(|item| 2_400 + 1_900 * item.storage_keys.len() as u64).sum());
    let authorizations = 25_000 * transaction.authorization_list().map_or(0, <[_]>::len) as u64;
    21_000 + 4 * tokens(data) + creation + access + authorizations
}

/// Least gas that a transaction with this data must bring (EIP-7623).
#[must_use]
pub fn floor_gas(transaction: &Transaction) -> u64 {
    21_000 + 10 * tokens(transaction.input())
}
