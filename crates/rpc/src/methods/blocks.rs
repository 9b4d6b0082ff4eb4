//! Blocks and what is in them.

use super::quantity;
use crate::{
    RpcError,
    handler::Handler,
    protocol::{Json, Params},
    types::{self, BlockId},
};
use candela_archive::ArchivedBlock;
use candela_primitives::B256;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn block_number(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    quantity(handler.head()?.number())
}

fn render(handler: &Handler, id: BlockId, full: bool) -> Result<Json, RpcError> {
    let Some(block) = handler.block(id)? else { return Ok(Json::null()) };
    if id == BlockId::Pending {
        return Json::of(&pending(handler, &block, full));
    }
    Json::of(&types::block(&block, full))
}

/// The block that would come next, as far as it is known: go-ethereum leaves hash, nonce and miner empty.
fn pending(handler: &Handler, head: &ArchivedBlock, full: bool) -> Value {
    let (waiting, _) = handler.context.pool.content();
    let next = ArchivedBlock {
        hash: B256::ZERO,
        ethereum_header: alloy_consensus::Header {
            parent_hash: head.hash,
            gas_used: 0,
            logs_bloom: Default::default(),
            ..handler.context.chain.next_header(&head.ethereum_header)
        },
        header_bytes: Default::default(),
        transactions: waiting.into_values().flat_map(|queue| queue.into_values().map(|each| (*each).clone())).collect(),
        receipts: Vec::new(),
        certificate: Default::default(),
    };
    let mut value = types::block(&next, false);
    if full {
        value["transactions"] = next.transactions.iter().map(types::pending_transaction).collect();
    }
    for unknown in ["hash", "nonce", "miner"] {
        value[unknown] = Value::Null;
    }
    value
}

pub(super) fn get_block_by_number(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (id, full) = (params.required()?, params.required()?);
    render(handler, id, full)
}

pub(super) fn get_block_by_hash(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (hash, full) = (params.required()?, params.required()?);
    render(handler, BlockId::Hash(hash), full)
}

pub(super) fn get_block_receipts(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let Some(block) = handler.block(params.required()?)? else { return Ok(Json::null()) };
    let blob_base_fee = handler.context.chain.blob_base_fee(&block.ethereum_header);
    let receipts: Vec<Value> =
        (0..block.transactions.len()).map(|index| types::receipt(&block, index, blob_base_fee)).collect();
    Json::of(&receipts)
}

fn count(block: Option<Arc<ArchivedBlock>>) -> Result<Json, RpcError> {
    block.map_or(Ok(Json::null()), |block| quantity(block.transactions.len()))
}

pub(super) fn transaction_count_by_number(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    count(handler.block(params.required()?)?)
}

pub(super) fn transaction_count_by_hash(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    count(handler.block(BlockId::Hash(params.required()?))?)
}

fn uncle_count(block: Option<Arc<ArchivedBlock>>) -> Result<Json, RpcError> {
    block.map_or(Ok(Json::null()), |_| quantity(0))
}

pub(super) fn uncle_count_by_number(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    uncle_count(handler.block(params.required()?)?)
}

pub(super) fn uncle_count_by_hash(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    uncle_count(handler.block(BlockId::Hash(params.required()?))?)
}

/// There are no uncles.
fn no_uncle(_: Option<Arc<ArchivedBlock>>) -> Result<Json, RpcError> {
    Json::of(&json!(null))
}

pub(super) fn uncle_by_number(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (id, _) = (params.required()?, params.required::<u64>()?);
    no_uncle(handler.block(id)?)
}

pub(super) fn uncle_by_hash(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (hash, _) = (params.required()?, params.required::<u64>()?);
    no_uncle(handler.block(BlockId::Hash(hash))?)
}
