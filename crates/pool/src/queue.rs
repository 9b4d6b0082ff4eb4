//! The pending transactions of one sender.

use crate::validate::cost;
use alloy_consensus::Transaction as _;
use candela_primitives::{Transaction, U256};
use std::{collections::BTreeMap, sync::Arc};

/// What the pool must know of a sender from the finalised state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderState {
    /// Next nonce.
    pub nonce: u64,
    /// Balance in nit.
    pub balance: U256,
    /// Whether it is a contract that may not send (EIP-3607); delegated accounts may.
    pub has_code: bool,
}

/// A pending transaction with its place in the order of arrival.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) transaction: Arc<Transaction>,
    pub(crate) arrival: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) state: SenderState,
    pub(crate) pending: BTreeMap<u64, Pending>,
    /// The first nonce that is not in a block which has yet to become final.
    pub(crate) in_flight: u64,
    /// Set when the next transaction could not be executed, until something about the sender changes.
    pub(crate) stalled: bool,
}

impl Queue {
    /// The first nonce without a pending transaction.
    pub(crate) fn next_nonce(&self) -> u64 {
        let mut next = self.state.nonce;
        for nonce in self.pending.range(next..).map(|(nonce, _)| *nonce) {
            if nonce != next {
                break;
            }
            next += 1;
        }
        next
    }

    /// The pending transactions that follow one another from the account's nonce on.
    pub(crate) fn run(&self) -> impl Iterator<Item = &Pending> {
        self.pending
            .range(self.state.nonce..)
            .zip(self.state.nonce..)
            .take_while(|((nonce, _), expected)| *nonce == expected)
            .map(|((_, pending), _)| pending)
    }

    /// The transaction that would be executed next, if it can pay `base_fee`.
    pub(crate) fn ready(&self, base_fee: u64) -> Option<&Pending> {
        if self.stalled {
            return None;
        }
        let next = self.in_flight.max(self.state.nonce);
        if next >= self.next_nonce() {
            return None;
        }
        self.pending.get(&next).filter(|pending| pending.transaction.max_fee_per_gas() >= u128::from(base_fee))
    }

    /// What the transactions below `nonce` can cost together.
    pub(crate) fn cost_below(&self, nonce: u64) -> U256 {
        let costs = self.pending.range(..nonce).map(|(_, pending)| cost(&pending.transaction));
        costs.fold(U256::ZERO, U256::saturating_add)
    }
}
