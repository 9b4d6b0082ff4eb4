//! What Ethereum has no word for.

use crate::{
    RpcError,
    handler::Handler,
    ingress,
    protocol::{Json, Params},
    types::{BlockId, BlockNumber},
};
use candela_primitives::{B256, Bytes, merkle};
use candela_state::Key;
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
    // By height also from before the first block, as far as BLOCKHASH reaches.
    let number = match id {
        BlockId::Number(number) => Some(number),
        BlockId::Earliest => Some(0),
        BlockId::Latest | BlockId::Pending => Some(handler.head()?.number()),
        BlockId::Hash(hash) => handler.context.archive.number(&hash)?,
    };
    let header = number.map_or(Ok(None), |number| handler.context.archive.header(number))?;
    let Some(header) = header else { return Ok(Json::null()) };
    Json::of(&json!({
        "blockHash": header.hash,
        "blockNumber": format!("{:#x}", header.ethereum_header.number),
        "headerBytes": header.header_bytes,
        "certificate": header.certificate,
    }))
}

/// A whole block: what its header commits to, and the certificate that makes it final.
pub(super) fn get_block(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let Some(block) = handler.block(params.required()?)? else { return Ok(Json::null()) };
    let receipts = block.receipts.iter().map(|receipt| Bytes::from(alloy_rlp::encode(receipt)));
    Json::of(&json!({
        "blockHash": block.hash,
        "blockNumber": format!("{:#x}", block.number()),
        "headerBytes": block.header_bytes,
        "certificate": block.certificate,
        "transactions": block.transactions.iter().map(|each| each.encoded().clone()).collect::<Vec<_>>(),
        "receipts": receipts.collect::<Vec<_>>(),
    }))
}

/// The block whose state can be copied from here for the next minutes.
pub(super) fn export_state(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    let number = handler.exports.offer(|| handler.context.chain.export())?;
    let block = handler.known_block(BlockId::Number(number))?;
    Json::of(&json!({ "blockHash": block.hash, "blockNumber": format!("{number:#x}") }))
}

/// Rows of the state after a block that [`export_state`] has named, from a key on, with the proof that the block's state
/// root commits to them: the bytes that [`candela_state::Import::add`] takes.
pub(super) fn get_state_chunk(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let BlockNumber(id) = params.required()?;
    let after: Bytes = params.required()?;
    let BlockId::Number(number) = id else {
        return Err(RpcError::invalid_params("name the block by the number that candela_exportState gives"));
    };
    let wrong = || RpcError::invalid_params("a key has 20 bytes (account) or 52 (slot); none at the beginning");
    let after = if after.is_empty() { None } else { Some(Key::of_row(&after).ok_or_else(wrong)?) };
    Json::of(&Bytes::from(handler.exports.chunk(number, after)?))
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
