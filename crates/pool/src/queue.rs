//! The pending transactions of one sender.

use crate::validate::cost;
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
    /// The first nonce from the account's on without a pending transaction.
    next: u64,
    /// What the transactions below `next` can cost together, in nit.
    cost: U256,
    /// Set when the next transaction could not be executed, until something about the sender changes.
    pub(crate) stalled: bool,
}

impl Queue {
    /// The first nonce without a pending transaction.
    pub(crate) const fn next_nonce(&self) -> u64 {
        self.next
    }

    /// What the transactions that follow one another can cost together, in nit.
    pub(crate) const fn run_cost(&self) -> U256 {
        self.cost
    }

    /// The transaction that would be executed next, `nonce` being in no block yet, unless the sender is held back.
    pub(crate) fn first(&self, nonce: u64) -> Option<&Pending> {
        let next = nonce.max(self.state.nonce);
        if self.stalled || next >= self.next { None } else { self.pending.get(&next) }
    }

    /// How many transactions follow one another from the account's nonce on.
    pub(crate) const fn run_len(&self) -> u64 {
        self.next.saturating_sub(self.state.nonce)
    }

    /// Learns the account's state, unless a newer one is known; returns the transactions whose nonces are used.
    pub(crate) fn observe(&mut self, state: SenderState) -> Vec<Pending> {
        if state.nonce < self.state.nonce {
            return Vec::new();
        }
        self.state = state;
        let mut used = Vec::new();
        while let Some(first) = self.pending.first_entry().filter(|first| *first.key() < state.nonce) {
            used.push(first.remove());
        }
        if state.nonce > self.next {
            (self.next, self.cost) = (state.nonce, U256::ZERO);
        } else {
            let spent = used.iter().map(|pending| cost(&pending.transaction)).fold(U256::ZERO, U256::saturating_add);
            self.cost = self.cost.saturating_sub(spent);
        }
        self.extend_run();
        used
    }

    /// Puts a transaction at `nonce`; returns the one that was there.
    pub(crate) fn insert(&mut self, nonce: u64, pending: Pending) -> Option<Pending> {
        let added = cost(&pending.transaction);
        let old = self.pending.insert(nonce, pending);
        if nonce < self.next {
            let freed = old.as_ref().map_or(U256::ZERO, |old| cost(&old.transaction));
            self.cost = self.cost.saturating_sub(freed).saturating_add(added);
        } else {
            self.extend_run();
        }
        old
    }

    /// Takes the transaction at `nonce` away.
    pub(crate) fn remove(&mut self, nonce: u64) -> Option<Pending> {
        let taken = self.pending.remove(&nonce)?;
        if nonce < self.next {
            let beyond = self.pending.range(nonce..self.next).map(|(_, pending)| cost(&pending.transaction));
            let freed = beyond.fold(cost(&taken.transaction), U256::saturating_add);
            self.cost = self.cost.saturating_sub(freed);
            self.next = nonce;
        }
        Some(taken)
    }

    fn extend_run(&mut self) {
        for (nonce, pending) in self.pending.range(self.next..) {
            if *nonce != self.next {
                break;
            }
            self.next += 1;
            self.cost = self.cost.saturating_add(cost(&pending.transaction));
        }
    }
}
