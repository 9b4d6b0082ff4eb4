//! Divide a window of transactions into groups that are expected to have nothing in common.

use super::predict::Predictor;
use crate::{claim::Groups, overlay::Map};
use alloy_consensus::Transaction as _;
use candela_primitives::{Address, Transaction};

/// Groups of a window, in the batches in which workers take them.
pub(super) struct Plan {
    pub(super) groups: Groups,
    /// Transactions (by place in the window), those of a group together and in order.
    pub(super) order: Vec<u32>,
    /// Ends of the batches in `order`.
    pub(super) batches: Vec<usize>,
    total_gas: u64,
    largest_gas: u64,
}

/// Disjoint sets of transactions.
struct Sets(Vec<u32>);

impl Sets {
    fn find(&mut self, mut one: u32) -> u32 {
        while self.0[one as usize] != one {
            let parent = self.0[one as usize];
            self.0[one as usize] = self.0[parent as usize];
            one = parent;
        }
        one
    }

    /// The earlier transaction stands for both, so that groups are ordered by their first.
    fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.find(one), self.find(other));
        self.0[one.max(other) as usize] = one.min(other);
    }
}

impl Plan {
    /// Groups `window`, whose first transaction is at position `first` of the block, into batches of at least
    /// `batch_gas`.
    pub(super) fn new(window: &[&Transaction], first: u32, batch_gas: u64, predictor: &Predictor) -> Self {
        let mut sets = Sets((0u32..).take(window.len()).collect());
        let mut owners: Map<Address, u32> = Map::with_capacity_and_hasher(window.len() * 2, <_>::default());
        for (place, transaction) in (0u32..).zip(window) {
            predictor.accounts(transaction, |account| {
                let owner = *owners.entry(account).or_insert(place);
                sets.join(owner, place);
            });
        }
        // Being paid alone is no reason to wait for others who are paid.
        for (place, transaction) in (0u32..).zip(window) {
            if let Some(owner) =
                transaction.to().filter(|_| transaction.input().is_empty()).and_then(|to| owners.get(&to))
            {
                sets.join(*owner, place);
            }
        }
        Self::assemble(window, first, batch_gas, &mut sets)
    }

    fn assemble(window: &[&Transaction], first: u32, batch_gas: u64, sets: &mut Sets) -> Self {
        let of: Vec<u32> = (0u32..).take(window.len()).map(|place| sets.find(place)).collect();
        let mut gas = vec![0u64; window.len()];
        for (transaction, group) in window.iter().zip(&of) {
            gas[*group as usize] += transaction.gas_limit();
        }
        let total_gas = gas.iter().sum();
        let largest_gas = gas.iter().copied().max().unwrap_or_default();
        let mut order: Vec<u32> = (0u32..).take(window.len()).collect();
        // Large groups first, so that no worker is left with one at the end.
        let key = |place: &u32| {
            let group = of[*place as usize];
            let large = gas[group as usize] > batch_gas;
            (std::cmp::Reverse(if large { gas[group as usize] } else { 0 }), group, *place)
        };
        order.sort_unstable_by_key(key);
        let (mut batches, mut gathered) = (Vec::new(), 0);
        for (at, place) in order.iter().enumerate() {
            gathered += window[*place as usize].gas_limit();
            let ends = order.get(at + 1).is_none_or(|next| of[*next as usize] != of[*place as usize]);
            if ends && (gathered >= batch_gas || at + 1 == order.len()) {
                batches.push(at + 1);
                gathered = 0;
            }
        }
        Self { groups: Groups { first, of }, order, batches, total_gas, largest_gas }
    }

    /// Whether several workers would be done sooner than one, by enough to pay for putting their results together.
    pub(super) fn is_worth_it(&self, workers: usize) -> bool {
        let longest = self.largest_gas.max(self.total_gas / workers.max(1) as u64);
        self.batches.len() > 1 && longest.saturating_mul(4) <= self.total_gas.saturating_mul(3)
    }
}
