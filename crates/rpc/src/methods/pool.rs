//! What waits.

use crate::{
    RpcError,
    handler::Handler,
    protocol::{Json, Params},
    types,
};
use candela_pool::Content;
use candela_primitives::{Address, Transaction};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

pub(super) fn status(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    let status = handler.context.pool.status();
    Json::of(&json!({ "pending": format!("{:#x}", status.pending), "queued": format!("{:#x}", status.queued) }))
}

fn queue(waiting: &BTreeMap<u64, Arc<Transaction>>) -> Value {
    waiting
        .iter()
        .map(|(nonce, each)| (nonce.to_string(), types::pending_transaction(each)))
        .collect::<Map<_, _>>()
        .into()
}

fn accounts(content: &Content) -> Value {
    content.iter().map(|(sender, waiting)| (sender.to_string(), queue(waiting))).collect::<Map<_, _>>().into()
}

pub(super) fn content(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    let (pending, queued) = handler.context.pool.content();
    Json::of(&json!({ "pending": accounts(&pending), "queued": accounts(&queued) }))
}

pub(super) fn content_from(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let sender: Address = params.required()?;
    let (pending, queued) = handler.context.pool.content();
    let of = |content: &Content| content.get(&sender).map_or_else(|| json!({}), queue);
    Json::of(&json!({ "pending": of(&pending), "queued": of(&queued) }))
}
