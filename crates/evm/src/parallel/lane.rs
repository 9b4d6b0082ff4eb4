//! Run groups of transactions on a private overlay.

use super::plan::Plan;
use super::{AtomicBool, AtomicUsize};
use crate::{
    BlockEnvironment, SkipReason, StateView,
    claim::Conflict,
    executor::admit,
    vm::{Fees, LogsBloom, Vm, into_view, receipt, run, view, vm},
};
use alloy_consensus::Transaction as _;
use candela_primitives::{Address, KECCAK256_EMPTY, Receipt, StateError, Transaction};
use revm::{DatabaseCommit, state::EvmState};
use std::sync::atomic::Ordering;

/// What became of a transaction at its place in the window.
pub(super) type Attempt = Result<Receipt, SkipReason>;

/// What one worker made of its part of a window.
pub(super) struct Lane<'a> {
    pub(super) view: StateView<'a>,
    pub(super) attempts: Vec<(u32, Attempt)>,
    pub(super) blooms: LogsBloom,
    pub(super) clashes: Vec<Clash>,
}

/// Two transactions that should not have been in different groups, and the account at which they met.
pub(super) type Clash = (Conflict, Address);

/// Clashes after which a window is given up. Until then it runs on, so that all is learnt that it can teach.
const ENOUGH_CLASHES: usize = 64;

/// How the workers of one window share it out.
pub(super) struct Window<'w> {
    pub(super) transactions: &'w [&'w Transaction],
    pub(super) plan: &'w Plan,
    pub(super) environment: &'w BlockEnvironment,
    pub(super) gas_left: u64,
    pub(super) next: AtomicUsize,
    /// Set when what has been done can't count.
    pub(super) stop: AtomicBool,
    pub(super) disturbance: Option<u64>,
}

impl Window<'_> {
    /// Lets another thread go first, or gives the window up for no reason, as often as the seed says.
    fn disturb(&self, place: u32) {
        let Some(seed) = self.disturbance else { return };
        // The splitmix64 finaliser.
        let mut mixed = (seed ^ u64::from(place)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        match (mixed ^ (mixed >> 31)) % 512 {
            0 => self.stop.store(true, Ordering::Relaxed),
            1..64 => std::thread::yield_now(),
            _ => {}
        }
    }

    fn take_batch(&self) -> Option<&[u32]> {
        let batch = self.next.fetch_add(1, Ordering::Relaxed);
        let end = *self.plan.batches.get(batch)?;
        let start = if batch == 0 { 0 } else { self.plan.batches[batch - 1] };
        Some(&self.plan.order[start..end])
    }
}

/// The account that a transaction only paid: one without code, so that nothing looked at its balance.
fn credited(transaction: &Transaction, state: &EvmState) -> Option<Address> {
    let to = transaction.to().filter(|to| *to != transaction.sender())?;
    state.get(&to).filter(|account| account.info.code_hash == KECCAK256_EMPTY).map(|_| to)
}

impl<'a> Lane<'a> {
    pub(super) fn new(view: StateView<'a>) -> Self {
        Self { view, attempts: Vec::new(), blooms: LogsBloom::new(), clashes: Vec::new() }
    }

    /// Takes batches of `window` until none is left or it is given up.
    ///
    /// # Errors
    /// When the state can't be read.
    pub(super) fn run(mut self, window: &Window<'_>) -> Result<Self, StateError> {
        let mut evm = vm(self.view, window.environment);
        let mut outcome = Ok(());
        'window: while let Some(batch) = window.take_batch() {
            for place in batch {
                window.disturb(*place);
                if window.stop.load(Ordering::Relaxed) {
                    break 'window;
                }
                match attempt(&mut evm, window, *place) {
                    Ok((attempt, clash)) => {
                        if let Ok(receipt) = &attempt {
                            self.blooms.accrue(receipt);
                        }
                        self.attempts.push((*place, attempt));
                        self.clashes.extend(clash);
                    }
                    Err(error) => outcome = Err(error),
                }
                if self.clashes.len() >= ENOUGH_CLASHES || outcome.is_err() {
                    window.stop.store(true, Ordering::Relaxed);
                    break 'window;
                }
            }
        }
        self.view = into_view(evm);
        outcome.map(|()| self)
    }
}

fn attempt(evm: &mut Vm<'_>, window: &Window<'_>, place: u32) -> Result<(Attempt, Option<Clash>), StateError> {
    let transaction = window.transactions[place as usize];
    let groups = &window.plan.groups;
    view(evm).position = groups.first + place;
    if let Err(reason) = admit(transaction, window.environment, window.gas_left) {
        return Ok((Err(reason), None));
    }
    match run(evm, transaction, Fees::Owed)? {
        Ok((result, state)) => {
            let clash = view(evm).claim(&state, credited(transaction, &state), groups);
            view(evm).commit(state);
            Ok((Ok(receipt(transaction, result, window.environment.base_fee_per_gas)), clash))
        }
        Err(reason) => Ok((Err(reason), view(evm).claim_refusal(transaction, groups))),
    }
}
