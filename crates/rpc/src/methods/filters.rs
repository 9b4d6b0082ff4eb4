//! Filters that clients poll.

use super::logs::{LogQuery, render, search};
use crate::{
    RpcError,
    filters::{Kind, Poll},
    handler::Handler,
    protocol::{Json, Params},
    types::BlockId,
};

fn id(text: &str) -> Result<u128, RpcError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u128::from_str_radix(digits, 16).map_err(|_| RpcError::server("filter not found"))
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
    let removed = id(&params.required::<String>()?).is_ok_and(|id| handler.filters.uninstall(id));
    Json::of(&removed)
}

pub(super) fn get_filter_changes(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let id = id(&params.required::<String>()?)?;
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
    let (filter, range) = handler.filters.logs(id(&params.required::<String>()?)?)?;
    render(&search(handler, &filter, range)?)
}
