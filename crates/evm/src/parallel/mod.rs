//! Execute transactions side by side, with the outcome of executing them in order.
//!
//! # How
//!
//! A block is cut into windows. For each, [`plan`] divides the transactions into *groups* that are expected to have
//! nothing in common; workers take batches of groups and run each on an overlay of its own ([`lane`]). Every location
//! that a transaction uses is *claimed* for its group ([`claim`](crate::claim)). When no location is claimed by two
//! groups in a way that depends on their order, running the window in order would have given the same, and the overlays
//! are put together ([`merge`]). Otherwise the window is thrown away, what clashed is remembered ([`predict`]), and it
//! runs again: once in better groups, then in order.
//!
//! # Invariants
//!
//! 1. Groups run their own transactions in order, on a state that holds the window's start and what the group did.
//! 2. Claims cover all that a transaction depended on, including what made it invalid.
//! 3. Nothing of a window is visible to anybody before all of its claims are known not to clash.
//! 4. Payments to accounts without code and fees of the beneficiary are sums: they commute, and the balance after each
//!    is computed when transactions are back in order. Any other look at such a balance is a clash.
//! 5. What is not worth sharing, or keeps clashing, runs in order on one worker. No worker ever waits for another
//!    inside of a window, so nothing can hang.

mod lane;
mod merge;
mod plan;
mod predict;
#[cfg(test)]
mod schedules;
mod workers;

use crate::{
    BlockEnvironment, BlockHashes, Execution, ExecutionError, SkipReason, StateView,
    executor::{Facts, Outcome, admit, blob_fee},
    overlay::{Entry, Order, Overlay, Shard},
    vm::{Fees, Vm, into_view, receipt, run, view, vm},
};
use alloy_consensus::Transaction as _;
use alloy_primitives::U512;
use candela_primitives::{Account, Receipt, StateError, StateReader, Transaction, U256};
use lane::{Attempt, Clash, Lane, Window};
use plan::Plan;
use rayon::prelude::*;
use revm::{DatabaseCommit, primitives::hardfork::SpecId};
#[cfg(test)]
use schedules::run_all;
#[cfg(test)]
use shuttle::sync::atomic::{AtomicBool, AtomicUsize};
#[cfg(not(test))]
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::{mem, sync::Arc};
pub use workers::Workers;

/// How work is cut up. The outcome never depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Transactions in the first window, and after a clash. A block begins with as many as went well in the one before.
    pub first_window: usize,
    /// Transactions in a window at most; it grows fourfold as long as nothing clashes.
    pub largest_window: usize,
    /// Gas below which a group is not worth being handed out alone.
    pub batch_gas: u64,
    /// Whether to share windows even where that is not expected to pay.
    pub eager: bool,
    /// Seed of needless aborts and yields, which tests inject.
    pub disturbance: Option<u64>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { first_window: 256, largest_window: 16_384, batch_gas: 1_000_000, eager: false, disturbance: None }
    }
}

/// Parts of a large window that are looked at first, and their transactions.
const SAMPLES: usize = 3;
const SAMPLE: usize = 256;
/// How much a window grows when nothing clashed.
const GROWTH: usize = 4;
/// Clashes in a block before giving up is considered.
const CLASHES: u64 = 3;
/// Part of the work that may be in vain.
const WASTE: u64 = 16;

/// How the transactions of a block were executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speculation {
    /// Windows that several workers shared.
    pub shared: u64,
    /// Windows that ran in order because sharing was not worth it.
    pub ordered: u64,
    /// Windows that were thrown away because of a clash.
    pub clashes: u64,
    /// Transactions whose execution was in vain.
    pub repeated: u64,
    /// Transactions executed, in vain or not.
    pub attempts: u64,
}

/// Executes transactions on several workers on top of a state. The outcome equals that of [`Executor`](crate::Executor).
pub struct ParallelExecutor<'a> {
    workers: &'a Workers,
    state: &'a dyn StateReader,
    hashes: &'a dyn BlockHashes,
    environment: BlockEnvironment,
    done: Arc<Overlay>,
    outcome: Outcome,
    /// EIP-7928 index after each position: how many transactions had been included.
    indexes: Vec<u32>,
    schedule: Schedule,
    window: usize,
    ordered: bool,
    speculation: Speculation,
}

/// Runs the lanes of a window at the same time.
#[cfg(not(test))]
fn run_all<'a>(lanes: Vec<Lane<'a>>, window: &Window<'_>) -> Result<Vec<Lane<'a>>, StateError> {
    lanes.into_par_iter().map(|lane| lane.run(window)).collect()
}

/// Why a window does not count: where it clashed, as far as that is known.
struct Failure(Vec<Clash>);

impl<'a> ParallelExecutor<'a> {
    /// An executor for one block on top of `state`.
    #[must_use]
    pub fn new(
        workers: &'a Workers,
        state: &'a dyn StateReader,
        hashes: &'a dyn BlockHashes,
        environment: &BlockEnvironment,
    ) -> Self {
        let spec = environment.spec;
        let familiar = spec.is_enabled_in(SpecId::LONDON) && !spec.is_enabled_in(SpecId::AMSTERDAM);
        Self {
            workers,
            state,
            hashes,
            environment: environment.clone(),
            done: Arc::default(),
            outcome: Outcome::new(),
            indexes: vec![0],
            schedule: Schedule::default(),
            window: workers.window(Schedule::default().first_window),
            ordered: workers.threads() == 1 || !familiar,
            speculation: Speculation::default(),
        }
    }

    /// The same with another schedule.
    #[must_use]
    pub const fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self.window = schedule.first_window;
        self
    }

    /// Gas that the block has left.
    #[must_use]
    pub const fn gas_left(&self) -> u64 {
        self.environment.gas_limit.saturating_sub(self.outcome.gas_used)
    }

    /// How the work went so far.
    #[must_use]
    pub const fn speculation(&self) -> Speculation {
        self.speculation
    }

    /// The receipts so far.
    #[must_use]
    pub fn receipts(&self) -> &[Receipt] {
        &self.outcome.receipts
    }

    /// Makes the ledger's own call; has to come before the first transaction.
    ///
    /// # Errors
    /// When it fails or the state can't be read.
    pub fn begin(&mut self) -> Result<(), ExecutionError> {
        let Some(call) = self.environment.system_call.clone() else { return Ok(()) };
        let mut evm = self.evm_in_order()?;
        let state = call.run(&mut evm)?;
        view(&mut evm).commit(state);
        self.done = Arc::new(into_view(evm).over);
        Ok(())
    }

    /// An EVM that goes on with what the block has done, which has to be given back.
    fn evm_in_order(&mut self) -> Result<Vm<'a>, StateError> {
        let mut view = StateView::new(self.state, self.hashes, self.environment.spec);
        view.over = Arc::into_inner(mem::take(&mut self.done))
            .ok_or_else(|| StateError("a worker still reads the block".into()))?;
        Ok(vm(view, &self.environment))
    }

    /// Executes `transactions` as if one after the other; those that can't be included leave nothing behind.
    ///
    /// # Errors
    /// When the state can't be read; the executor must then be dropped.
    pub fn transact(&mut self, transactions: &[&Transaction]) -> Result<Vec<Result<(), SkipReason>>, StateError> {
        let workers = self.workers;
        workers.run(|| {
            let mut outcomes = Vec::with_capacity(transactions.len());
            while outcomes.len() < transactions.len() {
                let rest = &transactions[outcomes.len()..];
                let window = &rest[..self.window_length(rest)];
                outcomes.extend(self.execute(window)?);
            }
            Ok(outcomes)
        })
    }

    /// How many of `rest` to try next: in a shared window all must fit into the block whatever they use.
    fn window_length(&self, rest: &[&Transaction]) -> usize {
        if self.ordered {
            return rest.len();
        }
        let mut left = self.gas_left();
        let fitting = rest.iter().take(self.window).take_while(|transaction| {
            let fits = transaction.gas_limit() <= left;
            left = left.saturating_sub(transaction.gas_limit());
            fits
        });
        match fitting.count() {
            0 => rest.len().min(self.schedule.first_window),
            count => count,
        }
    }

    fn execute(&mut self, window: &[&Transaction]) -> Result<Vec<Result<(), SkipReason>>, StateError> {
        if !self.ordered && self.fits(window) && self.looks_worth_it(window) {
            for _ in 0..2 {
                let plan = self.plan(window);
                if !self.schedule.eager && !plan.is_worth_it(self.workers.threads()) {
                    break;
                }
                self.speculation.attempts += window.len() as u64;
                match self.share(window, &plan) {
                    Ok(attempts) => {
                        self.speculation.shared += 1;
                        self.window = (self.window * GROWTH).min(self.schedule.largest_window);
                        return Ok(self.include(window, attempts, Fees::Owed));
                    }
                    Err(failure) => self.give_up(window, &failure),
                }
            }
        }
        self.window = (self.window * GROWTH).min(self.schedule.largest_window);
        self.speculation.ordered += 1;
        self.speculation.attempts += window.len() as u64;
        let attempts = self.run_in_order(window)?;
        Ok(self.include(window, attempts, Fees::Paid))
    }

    fn plan(&self, window: &[&Transaction]) -> Plan {
        Plan::new(window, self.position(), self.schedule.batch_gas, &self.workers.predictor.lock())
    }

    /// Whether some part of a window is worth sharing: where everything depends on everything, a plan for all of it would
    /// cost more than it tells.
    fn looks_worth_it(&self, window: &[&Transaction]) -> bool {
        let last = window.len().saturating_sub(SAMPLE);
        let worth = |from: usize| self.plan(&window[from..from + SAMPLE]).is_worth_it(self.workers.threads());
        self.schedule.eager
            || window.len() < SAMPLES * SAMPLE
            || (0..SAMPLES).any(|at| worth(last * at / (SAMPLES - 1)))
    }

    fn fits(&self, window: &[&Transaction]) -> bool {
        let gas = window.iter().fold(0u64, |gas, transaction| gas.saturating_add(transaction.gas_limit()));
        gas <= self.gas_left()
    }

    /// Position of the next transaction; 0 is before the first.
    fn position(&self) -> u32 {
        u32::try_from(self.indexes.len()).unwrap_or(u32::MAX)
    }

    fn give_up(&mut self, window: &[&Transaction], failure: &Failure) {
        self.speculation.clashes += 1;
        self.speculation.repeated += window.len() as u64;
        self.window = self.schedule.first_window;
        self.ordered =
            self.speculation.clashes > CLASHES && self.speculation.repeated * WASTE > self.speculation.attempts;
        let transaction = |position: u32| window[(position - self.position()) as usize];
        let mut predictor = self.workers.predictor.lock();
        for ((one, other), account) in &failure.0 {
            predictor.learn(transaction(*one), transaction(*other), *account);
        }
    }

    fn new_view(&self) -> StateView<'a> {
        let mut view = StateView::new(self.state, self.hashes, self.environment.spec);
        view.below = Some(self.done.clone());
        view
    }

    /// Executes a window on all workers.
    fn share(&mut self, window: &[&Transaction], plan: &Plan) -> Result<Vec<Attempt>, Failure> {
        let lanes: Vec<_> = (0..self.workers.threads()).map(|_| Lane::new(self.new_view())).collect();
        let shared = Window {
            transactions: window,
            plan,
            environment: &self.environment,
            gas_left: self.gas_left(),
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            disturbance: self.schedule.disturbance,
        };
        // What went wrong on a state that never was means nothing: the window runs again in order.
        let mut lanes = run_all(lanes, &shared).map_err(|_| Failure(Vec::new()))?;
        let clashes: Vec<_> = lanes.iter_mut().flat_map(|lane| mem::take(&mut lane.clashes)).collect();
        let met_beneficiary = lanes.iter().any(|lane| lane.view.over.get(&self.environment.beneficiary).is_some());
        if !clashes.is_empty() || met_beneficiary || shared.stop.into_inner() {
            return Err(Failure(clashes));
        }
        self.merge(lanes, window.len(), plan.groups.first)
    }

    fn merge(&mut self, lanes: Vec<Lane<'a>>, length: usize, first: u32) -> Result<Vec<Attempt>, Failure> {
        let mut parts: [Vec<Shard>; crate::overlay::SHARDS] = <_>::default();
        let mut rest = Vec::with_capacity(lanes.len());
        for mut lane in lanes {
            lane.view.below = None;
            let over = mem::take(&mut lane.view.over);
            parts.iter_mut().zip(over.shards).for_each(|(part, shard)| part.push(shard));
            rest.push((over.codes, over.destroyed, lane.attempts, lane.blooms));
        }
        let clashes: Vec<_> = parts
            .par_iter()
            .flat_map_iter(|part| {
                let pairs =
                    part.iter().enumerate().flat_map(|(at, one)| part[at + 1..].iter().map(move |two| (one, two)));
                pairs.flat_map(|(one, other)| merge::clashes(one, other))
            })
            .collect();
        if !clashes.is_empty() {
            return Err(Failure(clashes));
        }
        let beneficiary = self.environment.beneficiary;
        let Ok(paid) = self.state.account(&beneficiary) else { return Err(Failure(Vec::new())) };
        let Some(done) = Arc::get_mut(&mut self.done) else { return Err(Failure(Vec::new())) };
        if done.get(&beneficiary).is_none() {
            done.insert(beneficiary, Entry::read(paid));
        }
        done.shards.par_iter_mut().zip(parts).for_each(|(into, mut part)| {
            part.iter_mut().for_each(|from| merge::absorb(into, from, first));
        });
        let mut attempts: Vec<Option<Attempt>> = (0..length).map(|_| None).collect();
        for (codes, destroyed, tried, blooms) in rest {
            done.codes.extend(codes);
            done.destroyed |= destroyed;
            self.outcome.blooms.bloom |= blooms.bloom;
            tried.into_iter().for_each(|(place, attempt)| attempts[place as usize] = Some(attempt));
        }
        attempts.into_iter().collect::<Option<_>>().ok_or(Failure(Vec::new()))
    }

    /// Executes a window on this thread.
    fn run_in_order(&mut self, window: &[&Transaction]) -> Result<Vec<Attempt>, StateError> {
        let mut evm = self.evm_in_order()?;
        let (mut left, first) = (self.gas_left(), self.position());
        let mut attempts = Vec::with_capacity(window.len());
        for (position, transaction) in (first..).zip(window) {
            view(&mut evm).position = position;
            let ran = match admit(transaction, &self.environment, left) {
                Ok(()) => run(&mut evm, transaction, Fees::Paid)?,
                Err(reason) => Err(reason),
            };
            attempts.push(ran.map(|(result, state)| {
                view(&mut evm).commit(state);
                let receipt = receipt(transaction, result, self.environment.base_fee_per_gas);
                left -= receipt.gas_used;
                self.outcome.blooms.accrue(&receipt);
                receipt
            }));
        }
        self.done = Arc::new(into_view(evm).over);
        Ok(attempts)
    }

    /// Puts the transactions of a window back in order.
    fn include(&mut self, window: &[&Transaction], attempts: Vec<Attempt>, fees: Fees) -> Vec<Result<(), SkipReason>> {
        let base_fee = self.environment.base_fee_per_gas;
        let mut owed = Vec::new();
        let mut outcomes = Vec::with_capacity(window.len());
        for (transaction, attempt) in window.iter().zip(attempts) {
            let position = self.position();
            outcomes.push(attempt.map(|receipt| {
                let tip = receipt.effective_gas_price.saturating_sub(u128::from(base_fee));
                owed.push((position, U256::from(tip) * U256::from(receipt.gas_used)));
                self.outcome.burned += blob_fee(transaction, &self.environment);
                self.outcome.push(receipt, base_fee);
            }));
            self.indexes.push(u32::try_from(self.outcome.receipts.len()).unwrap_or(u32::MAX));
        }
        if fees == Fees::Owed {
            self.pay(&owed);
        }
        outcomes
    }

    /// Pays the beneficiary after each transaction what it is owed.
    fn pay(&mut self, owed: &[(u32, U256)]) {
        let beneficiary = self.environment.beneficiary;
        let Some(done) = Arc::get_mut(&mut self.done) else { return };
        let Some(entry) = done.get_mut(&beneficiary) else { return };
        for (position, fee) in owed {
            entry.accessed = true;
            let account = entry.current.unwrap_or_default();
            let paid = Account { balance: account.balance.saturating_add(*fee), ..account };
            // An empty account that is touched does not exist (EIP-161).
            entry.write(*position, (paid != Account::default()).then_some(paid));
        }
    }

    /// Everything the executed transactions did.
    ///
    /// # Errors
    /// When the balances do not sum to what they did before, less what was burned: an error in the engine.
    pub fn finish(self) -> Result<Execution, ExecutionError> {
        if self.speculation.attempts > 0 {
            self.workers.remember_window(self.window / GROWTH);
        }
        let (done, order) = (&self.done, Order(Some(&self.indexes)));
        let parts = |shard: &Shard| {
            let code = |hash: &_| done.code(hash);
            (shard.changes(), shard.access_list(&order, code), shard.balance_sums())
        };
        let parts: Vec<_> = if self.workers.threads() == 1 {
            done.shards.iter().map(parts).collect()
        } else {
            self.workers.run(|| done.shards.par_iter().map(parts).collect())
        };
        let (mut changes, mut access_list, mut sums) = (Vec::new(), Vec::new(), (U512::ZERO, U512::ZERO));
        for (changed, accessed, (before, after)) in parts {
            changes.push(changed);
            access_list.extend(accessed);
            sums = (sums.0 + before, sums.1 + after);
        }
        let facts =
            Facts { balance_sums: sums, destroyed: done.destroyed, changes: done.join_changes(changes), access_list };
        self.outcome.finish(&self.environment, facts)
    }
}
