//! The calls that Ethereum makes by itself at the start and the end of a block.

use alloy_consensus::Header;
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use candela_evm::{BlockEnvironment, BlockHashes, ExecutionError, SpecId, StateView};
use candela_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Receipt, StateChanges, StateReader};
use revm::{
    Context, MainBuilder, MainContext, SystemCallCommitEvm,
    context::result::ExecutionResult,
    primitives::{b256, hex},
};

/// EIP-6110 request type.
pub const DEPOSIT_REQUEST: u8 = 0;

/// EIP-7002 and EIP-7251: request types and the contracts that collect them.
pub const REQUEST_CONTRACTS: [(u8, Address); 2] =
    [(1, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS), (2, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS)];

/// `DepositEvent(bytes,bytes,bytes,bytes,bytes)`.
const DEPOSIT_EVENT: B256 = b256!("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");

/// Offsets and lengths of the five fields in the data of a deposit event (EIP-6110).
const DEPOSIT_FIELDS: [(usize, usize); 5] = [(192, 48), (288, 32), (352, 8), (416, 96), (544, 8)];
const DEPOSIT_EVENT_BYTES: usize = 576;

/// Contracts called before the first transaction, with their input (EIP-4788, EIP-2935).
#[must_use]
pub fn before(spec: SpecId, header: &Header) -> Vec<(Address, Bytes)> {
    let mut calls = Vec::new();
    if header.number == 0 {
        return calls;
    }
    if spec.is_enabled_in(SpecId::CANCUN)
        && let Some(root) = header.parent_beacon_block_root
    {
        calls.push((BEACON_ROOTS_ADDRESS, root.0.into()));
    }
    if spec.is_enabled_in(SpecId::PRAGUE) {
        calls.push((HISTORY_STORAGE_ADDRESS, header.parent_hash.0.into()));
    }
    calls
}

/// Calls a contract as the system does: without fees, nonce or the block's gas. A contract without code does nothing.
///
/// # Errors
/// When the call fails or the state can't be read.
pub fn call(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    contract: Address,
    input: Bytes,
) -> Result<(Bytes, StateChanges), ExecutionError> {
    if state.account(&contract)?.is_none_or(|account| account.code_hash == KECCAK256_EMPTY) {
        return Ok(Default::default());
    }
    let mut evm = Context::mainnet()
        .with_db(StateView::new(state, hashes, environment.spec))
        .with_block(environment.block())
        .with_cfg(environment.configuration())
        .build_mainnet();
    let result = evm.system_call_commit(contract, input);
    match result.map_err(|error| ExecutionError::State(error.to_string()))? {
        ExecutionResult::Success { output, .. } => Ok((output.into_data(), evm.ctx.journaled_state.database.changes())),
        failed => Err(ExecutionError::State(format!("system call to {contract} failed: {failed:?}"))),
    }
}

/// The EIP-6110 deposits in the logs of a block.
///
/// # Errors
/// When the deposit contract emitted an event of another shape, which makes a block invalid.
pub fn deposits(contract: Address, receipts: &[Receipt]) -> Result<Bytes, ExecutionError> {
    let mut requests = Vec::new();
    let logs = receipts.iter().flat_map(|receipt| &receipt.logs);
    for log in logs.filter(|log| log.address == contract && log.topics().first() == Some(&DEPOSIT_EVENT)) {
        let data = &log.data.data;
        if data.len() != DEPOSIT_EVENT_BYTES {
            return Err(ExecutionError::State(format!("deposit event is malformed: {}", hex::encode(data))));
        }
        for (offset, length) in DEPOSIT_FIELDS {
            requests.extend_from_slice(&data[offset..offset + length]);
        }
    }
    Ok(requests.into())
}
