//! The least gas with which a message succeeds, found as geth finds it.

use crate::{
    BlockEnvironment, BlockHashes, CallError, CallOutcome, CallRequest, CallResult, HaltReason, InvalidTransaction,
    StateOverrides, call,
};
use candela_primitives::{Bytes, KECCAK256_EMPTY, StateError, StateReader, U256};

const TRANSFER_GAS: u64 = 21_000;
const CALL_STIPEND: u64 = 2_300;

/// Why no amount of gas is enough. The texts are geth's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EstimateError {
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// It reverts; the bytes say why.
    #[error("execution reverted")]
    Revert(Bytes),
    /// It halts for another reason than gas.
    #[error("{0}")]
    Halt(HaltReason),
    /// The allowance does not suffice.
    #[error("gas required exceeds allowance ({0})")]
    Allowance(u64),
    /// The sender can't even pay the value.
    #[error("insufficient funds for transfer")]
    Funds,
    /// The message breaks a rule before it runs, with this much gas.
    #[error("failed with {1} gas: {0}")]
    Invalid(InvalidTransaction, u64),
}

/// One attempt: `Ok` when it ran (perhaps failing), `None` when the gas limit is too small to start.
fn attempt(
    run: &dyn Fn(u64) -> Result<CallOutcome, CallError>,
    gas: u64,
) -> Result<Option<CallOutcome>, EstimateError> {
    match run(gas) {
        Ok(outcome) => Ok(Some(outcome)),
        Err(CallError::Invalid(
            InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
            | InvalidTransaction::GasFloorMoreThanGasLimit { .. }
            | InvalidTransaction::CallerGasLimitMoreThanBlock,
        )) => Ok(None),
        Err(CallError::Invalid(reason)) => Err(EstimateError::Invalid(reason, gas)),
        Err(CallError::State(error)) => Err(error.into()),
    }
}

fn succeeded(outcome: Option<&CallOutcome>) -> bool {
    outcome.is_some_and(|outcome| outcome.result == CallResult::Success)
}

/// Gas that the sender can pay for at the request's fee cap, at most `limit`.
fn affordable(
    state: &dyn StateReader,
    request: &CallRequest,
    overrides: &StateOverrides,
    limit: u64,
) -> Result<u64, EstimateError> {
    let fee_cap = request.fee_cap();
    if fee_cap == 0 {
        return Ok(limit);
    }
    let from = request.from.unwrap_or_default();
    let balance = match overrides.get(&from).and_then(|change| change.balance) {
        Some(balance) => balance,
        None => state.account(&from)?.unwrap_or_default().balance,
    };
    if request.value >= balance {
        return Err(EstimateError::Funds);
    }
    let allowance = (balance - request.value) / U256::from(fee_cap);
    Ok(if allowance < U256::from(limit) { allowance.saturating_to() } else { limit })
}

/// Finds the least gas with which `request` succeeds on top of `state`.
///
/// `cap` bounds the search beside `request.gas` (0: the block's gas limit) and the sender's funds. The answer may exceed
/// the least gas by 1.5 %, as geth's does.
///
/// # Errors
/// When no gas within the bounds is enough.
pub fn estimate_gas(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    request: &CallRequest,
    overrides: &StateOverrides,
    cap: u64,
) -> Result<u64, EstimateError> {
    let wanted = if request.gas >= TRANSFER_GAS { request.gas } else { environment.gas_limit };
    let mut high = affordable(state, request, overrides, wanted.min(cap))?;
    let run = |gas: u64| call(state, hashes, environment, &CallRequest { gas, ..request.clone() }, overrides);

    if let Some(to) = request.to
        && request.data.is_empty()
        && request.authorization_list.is_empty()
        && overrides.get(&to).is_none_or(|change| change.code.is_none())
        && state.account(&to)?.is_none_or(|account| account.code_hash == KECCAK256_EMPTY)
        && attempt(&run, TRANSFER_GAS).is_ok_and(|outcome| succeeded(outcome.as_ref()))
    {
        return Ok(TRANSFER_GAS);
    }

    let first = attempt(&run, high)?.ok_or(EstimateError::Allowance(high))?;
    match first.result {
        CallResult::Success => {}
        CallResult::Revert => return Err(EstimateError::Revert(first.output)),
        CallResult::Halt(HaltReason::OutOfGas(_)) => return Err(EstimateError::Allowance(high)),
        CallResult::Halt(reason) => return Err(EstimateError::Halt(reason)),
    }

    let mut low = first.gas_used.saturating_sub(1);
    let optimistic = (first.gas_spent + CALL_STIPEND) * 64 / 63;
    if optimistic < high {
        if succeeded(attempt(&run, optimistic)?.as_ref()) {
            high = optimistic;
        } else {
            low = optimistic;
        }
    }
    while low + 1 < high {
        // geth's error ratio of 1.5 %, in integers.
        if (high - low) * 1000 < high * 15 {
            break;
        }
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2));
        if succeeded(attempt(&run, middle)?.as_ref()) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}
