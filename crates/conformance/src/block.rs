//! Execute a whole Ethereum block: system calls, transactions, withdrawals, rewards.
//!
//! None of this is part of Candela's own rules; it exists so that Ethereum's published chains can run.

use crate::{fork::BlobSchedule, system};
use alloy_consensus::Header;
use alloy_eips::{eip4895::Withdrawal, eip7685::Requests};
use candela_evm::{BlockEnvironment, BlockHashes, ExecutionError, Executor, SpecId};
use candela_primitives::{
    Account, Address, B256, Bloom, Bytes, Receipt, StateChanges, StateError, StateReader, Transaction, U256,
};

const ETHER: u64 = 1_000_000_000_000_000_000;

/// The rules of a chain at one of its blocks.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Fork.
    pub spec: SpecId,
    /// Blob rules, `None` before Cancun.
    pub blobs: Option<BlobSchedule>,
    /// The EIP-6110 deposit contract.
    pub deposit_contract: Option<Address>,
}

/// A block with everything that execution depends on.
#[derive(Clone, Copy, Debug)]
pub struct EthereumBlock<'a> {
    /// The header.
    pub header: &'a Header,
    /// The transactions in order.
    pub transactions: &'a [Transaction],
    /// The headers of ommers, which are rewarded before the Merge.
    pub ommers: &'a [Header],
    /// EIP-4895.
    pub withdrawals: &'a [Withdrawal],
}

/// What a block did.
#[derive(Clone, Debug, Default)]
pub struct BlockExecution {
    /// One for each transaction.
    pub receipts: Vec<Receipt>,
    /// Before Byzantium, the changes up to and including each transaction, whose state root its receipt carries.
    pub intermediate: Vec<StateChanges>,
    /// Gas used by all transactions.
    pub gas_used: u64,
    /// Bloom filter over all logs.
    pub logs_bloom: Bloom,
    /// EIP-7685 requests; empty before Prague.
    pub requests: Requests,
    /// The difference to the state before the block.
    pub changes: StateChanges,
}

/// A base state with changes on top.
struct Layered<'a> {
    base: &'a dyn StateReader,
    changes: &'a StateChanges,
}

impl StateReader for Layered<'_> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        match self.changes.accounts.get(address) {
            Some(change) => Ok(change.account),
            None => self.base.account(address),
        }
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        match self.changes.accounts.get(address) {
            Some(change) if change.storage.contains_key(slot) => Ok(change.storage[slot]),
            Some(change) if change.storage_cleared => Ok(U256::ZERO),
            _ => self.base.storage(address, slot),
        }
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        match self.changes.codes.get(code_hash) {
            Some(code) => Ok(code.clone()),
            None => self.base.code(code_hash),
        }
    }
}

/// The environment that the transactions of a block see.
#[must_use]
pub fn environment(rules: &Rules, header: &Header) -> BlockEnvironment {
    let mut environment = BlockEnvironment::candela(
        rules.chain_id,
        header.number,
        header.timestamp,
        header.gas_limit,
        header.base_fee_per_gas.unwrap_or_default(),
    );
    environment.spec = rules.spec;
    environment.beneficiary = header.beneficiary;
    environment.prevrandao = header.mix_hash;
    environment.difficulty = header.difficulty;
    environment.excess_blob_gas = header.excess_blob_gas.unwrap_or_default();
    environment.blob_base_fee_update_fraction = rules.blobs.map(|blobs| blobs.base_fee_update_fraction);
    environment.max_blobs_per_transaction = rules.blobs.map(|blobs| blobs.max_per_transaction(rules.spec));
    environment.allow_blobs = true;
    environment
}

/// Executes `block` on top of `state`.
///
/// The header is taken as given: whether its roots, gas and fees are right is for the caller to compare.
///
/// # Errors
/// At the first transaction that is not valid, when a system call fails, or when the state can't be read.
pub fn execute_block(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    rules: &Rules,
    block: &EthereumBlock<'_>,
) -> Result<BlockExecution, ExecutionError> {
    let environment = environment(rules, block.header);
    let mut execution = BlockExecution::default();
    for (contract, input) in system::before(rules.spec, block.header) {
        let base = Layered { base: state, changes: &execution.changes };
        let (_, changes) = system::call(&base, hashes, &environment, contract, input)?;
        execution.changes.extend(&changes);
    }
    transactions(state, hashes, &environment, block.transactions, &mut execution)?;
    if rules.spec.is_enabled_in(SpecId::PRAGUE) {
        if let Some(contract) = rules.deposit_contract {
            let deposits = system::deposits(contract, &execution.receipts)?;
            execution.requests.push_request_with_type(system::DEPOSIT_REQUEST, deposits);
        }
        for (kind, contract) in system::REQUEST_CONTRACTS {
            let base = Layered { base: state, changes: &execution.changes };
            let (output, changes) = system::call(&base, hashes, &environment, contract, Bytes::new())?;
            execution.changes.extend(&changes);
            execution.requests.push_request_with_type(kind, output);
        }
    }
    for (address, amount) in rewards(rules.spec, block) {
        credit(state, rules.spec, &mut execution.changes, address, amount)?;
    }
    Ok(execution)
}

fn transactions(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    transactions: &[Transaction],
    execution: &mut BlockExecution,
) -> Result<(), ExecutionError> {
    let before = execution.changes.clone();
    let base = Layered { base: state, changes: &before };
    let mut executor = Executor::new(&base, hashes, environment);
    for (index, transaction) in transactions.iter().enumerate() {
        if let Err(reason) = executor.transact(transaction)? {
            return Err(ExecutionError::Invalid { index, reason });
        }
        if !environment.spec.is_enabled_in(SpecId::BYZANTIUM) {
            execution.intermediate.push(executor.view().changes());
        }
    }
    let done = executor.finish()?;
    execution.receipts = done.receipts;
    execution.gas_used = done.gas_used;
    execution.logs_bloom = done.logs_bloom;
    execution.changes.extend(&done.changes);
    Ok(())
}

/// Who is given how much at the end of a block: withdrawals, or before the Merge the miner and the ommers' miners.
fn rewards(spec: SpecId, block: &EthereumBlock<'_>) -> Vec<(Address, U256)> {
    let withdrawn = block.withdrawals.iter().map(|withdrawal| (withdrawal.address, withdrawal.amount_wei()));
    if spec.is_enabled_in(SpecId::MERGE) {
        return withdrawn.collect();
    }
    let ethers = if spec.is_enabled_in(SpecId::PETERSBURG) {
        2
    } else if spec.is_enabled_in(SpecId::BYZANTIUM) {
        3
    } else {
        5
    };
    let reward = U256::from(ethers) * U256::from(ETHER);
    let mut rewards: Vec<_> = block
        .ommers
        .iter()
        .map(|ommer| {
            let closeness = (ommer.number + 8).saturating_sub(block.header.number);
            (ommer.beneficiary, reward * U256::from(closeness) / U256::from(8))
        })
        .collect();
    rewards.push((block.header.beneficiary, reward + reward / U256::from(32) * U256::from(block.ommers.len())));
    rewards
}

/// Adds to a balance; an account that is empty afterwards is removed since EIP-161 and exists before it.
///
/// # Errors
/// When the state can't be read.
pub fn credit(
    state: &dyn StateReader,
    spec: SpecId,
    changes: &mut StateChanges,
    address: Address,
    amount: U256,
) -> Result<(), StateError> {
    let before = Layered { base: state, changes }.account(&address)?;
    let account = before.unwrap_or_default();
    let account = Account { balance: account.balance.saturating_add(amount), ..account };
    let removed = spec.is_enabled_in(SpecId::SPURIOUS_DRAGON) && account == Account::default();
    let after = (!removed).then_some(account);
    if after != before {
        let change = changes.accounts.entry(address).or_default();
        change.account = after;
        change.storage_cleared |= removed;
    }
    Ok(())
}
