//! The sequential executor.

use crate::{
    BlockEnvironment, BlockHashes, SkipReason, StateView,
    vm::{Fees, LogsBloom, Vm, receipt, run, view, vm},
};
use alloy_consensus::{Transaction as _, Typed2718 as _};
use alloy_eip7928::AccountChanges;
use alloy_primitives::U512;
use candela_primitives::{Address, Bloom, Receipt, StateChanges, StateError, StateReader, Transaction, U256};
use revm::{DatabaseCommit, context_interface::Block as _, primitives::hardfork::SpecId};

/// What a list of transactions did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// One for each executed transaction, in order.
    pub receipts: Vec<Receipt>,
    /// Gas used by all of them.
    pub gas_used: u64,
    /// Bloom filter over all logs.
    pub logs_bloom: Bloom,
    /// Base fees (and blob fees, where blobs execute) burned, in nit.
    pub burned: U256,
    /// How much less all balances sum to than before, in nit: `burned`, and what self-destructing contracts took along.
    pub supply_decrease: U256,
    /// The difference to the state before.
    pub changes: StateChanges,
    /// What each transaction read and wrote (EIP-7928).
    pub access_list: Vec<AccountChanges>,
}

/// Why a list could not be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionError {
    /// The state could not be read.
    #[error("{0}")]
    State(String),
    /// A transaction of a list that must be valid is not.
    #[error("transaction {index} is invalid: {reason}")]
    Invalid {
        /// Its position.
        index: usize,
        /// Why.
        reason: SkipReason,
    },
    /// The ledger's own call failed.
    #[error("the system call of {contract} failed: {reason}")]
    System {
        /// The contract.
        contract: Address,
        /// What happened.
        reason: String,
    },
    /// The EVM broke an invariant; the result is not used.
    #[error("supply is not conserved: {0}")]
    Supply(String),
}

impl From<StateError> for ExecutionError {
    fn from(error: StateError) -> Self {
        Self::State(error.to_string())
    }
}

/// Executes transactions one by one on top of a state, keeping one EVM for all of them.
pub struct Executor<'a> {
    evm: Vm<'a>,
    environment: BlockEnvironment,
    outcome: Outcome,
}

impl<'a> Executor<'a> {
    /// An executor for one block on top of `state`.
    #[must_use]
    pub fn new(state: &'a dyn StateReader, hashes: &'a dyn BlockHashes, environment: &BlockEnvironment) -> Self {
        let view = StateView::new(state, hashes, environment.spec);
        Self { evm: vm(view, environment), environment: environment.clone(), outcome: Outcome::new() }
    }

    /// Gas that the block has left.
    #[must_use]
    pub const fn gas_left(&self) -> u64 {
        self.environment.gas_limit.saturating_sub(self.outcome.gas_used)
    }

    /// The state as the executed transactions left it, for reads and for changes that no transaction makes.
    pub const fn view(&mut self) -> &mut StateView<'a> {
        view(&mut self.evm)
    }

    /// Makes the ledger's own call; has to come before the first transaction.
    ///
    /// # Errors
    /// When it fails or the state can't be read.
    pub fn begin(&mut self) -> Result<(), ExecutionError> {
        if let Some(call) = &self.environment.system_call {
            let state = call.run(&mut self.evm)?;
            view(&mut self.evm).commit(state);
        }
        Ok(())
    }

    /// Executes one transaction and commits what it did, or leaves everything as it was and says why.
    ///
    /// # Errors
    /// When the state can't be read; the executor must then be dropped.
    pub fn transact(&mut self, transaction: &Transaction) -> Result<Result<&Receipt, SkipReason>, StateError> {
        if let Err(reason) = admit(transaction, &self.environment, self.gas_left()) {
            return Ok(Err(reason));
        }
        let (result, state) = match run(&mut self.evm, transaction, Fees::Paid)? {
            Ok(effect) => effect,
            Err(reason) => return Ok(Err(reason)),
        };
        let position = self.outcome.next_position();
        let view = self.view();
        view.position = position;
        view.commit(state);
        let receipt = receipt(transaction, result, self.environment.base_fee_per_gas);
        self.outcome.burned += blob_fee(transaction, &self.environment);
        self.outcome.blooms.accrue(&receipt);
        Ok(Ok(self.outcome.push(receipt, self.environment.base_fee_per_gas)))
    }

    /// Everything the executed transactions did.
    ///
    /// # Errors
    /// When the balances do not sum to what they did before, less what was burned: an error in the engine.
    pub fn finish(self) -> Result<Execution, ExecutionError> {
        let view = self.evm.ctx.journaled_state.database;
        let facts = Facts {
            balance_sums: view.balance_sums(),
            destroyed: view.has_destroyed(),
            changes: view.changes(),
            access_list: view.access_list(),
        };
        self.outcome.finish(&self.environment, facts)
    }
}

/// What must hold before a transaction is run at all.
pub(crate) fn admit(transaction: &Transaction, environment: &BlockEnvironment, left: u64) -> Result<(), SkipReason> {
    if transaction.is_eip4844() && !environment.allow_blobs {
        return Err(SkipReason::Blob);
    }
    let gas_limit = transaction.gas_limit();
    if gas_limit > left { Err(SkipReason::BlockFull { gas_limit, left }) } else { Ok(()) }
}

/// What a transaction burns for its blobs, in nit (EIP-4844).
pub(crate) fn blob_fee(transaction: &Transaction, environment: &BlockEnvironment) -> U256 {
    let gas = transaction.blob_gas_used().unwrap_or_default();
    if gas == 0 {
        return U256::ZERO;
    }
    U256::from(gas) * U256::from(environment.block().blob_gasprice().unwrap_or_default())
}

/// The transactions that have been executed so far, in order.
pub(crate) struct Outcome {
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) gas_used: u64,
    pub(crate) blooms: LogsBloom,
    pub(crate) burned: U256,
}

/// What the state says about a block when all its transactions have been executed.
pub(crate) struct Facts {
    pub(crate) balance_sums: (U512, U512),
    pub(crate) destroyed: bool,
    pub(crate) changes: StateChanges,
    pub(crate) access_list: Vec<AccountChanges>,
}

impl Outcome {
    pub(crate) fn new() -> Self {
        Self { receipts: Vec::new(), gas_used: 0, blooms: LogsBloom::new(), burned: U256::ZERO }
    }

    /// EIP-7928 index of the next transaction; 0 belongs to what happens before the first.
    fn next_position(&self) -> u32 {
        u32::try_from(self.receipts.len() + 1).unwrap_or(u32::MAX)
    }

    /// Adds the receipt of the next transaction.
    pub(crate) fn push(&mut self, mut receipt: Receipt, base_fee: u64) -> &Receipt {
        self.gas_used += receipt.gas_used;
        self.burned += U256::from(receipt.gas_used) * U256::from(base_fee);
        receipt.cumulative_gas_used = self.gas_used;
        self.receipts.push(receipt);
        &self.receipts[self.receipts.len() - 1]
    }

    pub(crate) fn finish(self, environment: &BlockEnvironment, facts: Facts) -> Result<Execution, ExecutionError> {
        let (before, after) = facts.balance_sums;
        let supply_decrease = before
            .checked_sub(after)
            .map(U256::saturating_from)
            .ok_or_else(|| ExecutionError::Supply(format!("balances grew from {before} to {after} nit")))?;
        let burned = if environment.spec.is_enabled_in(SpecId::LONDON) { self.burned } else { U256::ZERO };
        if supply_decrease < burned || (supply_decrease > burned && !facts.destroyed) {
            return Err(ExecutionError::Supply(format!("{supply_decrease} nit vanished, {burned} nit were burned")));
        }
        Ok(Execution {
            receipts: self.receipts,
            gas_used: self.gas_used,
            logs_bloom: self.blooms.bloom,
            burned,
            supply_decrease,
            changes: facts.changes,
            access_list: facts.access_list,
        })
    }
}

/// Executes a list of which every transaction must be valid.
///
/// # Errors
/// At the first transaction that is not, or when the state can't be read.
pub fn execute(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    transactions: &[Transaction],
) -> Result<Execution, ExecutionError> {
    let mut executor = Executor::new(state, hashes, environment);
    executor.begin()?;
    for (index, transaction) in transactions.iter().enumerate() {
        if let Err(reason) = executor.transact(transaction)? {
            return Err(ExecutionError::Invalid { index, reason });
        }
    }
    executor.finish()
}
