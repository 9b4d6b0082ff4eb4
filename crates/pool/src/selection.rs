//! Pending transactions in the order in which a proposer wants them.

use crate::{Pool, queue::Pending};
use alloy_consensus::Transaction as _;
use candela_primitives::{Address, Transaction};
use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, HashSet},
    sync::Arc,
};

/// Best tip first, each sender's transactions in order of nonce, earlier arrivals first among equals.
///
/// Only the first transaction of every sender is taken when it is made; each following one is looked up when it is wanted,
/// so that a block costs what it takes from the pool and not what the pool holds. What arrives later is not chosen.
pub struct Selection<'a> {
    pool: &'a Pool,
    heads: BinaryHeap<Head>,
    base_fee: u64,
    /// The last arrival that may be chosen.
    last: u64,
    /// Whose next transaction may follow.
    current: Option<(Address, u64)>,
    skipped: HashSet<Address>,
}

struct Head {
    tip: u128,
    arrival: Reverse<u64>,
    transaction: Arc<Transaction>,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.tip, self.arrival).cmp(&(other.tip, other.arrival))
    }
}

impl Head {
    /// `None` when the transaction can't pay the base fee: it holds back the rest of its sender's.
    fn new(pending: &Pending, base_fee: u64) -> Option<Self> {
        let tip = pending.transaction.effective_tip_per_gas(base_fee)?;
        Some(Self { tip, arrival: Reverse(pending.arrival), transaction: pending.transaction.clone() })
    }
}

impl<'a> Selection<'a> {
    pub(crate) fn new<'b>(pool: &'a Pool, base_fee: u64, last: u64, firsts: impl Iterator<Item = &'b Pending>) -> Self {
        let heads = firsts.filter_map(|first| Head::new(first, base_fee)).collect();
        Self { pool, heads, base_fee, last, current: None, skipped: HashSet::new() }
    }

    /// Leaves out the rest of a sender; false when it was left out before.
    pub fn leave_out(&mut self, sender: Address) -> bool {
        self.skipped.insert(sender)
    }

    /// Leaves out the rest of the sender whose transaction came last.
    pub const fn skip_sender(&mut self) {
        self.current = None;
    }
}

impl Iterator for Selection<'_> {
    type Item = Arc<Transaction>;

    fn next(&mut self) -> Option<Arc<Transaction>> {
        if let Some((sender, nonce)) = self.current.take()
            && !self.skipped.contains(&sender)
            && let Some(next) = self.pool.pending(&sender, nonce + 1)
            && next.arrival <= self.last
        {
            self.heads.extend(Head::new(&next, self.base_fee));
        }
        loop {
            let Head { transaction, .. } = self.heads.pop()?;
            let sender = transaction.sender();
            if !self.skipped.contains(&sender) {
                self.current = Some((sender, transaction.nonce()));
                return Some(transaction);
            }
        }
    }
}
