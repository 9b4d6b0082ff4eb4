//! Messages that run without a transaction.

use super::quantity;
use crate::{
    RpcError,
    handler::{ArchiveHashes, Handler},
    protocol::{Json, Params},
    types::{BlockId, CallArguments, overrides},
};
use candela_evm::{
    BlockEnvironment, CallError, CallOutcome, CallRequest, CallResult, EstimateError, HaltReason, InvalidTransaction,
    StateOverrides,
};
use candela_primitives::StateReader;
use serde_json::{Value, json};
use std::sync::Arc;

/// Everything that a message runs on.
struct Setting {
    state: Arc<dyn StateReader>,
    hashes: ArchiveHashes,
    environment: BlockEnvironment,
    request: CallRequest,
    overrides: StateOverrides,
}

fn setting(
    handler: &Handler,
    arguments: &CallArguments,
    id: Option<BlockId>,
    overridden: Option<Value>,
    block_overrides: Option<Value>,
) -> Result<Setting, RpcError> {
    arguments.check(handler.context.chain.chain_id())?;
    let id = id.unwrap_or(BlockId::Latest);
    let block = handler.known_block(id)?;
    let mut environment = handler.context.chain.environment(&handler.call_header(id, &block));
    apply_block_overrides(&mut environment, block_overrides)?;
    Ok(Setting {
        state: handler.state(&block)?,
        hashes: ArchiveHashes(handler.context.archive.clone()),
        environment,
        request: arguments.request(handler.limits.call_gas),
        overrides: overrides(overridden)?,
    })
}

fn apply_block_overrides(environment: &mut BlockEnvironment, value: Option<Value>) -> Result<(), RpcError> {
    let Some(value) = value else { return Ok(()) };
    let changed: alloy_rpc_types_eth::BlockOverrides = serde_json::from_value(value)
        .map_err(|error| RpcError::invalid_params(format!("invalid argument 3: {error}")))?;
    if let Some(number) = changed.number {
        environment.number = number.saturating_to();
    }
    if let Some(time) = changed.time {
        environment.timestamp = time;
    }
    if let Some(gas_limit) = changed.gas_limit {
        environment.gas_limit = gas_limit;
    }
    if let Some(coinbase) = changed.coinbase {
        environment.beneficiary = coinbase;
    }
    if let Some(random) = changed.random {
        environment.prevrandao = random;
    }
    if let Some(base_fee) = changed.base_fee {
        environment.base_fee_per_gas = base_fee.saturating_to();
    }
    Ok(())
}

/// go-ethereum's text for why the EVM stopped.
fn halt(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".to_owned(),
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => "invalid opcode".to_owned(),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID".to_owned(),
        HaltReason::InvalidJump => "invalid jump destination".to_owned(),
        HaltReason::StackUnderflow => "stack underflow".to_owned(),
        HaltReason::StackOverflow => "stack limit reached 1024 (1023)".to_owned(),
        HaltReason::OutOfOffset => "return data out of bounds".to_owned(),
        HaltReason::CreateCollision => "contract address collision".to_owned(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".to_owned(),
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef".to_owned(),
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded".to_owned(),
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection".to_owned()
        }
        HaltReason::CallTooDeep => "max call depth exceeded".to_owned(),
        HaltReason::NonceOverflow => "nonce uint64 overflow".to_owned(),
        HaltReason::OutOfFunds => "insufficient balance for transfer".to_owned(),
        other => other.to_string(),
    }
}

/// go-ethereum's text for why a message can't start.
fn invalid(reason: &InvalidTransaction, request: &CallRequest, environment: &BlockEnvironment) -> String {
    let from = request.from.unwrap_or_default();
    match reason {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            format!("insufficient funds for gas * price + value: address {from} have {balance} want {fee}")
        }
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            format!("insufficient gas for floor data gas cost: have {gas_limit}, want {gas_floor}")
        }
        InvalidTransaction::GasPriceLessThanBasefee => format!(
            "max fee per gas less than block base fee: address {from}, maxFeePerGas: {}, baseFee: {}",
            request.fee_cap(),
            environment.base_fee_per_gas
        ),
        InvalidTransaction::CreateInitCodeSizeLimit => "max initcode size exceeded".to_owned(),
        other => other.to_string(),
    }
}

fn refused(reason: &InvalidTransaction, request: &CallRequest, environment: &BlockEnvironment) -> RpcError {
    RpcError::server(format!("err: {} (supplied gas {})", invalid(reason, request, environment), request.gas))
}

fn run(setting: &Setting) -> Result<CallOutcome, RpcError> {
    let Setting { state, hashes, environment, request, overrides } = setting;
    candela_evm::call(&**state, hashes, environment, request, overrides).map_err(|error| match error {
        CallError::State(error) => error.into(),
        CallError::Invalid(reason) => refused(&reason, request, environment),
    })
}

pub(super) fn call(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let arguments: CallArguments = params.required()?;
    let setting = setting(handler, &arguments, params.optional()?, params.optional()?, params.optional()?)?;
    let outcome = run(&setting)?;
    match outcome.result {
        CallResult::Success => Json::of(&outcome.output),
        CallResult::Revert => Err(RpcError::reverted(&outcome.output)),
        CallResult::Halt(reason) => Err(RpcError::server(halt(&reason))),
    }
}

/// The gas that `eth_estimateGas` finds.
pub(super) fn estimate(
    handler: &Handler,
    arguments: &CallArguments,
    id: Option<BlockId>,
    overridden: Option<Value>,
    block_overrides: Option<Value>,
) -> Result<u64, RpcError> {
    // The transaction will run in a later block. A contract that does more once time has passed (a pair of Uniswap's
    // writes its price sums) would need more gas there than in the newest one, so a second passes here too.
    let id = id.map_or(BlockId::Pending, |id| if id == BlockId::Latest { BlockId::Pending } else { id });
    let elapses = id == BlockId::Pending && block_overrides.is_none();
    let head = handler.head()?;
    let mut setting = setting(handler, arguments, Some(id), overridden, block_overrides)?;
    if elapses {
        setting.environment.timestamp = setting.environment.timestamp.max(head.ethereum_header.timestamp + 1);
    }
    setting.request.gas = arguments.gas.unwrap_or_default();
    let Setting { state, hashes, environment, request, overrides } = &setting;
    // No transaction may have more gas than this (EIP-7825).
    let cap = handler.limits.call_gas.min(1 << 24).min(environment.gas_limit);
    candela_evm::estimate_gas(&**state, hashes, environment, request, overrides, cap).map_err(|error| match error {
        EstimateError::State(error) => error.into(),
        EstimateError::Revert(output) => RpcError::reverted(&output),
        EstimateError::Halt(reason) => RpcError::server(halt(&reason)),
        EstimateError::Invalid(reason, gas) => {
            RpcError::server(format!("failed with {gas} gas: {}", invalid(&reason, request, environment)))
        }
        other => RpcError::server(other.to_string()),
    })
}

pub(super) fn estimate_gas(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let arguments: CallArguments = params.required()?;
    quantity(estimate(handler, &arguments, params.optional()?, params.optional()?, params.optional()?)?)
}

pub(super) fn create_access_list(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let arguments: CallArguments = params.required()?;
    let setting = setting(handler, &arguments, params.optional()?, params.optional()?, None)?;
    let Setting { state, hashes, environment, request, overrides } = &setting;
    let (list, outcome) = candela_evm::create_access_list(&**state, hashes, environment, request, overrides).map_err(
        |error| match error {
            CallError::State(error) => error.into(),
            CallError::Invalid(reason) => refused(&reason, request, environment),
        },
    )?;
    let mut value = json!({ "accessList": list, "gasUsed": format!("{:#x}", outcome.gas_used) });
    match outcome.result {
        CallResult::Success => {}
        CallResult::Revert => value["error"] = json!("execution reverted"),
        CallResult::Halt(reason) => value["error"] = json!(halt(&reason)),
    }
    Json::of(&value)
}
