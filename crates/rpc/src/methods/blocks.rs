//! Blocks and what is in them.

use super::quantity;
use crate::{
    RpcError,
    handler::Handler,
    protocol::{Json, Params},
    types::{self, BlockId, BlockNumber},
};
use alloy_consensus::{Header, Transaction as _};
use candela_archive::ArchivedBlock;
use candela_primitives::{B256, Transaction};
use serde_json::Value;
use std::sync::Arc;

pub(super) fn block_number(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    quantity(handler.head()?.number())
}

fn render(handler: &Handler, id: BlockId, full: bool) -> Result<Json, RpcError> {
    let Some(block) = handler.block(id)? else { return Ok(Json::null()) };
    if id == BlockId::Pending {
        return Json::of(&pending(handler, &block, full));
    }
    let body = handler.context.chain.ethereum_body(&block.hash);
    Json::of(&types::block(&block, body.as_deref(), full))
}

/// Pending transactions that fit into `gas`.
fn waiting(handler: &Handler, gas: u64) -> Vec<Arc<Transaction>> {
    let (pending, _) = handler.context.pool.content();
    let mut left = gas;
    let fits = |each: &Arc<Transaction>| match left.checked_sub(each.gas_limit()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    pending.into_values().flat_map(|queue| queue.into_values()).take_while(fits).collect()
}

/// The block that would come next, as far as it is known: go-ethereum leaves hash, nonce and miner empty.
fn pending(handler: &Handler, head: &ArchivedBlock, full: bool) -> Value {
    let header = handler.context.chain.next_header(&head.ethereum_header);
    let next = ArchivedBlock {
        hash: B256::ZERO,
        ethereum_header: Header {
            parent_hash: head.hash,
            gas_used: 0,
            logs_bloom: Default::default(),
            ..header.clone()
        },
        header_bytes: Default::default(),
        transactions: Arc::new(waiting(handler, header.gas_limit)),
        receipts: Arc::default(),
        certificate: Default::default(),
    };
    let mut value = types::block(&next, None, false);
    if full {
        value["transactions"] = next.transactions.iter().map(|each| types::pending_transaction(each)).collect();
    }
    for unknown in ["hash", "nonce", "miner"] {
        value[unknown] = Value::Null;
    }
    value
}

pub(super) fn get_block_by_number(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (BlockNumber(id), full) = (params.required()?, params.required()?);
    render(handler, id, full)
}

pub(super) fn get_block_by_hash(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (hash, full) = (params.required()?, params.required()?);
    render(handler, BlockId::Hash(hash), full)
}

pub(super) fn get_block_receipts(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let Some(block) = handler.block(params.required()?)? else { return Ok(Json::null()) };
    let blob_base_fee = handler.context.chain.blob_base_fee(&block.ethereum_header);
    let body = handler.context.chain.ethereum_body(&block.hash);
    let receipts: Vec<Value> = (0..block.transactions.len())
        .map(|index| types::receipt(&block, body.as_deref(), index, blob_base_fee))
        .collect();
    Json::of(&receipts)
}

fn count(block: Option<Arc<ArchivedBlock>>) -> Result<Json, RpcError> {
    block.map_or(Ok(Json::null()), |block| quantity(block.transactions.len()))
}

pub(super) fn transaction_count_by_number(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    count(handler.block(params.required::<BlockNumber>()?.0)?)
}

pub(super) fn transaction_count_by_hash(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    count(handler.block(BlockId::Hash(params.required()?))?)
}

/// Uncles of a block; Candela's own have none.
fn uncles(handler: &Handler, id: BlockId) -> Result<Option<Vec<Header>>, RpcError> {
    let Some(block) = handler.block(id)? else { return Ok(None) };
    let body = handler.context.chain.ethereum_body(&block.hash);
    Ok(Some(body.map_or_else(Vec::new, |body| body.uncles.clone())))
}

fn uncle_count(handler: &Handler, id: BlockId) -> Result<Json, RpcError> {
    uncles(handler, id)?.map_or(Ok(Json::null()), |uncles| quantity(uncles.len()))
}

pub(super) fn uncle_count_by_number(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    uncle_count(handler, params.required::<BlockNumber>()?.0)
}

pub(super) fn uncle_count_by_hash(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    uncle_count(handler, BlockId::Hash(params.required()?))
}

fn uncle(handler: &Handler, id: BlockId, index: u64) -> Result<Json, RpcError> {
    let uncles = uncles(handler, id)?.unwrap_or_default();
    let uncle = usize::try_from(index).ok().and_then(|index| uncles.get(index));
    uncle.map_or(Ok(Json::null()), |uncle| Json::of(&types::uncle(uncle)))
}

pub(super) fn uncle_by_number(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (BlockNumber(id), index) = (params.required()?, params.required()?);
    uncle(handler, id, index)
}

pub(super) fn uncle_by_hash(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (hash, index) = (params.required()?, params.required()?);
    uncle(handler, BlockId::Hash(hash), index)
}
