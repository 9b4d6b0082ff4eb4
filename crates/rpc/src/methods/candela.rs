//! What Ethereum has no word for.

use crate::{
    RpcError,
    handler::Handler,
    ingress,
    protocol::{Json, Params},
    types::BlockId,
};
use candela_primitives::{B256, Bytes, merkle};
use serde_json::json;

/// The double votes that the node has seen, each with what the staking contract's `report` takes.
pub(super) fn evidence(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    let votes = handler.context.chain.evidence();
    let listed = votes.iter().map(|vote| {
        json!({
            "epoch": format!("{:#x}", vote.epoch),
            "view": format!("{:#x}", vote.view),
            "seat": format!("{:#x}", vote.seat),
            "publicKey": vote.public_key,
            "activity": vote.activity,
        })
    });
    Json::of(&listed.collect::<Vec<_>>())
}

/// A block's own header: the bytes that its hash is of, and the certificate that makes it final.
pub(super) fn get_header(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let id: BlockId = params.required()?;
    let Some(block) = handler.block(id)? else { return Ok(Json::null()) };
    Json::of(&json!({
        "blockHash": block.hash,
        "blockNumber": format!("{:#x}", block.number()),
        "headerBytes": block.header_bytes,
        "certificate": block.certificate,
    }))
}

/// Takes many transactions at once, concatenated as in block bodies.
pub(super) fn send_raw_transactions(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let raw: Bytes = params.required()?;
    Json::of(&ingress::submit(handler, &raw)?)
}

/// Everything that shows offline that a transaction was included and what it did.
pub(super) fn get_inclusion_proof(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let hash: B256 = params.required()?;
    let Some((block, index)) = handler.context.archive.transaction(&hash)? else { return Ok(Json::null()) };
    let encoded: Vec<&[u8]> = block.transactions.iter().map(|each| each.encoded().as_ref()).collect();
    let receipts: Vec<Vec<u8>> = block.receipts.iter().map(alloy_rlp::encode).collect();
    let leaves: Vec<B256> = encoded.iter().map(|bytes| merkle::leaf(bytes)).collect();
    let receipt_leaves: Vec<B256> = receipts.iter().map(|bytes| merkle::leaf(bytes)).collect();
    Json::of(&json!({
        "blockHash": block.hash,
        "blockNumber": format!("{:#x}", block.number()),
        "headerBytes": block.header_bytes,
        "certificate": block.certificate,
        "index": format!("{index:#x}"),
        "count": format!("{:#x}", leaves.len()),
        "transaction": block.transactions[index].encoded(),
        "siblings": merkle::prove(&leaves, index).unwrap_or_default(),
        "receipt": Bytes::from(receipts[index].clone()),
        "receiptSiblings": merkle::prove(&receipt_leaves, index).unwrap_or_default(),
    }))
}
