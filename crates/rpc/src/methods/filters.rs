//! Filters that clients poll.

use super::logs::{LogQuery, render, search};
use crate::{
    RpcError,
    filters::{Kind, Poll},
    handler::Handler,
    protocol::{Argument, Json, Params, unmarshal},
    types::BlockId,
};
use serde_json::Value;

/// What a filter was named when it was installed; other text names none.
struct FilterId(Option<u128>);

impl Argument for FilterId {
    fn read(value: Value) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(|| unmarshal(&value, "rpc.ID"))?;
        Ok(Self(u128::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()))
    }
}

fn id(params: &mut Params) -> Result<u128, RpcError> {
    params.required::<FilterId>()?.0.ok_or_else(|| RpcError::server("filter not found"))
}

fn install(handler: &Handler, kind: Kind) -> Result<Json, RpcError> {
    let next = handler.head()?.number() + 1;
    Json::of(&format!("{:#x}", handler.filters.install(kind, next)?))
}

pub(super) fn new_block_filter(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    install(handler, Kind::Blocks)
}

pub(super) fn new_pending_transaction_filter(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    install(handler, Kind::Pending(handler.context.feed.pending()))
}

pub(super) fn new_filter(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let query: LogQuery = params.required()?;
    if query.block_hash.is_some() {
        return Err(RpcError::invalid_params("block hash is not supported in filters; use eth_getLogs"));
    }
    query.check()?;
    let head = handler.head()?.number();
    let start = *query.range(head).start();
    let end = match query.to {
        Some(BlockId::Number(number)) => number,
        _ => u64::MAX,
    };
    if start > end {
        return Err(RpcError::invalid_params("invalid block range params"));
    }
    install(handler, Kind::Logs(query.filter, start..=end))
}

pub(super) fn uninstall_filter(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let FilterId(id) = params.required()?;
    let removed = id.is_some_and(|id| handler.filters.uninstall(id));
    Json::of(&removed)
}

pub(super) fn get_filter_changes(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let id = id(&mut params)?;
    let head = handler.head()?.number();
    match handler.filters.poll(id, head)? {
        Poll::Pending(hashes) => Json::of(&hashes),
        Poll::Logs(filter, range) => render(&search(handler, &filter, range)?),
        Poll::Blocks(range) => {
            let hashes = range.map(|number| handler.context.archive.hash(number)).collect::<Result<Vec<_>, _>>()?;
            Json::of(&hashes.into_iter().flatten().collect::<Vec<_>>())
        }
    }
}

pub(super) fn get_filter_logs(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let (filter, range) = handler.filters.logs(id(&mut params)?)?;
    render(&search(handler, &filter, range)?)
}

/// Subscriptions need a connection that can carry news: a WebSocket answers this method itself.
pub(super) fn subscribe(_: &Handler, _: Params) -> Result<Json, RpcError> {
    Err(RpcError::notifications_unsupported())
}

pub(super) fn unsubscribe(_: &Handler, mut params: Params) -> Result<Json, RpcError> {
    params.required::<FilterId>()?;
    Err(RpcError::server("subscription not found"))
}
