//! Balances, nonces, code and storage.

use super::quantity;
use crate::{
    RpcError,
    handler::Handler,
    protocol::{Json, Params},
    types::BlockId,
};
use candela_primitives::{Address, B256, U256};

pub(super) fn get_balance(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (address, block) = (params.required::<Address>()?, params.optional()?);
    quantity(handler.state_at(block)?.account(&address)?.unwrap_or_default().balance)
}

pub(super) fn get_transaction_count(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (address, block) = (params.required::<Address>()?, params.optional::<BlockId>()?);
    let nonce = handler.state_at(block)?.account(&address)?.unwrap_or_default().nonce;
    let pending = match block {
        Some(BlockId::Pending) => handler.context.pool.pending_nonce(&address),
        _ => None,
    };
    quantity(pending.unwrap_or(nonce).max(nonce))
}

pub(super) fn get_code(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (address, block) = (params.required::<Address>()?, params.optional()?);
    let state = handler.state_at(block)?;
    let account = state.account(&address)?.unwrap_or_default();
    Json::of(&state.code(&account.code_hash)?)
}

/// A slot number: any hex string of at most 32 bytes.
pub(super) fn slot(text: &str) -> Result<U256, RpcError> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if digits.len() > 64 {
        return Err(RpcError::invalid_params(format!("storage key too long (want at most 32 bytes): {text:?}",)));
    }
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(RpcError::invalid_params(format!("invalid hex in storage key: {text:?}")));
    }
    Ok(U256::from_str_radix(if digits.is_empty() { "0" } else { digits }, 16).unwrap_or_default())
}

pub(super) fn get_storage_at(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (address, key, block) = (params.required::<Address>()?, params.required::<String>()?, params.optional()?);
    let value = handler.state_at(block)?.storage(&address, &slot(&key)?)?;
    Json::of(&B256::from(value))
}
