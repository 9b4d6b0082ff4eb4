//! Guess which transactions have something in common, before any of them runs.

use crate::overlay::Map;
use alloy_consensus::Transaction as _;
use candela_primitives::{Address, Transaction};

/// A kind of call: the contract and the function; zeros for a plain transfer.
pub(super) type Signature = (Address, [u8; 4]);

/// Words of the arguments that are looked at for addresses.
const WORDS: usize = 8;

/// Kinds of call that are remembered; then everything is forgotten, so that nobody can fill memory.
const MOST_SIGNATURES: usize = 16_384;

/// Accounts that are remembered for one kind of call.
const MOST_ACCOUNTS: usize = 4;

/// What earlier clashes have taught: the accounts at which calls of a kind meet others.
#[derive(Debug, Default)]
pub(super) struct Predictor {
    meetings: Map<Signature, Vec<Address>>,
}

impl Predictor {
    /// Learns that two transactions met at `account`.
    pub(super) fn learn(&mut self, one: &Transaction, other: &Transaction, account: Address) {
        if self.meetings.len() >= MOST_SIGNATURES {
            self.meetings.clear();
        }
        for transaction in [one, other] {
            let Some(signature) = signature(transaction) else { continue };
            let accounts = self.meetings.entry(signature).or_default();
            if !accounts.contains(&account) && accounts.len() < MOST_ACCOUNTS {
                accounts.push(account);
            }
        }
    }

    /// Calls `each` with every account that `transaction` is expected to change or to depend on.
    pub(super) fn accounts(&self, transaction: &Transaction, mut each: impl FnMut(Address)) {
        each(transaction.sender());
        let arguments = transaction.input().get(4..).unwrap_or_default();
        arguments.as_chunks::<32>().0.iter().take(WORDS).filter_map(address_in).for_each(&mut each);
        if let Some(meetings) = signature(transaction).and_then(|signature| self.meetings.get(&signature)) {
            meetings.iter().copied().for_each(each);
        }
    }
}

fn signature(transaction: &Transaction) -> Option<Signature> {
    let selector = transaction.input().first_chunk::<4>().copied().unwrap_or_default();
    transaction.to().map(|to| (to, selector))
}

/// The address that an argument may be: twelve zero bytes, then not a small number.
fn address_in(word: &[u8; 32]) -> Option<Address> {
    let (padding, rest) = word.split_at(12);
    (padding == [0; 12] && rest[..4] != [0; 4]).then(|| Address::from_slice(rest))
}
