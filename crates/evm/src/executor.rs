//! The sequential executor.

use crate::{
    BlockEnvironment, BlockHashes, SkipReason, StateView, collision, session, transaction::transaction_environment,
    view::ViewError,
};
use alloy_consensus::{Transaction as _, Typed2718 as _};
use candela_primitives::{Bloom, Receipt, StateChanges, StateError, StateReader, Transaction, U256};
use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext, MainnetEvm,
    context::result::{EVMError, ExecutionResult, InvalidTransaction},
    context_interface::Block as _,
    handler::MainnetContext,
};

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
    evm: MainnetEvm<MainnetContext<StateView<'a>>>,
    environment: BlockEnvironment,
    receipts: Vec<Receipt>,
    gas_used: u64,
    logs_bloom: Bloom,
    burned: U256,
}

impl<'a> Executor<'a> {
    /// An executor for one block on top of `state`.
    #[must_use]
    pub fn new(state: &'a dyn StateReader, hashes: &'a dyn BlockHashes, environment: &BlockEnvironment) -> Self {
        let view = StateView::new(state, hashes, environment.spec);
        let mut evm = Context::mainnet()
            .with_db(view)
            .with_block(environment.block())
            .with_cfg(environment.configuration())
            .build_mainnet();
        collision::install(&mut evm.instruction);
        Self {
            evm,
            environment: environment.clone(),
            receipts: Vec::new(),
            gas_used: 0,
            logs_bloom: Bloom::ZERO,
            burned: U256::ZERO,
        }
    }

    /// Gas that the block has left.
    #[must_use]
    pub const fn gas_left(&self) -> u64 {
        self.environment.gas_limit.saturating_sub(self.gas_used)
    }

    /// The state as the executed transactions left it, for reads and for changes that no transaction makes.
    pub const fn view(&mut self) -> &mut StateView<'a> {
        &mut self.evm.ctx.journaled_state.database
    }

    /// Executes one transaction and commits what it did, or leaves everything as it was and says why.
    ///
    /// # Errors
    /// When the state can't be read; the executor must then be dropped.
    pub fn transact(&mut self, transaction: &Transaction) -> Result<Result<&Receipt, SkipReason>, StateError> {
        if transaction.is_eip4844() && !self.environment.allow_blobs {
            return Ok(Err(SkipReason::Blob));
        }
        let (gas_limit, left) = (transaction.gas_limit(), self.gas_left());
        if gas_limit > left {
            return Ok(Err(SkipReason::BlockFull { gas_limit, left }));
        }
        let (timestamp, most_cost) = (self.environment.timestamp, session::most_cost(transaction));
        if let Err(reason) = session::authorize(self.view(), transaction, timestamp, most_cost)? {
            return Ok(Err(reason));
        }
        match self.evm.transact_commit(transaction_environment(transaction)) {
            Ok(result) => self.record(transaction, result).map(Ok),
            Err(EVMError::Transaction(reason)) => Ok(Err(SkipReason::Invalid(reason))),
            Err(EVMError::Header(reason)) => Err(StateError(format!("block environment is incomplete: {reason}"))),
            Err(EVMError::Database(ViewError(error))) => Err(error),
            Err(EVMError::Custom(reason)) => Ok(Err(SkipReason::Invalid(InvalidTransaction::Str(reason.into())))),
            Err(error) => Err(StateError(error.to_string())),
        }
    }

    fn record(&mut self, transaction: &Transaction, result: ExecutionResult) -> Result<&Receipt, StateError> {
        let base_fee = self.environment.base_fee_per_gas;
        let gas_used = result.tx_gas_used();
        self.gas_used += gas_used;
        self.burned += U256::from(gas_used) * U256::from(base_fee);
        if let Some(blob_gas) = transaction.blob_gas_used() {
            let blob_gas_price = self.evm.ctx.block.blob_gasprice().unwrap_or_default();
            self.burned += U256::from(blob_gas) * U256::from(blob_gas_price);
        }
        let success = result.is_success();
        let contract_address = result.created_address();
        let logs = if success { result.into_logs() } else { Vec::new() };
        for log in &logs {
            self.logs_bloom.accrue_log(log);
        }
        let receipt = Receipt {
            tx_type: transaction.ty(),
            success,
            gas_used,
            cumulative_gas_used: self.gas_used,
            effective_gas_price: transaction.effective_gas_price(Some(base_fee)),
            logs,
            contract_address,
        };
        session::charge(self.view(), transaction, &receipt)?;
        self.receipts.push(receipt);
        Ok(&self.receipts[self.receipts.len() - 1])
    }

    /// Everything the executed transactions did.
    ///
    /// # Errors
    /// When the balances do not sum to what they did before, less what was burned: an error in the engine.
    pub fn finish(self) -> Result<Execution, ExecutionError> {
        let view = self.evm.ctx.journaled_state.database;
        let (before, after) = view.balance_sums();
        let supply_decrease = before
            .checked_sub(after)
            .map(U256::saturating_from)
            .ok_or_else(|| ExecutionError::Supply(format!("balances grew from {before} to {after} nit")))?;
        let burned = if self.environment.spec.is_enabled_in(revm::primitives::hardfork::SpecId::LONDON) {
            self.burned
        } else {
            U256::ZERO
        };
        if supply_decrease < burned || (supply_decrease > burned && !view.has_destroyed()) {
            return Err(ExecutionError::Supply(format!("{supply_decrease} nit vanished, {burned} nit were burned")));
        }
        Ok(Execution {
            receipts: self.receipts,
            gas_used: self.gas_used,
            logs_bloom: self.logs_bloom,
            burned,
            supply_decrease,
            changes: view.changes(),
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
    for (index, transaction) in transactions.iter().enumerate() {
        if let Err(reason) = executor.transact(transaction)? {
            return Err(ExecutionError::Invalid { index, reason });
        }
    }
    executor.finish()
}
