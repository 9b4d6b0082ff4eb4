//! One EVM over a view of the state, and how a transaction runs in it.

use crate::{
    BlockEnvironment, SkipReason, StateView, collision, precompiles, session, transaction::transaction_environment,
    view::ViewError,
};
use alloy_consensus::{Transaction as _, Typed2718 as _};
use alloy_primitives::BloomInput;
use candela_primitives::{Address, B256, Bloom, Receipt, StateError, Transaction, U256, keccak256};
use revm::{
    Context, Database, MainBuilder, MainContext, MainnetEvm,
    context::{
        ContextSetters,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
    },
    handler::{EthFrame, FrameResult, Handler, MainnetContext, MainnetHandler},
    state::EvmState,
};

pub(crate) type Vm<'a> = MainnetEvm<MainnetContext<StateView<'a>>>;
type VmError = EVMError<ViewError>;

/// An EVM for the transactions of one block.
pub(crate) fn vm<'a>(view: StateView<'a>, environment: &BlockEnvironment) -> Vm<'a> {
    let mut evm = Context::mainnet()
        .with_db(view)
        .with_block(environment.block())
        .with_cfg(environment.configuration())
        .build_mainnet();
    collision::install(&mut evm.instruction);
    precompiles::install(&mut evm.precompiles, environment.spec);
    evm
}

/// The view that an EVM reads and writes.
pub(crate) const fn view<'v, 'a>(evm: &'v mut Vm<'a>) -> &'v mut StateView<'a> {
    &mut evm.ctx.journaled_state.database
}

/// Gives the view back.
pub(crate) fn into_view(evm: Vm<'_>) -> StateView<'_> {
    evm.ctx.journaled_state.database
}

/// Who pays the beneficiary its priority fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fees {
    /// The transaction, as Ethereum has it.
    Paid,
    /// Whoever puts transactions back in order.
    Owed,
}

/// Executes like the mainnet but leaves the beneficiary alone.
struct OwedFees<'a>(std::marker::PhantomData<&'a ()>);

impl<'a> Handler for OwedFees<'a> {
    type Evm = Vm<'a>;
    type Error = VmError;
    type HaltReason = HaltReason;

    fn reward_beneficiary(&self, _: &mut Vm<'a>, _: &mut FrameResult) -> Result<(), VmError> {
        Ok(())
    }
}

/// Runs one transaction and commits nothing.
pub(crate) fn run(
    evm: &mut Vm<'_>,
    transaction: &Transaction,
    fees: Fees,
) -> Result<Result<(ExecutionResult, EvmState), SkipReason>, StateError> {
    run_with(evm, transaction, |evm| match fees {
        Fees::Paid => MainnetHandler::<_, VmError, EthFrame>::default().run(evm),
        Fees::Owed => OwedFees(std::marker::PhantomData).run(evm),
    })
}

/// Runs one transaction on any database, with the rules for session keys around it.
pub(crate) fn run_with<D: Database<Error = ViewError>>(
    evm: &mut MainnetEvm<MainnetContext<D>>,
    transaction: &Transaction,
    execute: impl FnOnce(&mut MainnetEvm<MainnetContext<D>>) -> Result<ExecutionResult, VmError>,
) -> Result<Result<(ExecutionResult, EvmState), SkipReason>, StateError> {
    let timestamp = evm.ctx.block.timestamp.saturating_to();
    let database = &mut evm.ctx.journaled_state.database;
    let permit = match session::authorize(database, transaction, timestamp)? {
        Ok(permit) => permit,
        Err(reason) => return Ok(Err(SkipReason::Session(Box::new(reason)))),
    };
    evm.ctx.set_tx(transaction_environment(transaction));
    let result = execute(evm);
    let mut state = evm.ctx.journaled_state.inner.finalize();
    let result = match settle(result)? {
        Ok(result) => result,
        Err(reason) => return Ok(Err(reason)),
    };
    if let Some(permit) = permit {
        let price = transaction.effective_gas_price(Some(evm.ctx.block.basefee));
        let gas_fee = U256::from(result.tx_gas_used()).saturating_mul(U256::from(price));
        let moved = if result.is_success() { transaction.value() } else { U256::ZERO };
        session::charge(&mut evm.ctx.journaled_state.database, &mut state, &permit, gas_fee, moved)?;
    }
    Ok(Ok((result, state)))
}

/// Tells a transaction that can't be included from a state that can't be read.
fn settle(result: Result<ExecutionResult, VmError>) -> Result<Result<ExecutionResult, SkipReason>, StateError> {
    match result {
        Ok(result) => Ok(Ok(result)),
        Err(EVMError::Transaction(reason)) => Ok(Err(SkipReason::Invalid(reason))),
        Err(EVMError::Header(reason)) => Err(StateError(format!("block environment is incomplete: {reason}"))),
        Err(EVMError::Database(ViewError(error))) => Err(error),
        Err(EVMError::Custom(reason)) => Ok(Err(SkipReason::Invalid(InvalidTransaction::Str(reason.into())))),
        Err(error) => Err(StateError(error.to_string())),
    }
}

/// The receipt of a transaction, but for the gas used before it.
pub(crate) fn receipt(transaction: &Transaction, result: ExecutionResult, base_fee: u64) -> Receipt {
    let (gas_used, success, contract_address) = (result.tx_gas_used(), result.is_success(), result.created_address());
    Receipt {
        tx_type: transaction.ty(),
        success,
        gas_used,
        cumulative_gas_used: 0,
        effective_gas_price: transaction.effective_gas_price(Some(base_fee)),
        logs: if success { result.into_logs() } else { Vec::new() },
        contract_address,
    }
}

/// A bloom filter over logs that remembers the hashes of what came often.
pub(crate) struct LogsBloom {
    pub(crate) bloom: Bloom,
    addresses: Vec<(Address, B256)>,
    topics: Vec<(B256, B256)>,
}

impl LogsBloom {
    const SLOTS: usize = 64;

    pub(crate) fn new() -> Self {
        let (address, topic) = ((Address::ZERO, keccak256(Address::ZERO)), (B256::ZERO, keccak256(B256::ZERO)));
        Self { bloom: Bloom::ZERO, addresses: vec![address; Self::SLOTS], topics: vec![topic; Self::SLOTS] }
    }

    pub(crate) fn accrue(&mut self, receipt: &Receipt) {
        for log in &receipt.logs {
            let place = &mut self.addresses[log.address[19] as usize % Self::SLOTS];
            if place.0 != log.address {
                *place = (log.address, keccak256(log.address));
            }
            self.bloom.accrue(BloomInput::Hash(place.1));
            for topic in log.topics() {
                let place = &mut self.topics[topic[31] as usize % Self::SLOTS];
                if place.0 != *topic {
                    *place = (*topic, keccak256(topic));
                }
                self.bloom.accrue(BloomInput::Hash(place.1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Log, LogData};

    #[test]
    fn remembered_hashes_give_the_same_bloom() {
        let (mut remembered, mut plain) = (LogsBloom::new(), Bloom::ZERO);
        for seed in 0..200u8 {
            let topics = vec![B256::repeat_byte(seed % 7), B256::repeat_byte(seed)];
            let data = LogData::new_unchecked(topics, vec![seed].into());
            let log = Log { address: Address::repeat_byte(seed % 70), data };
            plain.accrue_log(&log);
            remembered.accrue(&Receipt { logs: vec![log], ..Receipt::default() });
        }
        assert_eq!(remembered.bloom, plain);
    }
}
