//! Transactions: sending, finding, completing.

use super::{calls::estimate, fees};
use crate::{
    RpcError,
    handler::Handler,
    protocol::{Argument, Json, Params},
    types::{self, BlockId, BlockNumber, CallArguments},
};
use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxLegacy, TypedTransaction, transaction::RlpEcdsaEncodableTx,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Signature, TxKind};
use alloy_rlp::EMPTY_STRING_CODE;
use candela_archive::ArchivedBlock;
use candela_primitives::{B256, Bytes, U256, keccak256};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

pub(super) fn send_raw(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    Json::of(&submit(handler, params.required()?)?)
}

fn submit(handler: &Handler, raw: Bytes) -> Result<B256, RpcError> {
    let missing = || Err(RpcError::internal("submission gave no result"));
    handler.context.chain.submit(vec![raw]).pop().unwrap_or_else(missing)
}

pub(super) fn by_hash(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let hash: B256 = params.required()?;
    if let Some((block, index)) = handler.context.archive.transaction(&hash)? {
        return Json::of(&types::transaction(&block, index));
    }
    match handler.context.pool.get(&hash) {
        Some(waiting) => Json::of(&types::pending_transaction(&waiting)),
        None => Ok(Json::null()),
    }
}

fn rendered_receipt(handler: &Handler, hash: &B256) -> Result<Option<Value>, RpcError> {
    let Some((block, index)) = handler.context.archive.transaction(hash)? else { return Ok(None) };
    let blob_base_fee = handler.context.chain.blob_base_fee(&block.ethereum_header);
    let body = handler.context.chain.ethereum_body(&block.hash);
    Ok(Some(types::receipt(&block, body.as_deref(), index, blob_base_fee)))
}

pub(super) fn receipt(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    rendered_receipt(handler, &params.required()?)?.map_or(Ok(Json::null()), |receipt| Json::of(&receipt))
}

fn by_index(block: Option<Arc<ArchivedBlock>>, index: u64) -> Result<Json, RpcError> {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    match block {
        Some(block) if index < block.transactions.len() => Json::of(&types::transaction(&block, index)),
        _ => Ok(Json::null()),
    }
}

pub(super) fn by_block_number_and_index(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (BlockNumber(id), index) = (params.required()?, params.required()?);
    by_index(handler.block(id)?, index)
}

pub(super) fn by_block_hash_and_index(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (hash, index) = (params.required()?, params.required()?);
    by_index(handler.block(BlockId::Hash(hash))?, index)
}

/// Fills in what a transaction lacks, and returns it with its unsigned bytes.
pub(super) fn fill(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let mut arguments: CallArguments = params.required()?;
    let chain_id = handler.context.chain.chain_id();
    arguments.check(chain_id)?;
    if arguments.blob_versioned_hashes.is_some() {
        return Err(RpcError::server(
            "transaction type not supported: blob transactions (type 3) are not carried by this chain",
        ));
    }
    if arguments.to.is_none() && arguments.calldata().is_empty() {
        return Err(RpcError::server("contract creation without any data provided"));
    }
    let from = arguments.from.unwrap_or_default();
    if arguments.gas_price.is_none() {
        let base_fee = fees::next_base_fee(handler)?;
        let tip = *arguments.max_priority_fee_per_gas.get_or_insert(U256::from(fees::SUGGESTED_TIP));
        arguments.max_fee_per_gas.get_or_insert(tip + U256::from(base_fee * 2));
        arguments.check(chain_id)?;
    }
    if arguments.nonce.is_none() {
        let known = handler.state_at(None)?.account(&from)?.unwrap_or_default().nonce;
        arguments.nonce = Some(handler.context.pool.pending_nonce(&from).unwrap_or(known).max(known));
    }
    if arguments.gas.is_none() {
        arguments.gas = Some(estimate(handler, &arguments, Some(BlockId::Pending), None, None)?);
    }
    let unsigned = typed(&arguments, chain_id);
    let mut value = serde_json::to_value(&unsigned).map_err(|error| RpcError::internal(error.to_string()))?;
    let raw = unsigned_bytes(unsigned);
    value["from"] = json!(format!("{from:#x}"));
    value["hash"] = json!(keccak256(&raw));
    for part in ["v", "r", "s"] {
        value[part] = json!("0x0");
    }
    if value["type"] != "0x0" {
        value["yParity"] = json!("0x0");
    }
    for fee in ["gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"] {
        // Indexing puts null where the type has no such fee.
        let _ = &mut value[fee];
    }
    Json::of(&json!({ "raw": raw, "tx": value }))
}

/// The encoding with an empty signature, as go-ethereum returns it.
fn unsigned_bytes(unsigned: TypedTransaction) -> Bytes {
    let none = Signature::new(U256::ZERO, U256::ZERO, false);
    match unsigned {
        // Without a signature there is no v that could hold the chain id (EIP-155).
        TypedTransaction::Legacy(fields) => {
            let mut payload = Vec::with_capacity(fields.rlp_encoded_fields_length() + 3);
            fields.rlp_encode_fields(&mut payload);
            payload.extend([EMPTY_STRING_CODE; 3]);
            let mut raw = Vec::with_capacity(payload.len() + 4);
            alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut raw);
            raw.extend(payload);
            raw.into()
        }
        TypedTransaction::Eip2930(fields) => fields.into_signed(none).encoded_2718().into(),
        TypedTransaction::Eip1559(fields) => fields.into_signed(none).encoded_2718().into(),
        TypedTransaction::Eip7702(fields) => fields.into_signed(none).encoded_2718().into(),
        TypedTransaction::Eip4844(_) => Bytes::new(),
    }
}

fn typed(arguments: &CallArguments, chain_id: u64) -> TypedTransaction {
    let fee = |fee: Option<U256>| fee.unwrap_or_default().saturating_to::<u128>();
    let (nonce, gas_limit) = (arguments.nonce.unwrap_or_default(), arguments.gas.unwrap_or_default());
    let to = arguments.to.map_or(TxKind::Create, TxKind::Call);
    let (value, input) = (arguments.value.unwrap_or_default(), arguments.calldata());
    let access_list = arguments.access_list.clone();
    match (&arguments.authorization_list, arguments.gas_price, access_list) {
        (Some(authorizations), _, access_list) => TypedTransaction::Eip7702(TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fee(arguments.max_fee_per_gas),
            max_priority_fee_per_gas: fee(arguments.max_priority_fee_per_gas),
            to: arguments.to.unwrap_or_default(),
            value,
            input,
            access_list: access_list.unwrap_or_default(),
            authorization_list: authorizations.clone(),
        }),
        (None, Some(price), Some(access_list)) => TypedTransaction::Eip2930(TxEip2930 {
            chain_id,
            nonce,
            gas_limit,
            gas_price: price.saturating_to(),
            to,
            value,
            input,
            access_list,
        }),
        (None, Some(price), None) => TypedTransaction::Legacy(TxLegacy {
            chain_id: Some(chain_id),
            nonce,
            gas_limit,
            gas_price: price.saturating_to(),
            to,
            value,
            input,
        }),
        (None, None, access_list) => TypedTransaction::Eip1559(TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fee(arguments.max_fee_per_gas),
            max_priority_fee_per_gas: fee(arguments.max_priority_fee_per_gas),
            to,
            value,
            input,
            access_list: access_list.unwrap_or_default(),
        }),
    }
}

/// A transaction that has been submitted by `eth_sendRawTransactionSync` and is waited for (EIP-7966).
pub(crate) struct SyncWait {
    pub(crate) hash: B256,
    pub(crate) timeout: Duration,
}

impl SyncWait {
    /// Submits the transaction; the caller has subscribed to new blocks before.
    pub(crate) fn submit(handler: &Handler, params: Option<Value>) -> Result<Self, RpcError> {
        let mut params = Params::new(params, 2)?;
        let raw: Bytes = params.required()?;
        let wanted = match params.optional::<Value>()? {
            None => None,
            Some(Value::Number(milliseconds)) => milliseconds.as_u64(),
            Some(other) => Some(u64::read(other).map_err(RpcError::invalid_params)?),
        };
        let wanted = wanted.map(Duration::from_millis);
        let timeout = wanted.filter(|time| !time.is_zero()).unwrap_or(handler.limits.sync_timeout);
        Ok(Self { hash: submit(handler, raw)?, timeout: timeout.min(handler.limits.sync_timeout_max) })
    }

    /// The receipt, once there is one.
    pub(crate) fn receipt(&self, handler: &Handler) -> Result<Option<Json>, RpcError> {
        rendered_receipt(handler, &self.hash)?.map(|receipt| Json::of(&receipt)).transpose()
    }

    /// The error after the timeout.
    pub(crate) fn timed_out(&self) -> RpcError {
        RpcError::sync_timeout(self.hash, self.timeout.as_secs_f64())
    }
}
