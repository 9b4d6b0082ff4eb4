//! Pending transactions in the order in which a proposer wants them.

use crate::queue::Pending;
use alloy_consensus::Transaction as _;
use candela_primitives::{Address, Transaction};
use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, HashSet, VecDeque},
    sync::Arc,
};

/// Best tip first, each sender's transactions in order of nonce, earlier arrivals first among equals.
#[derive(Debug, Default)]
pub struct Selection {
    heads: BinaryHeap<Head>,
    base_fee: u64,
    current: Option<VecDeque<Pending>>,
    skipped: HashSet<Address>,
}

#[derive(Debug)]
struct Head {
    tip: u128,
    arrival: Reverse<u64>,
    run: VecDeque<Pending>,
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

impl Selection {
    pub(crate) fn new(base_fee: u64, runs: impl Iterator<Item = VecDeque<Pending>>) -> Self {
        let mut selection = Self { base_fee, ..Self::default() };
        runs.for_each(|run| selection.push(run));
        selection
    }

    fn push(&mut self, run: VecDeque<Pending>) {
        let Some(first) = run.front() else { return };
        if self.skipped.contains(&first.transaction.sender()) {
            return;
        }
        // A transaction that can't pay the base fee holds back the rest of its sender's.
        if let Some(tip) = first.transaction.effective_tip_per_gas(self.base_fee) {
            self.heads.push(Head { tip, arrival: Reverse(first.arrival), run });
        }
    }

    /// Leaves out the rest of a sender; false when it was left out before.
    pub fn leave_out(&mut self, sender: Address) -> bool {
        self.skipped.insert(sender)
    }

    /// Leaves out the rest of the sender whose transaction came last.
    pub fn skip_sender(&mut self) {
        self.current = None;
    }
}

impl Iterator for Selection {
    type Item = Arc<Transaction>;

    fn next(&mut self) -> Option<Arc<Transaction>> {
        if let Some(run) = self.current.take() {
            self.push(run);
        }
        let mut run = loop {
            let Head { run, .. } = self.heads.pop()?;
            if run.front().is_some_and(|first| !self.skipped.contains(&first.transaction.sender())) {
                break run;
            }
        };
        let next = run.pop_front()?;
        self.current = Some(run);
        Some(next.transaction)
    }
}
