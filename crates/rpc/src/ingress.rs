//! The binary way in: transactions as they are, in batches, without JSON around them.
//!
//! A body or a WebSocket message at `/transactions` is concatenated RLP as in block bodies. The answer is JSON: how many
//! were taken, and for each that was not its place in the batch and why. A connection's batches are worked on one after
//! the other, so that a client that sends faster than the node takes is slowed down by its own connection.

use crate::{
    RpcError,
    connection::{Peer, blocking, read_body, refusal},
    handler::Handler,
    server::Shared,
};
use axum::{
    Extension,
    body::Body,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use candela_primitives::Bytes;
use candela_signing::split_transactions;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::timeout;

/// Submits a batch and reports on it.
pub(crate) fn submit(handler: &Handler, raw: &Bytes) -> Result<Value, RpcError> {
    let transactions = split_transactions(raw, handler.limits.binary_transactions)
        .map_err(|error| RpcError::invalid_params(error.to_string()))?;
    let results = handler.context.chain.submit(transactions);
    let errors: Vec<_> = results
        .iter()
        .enumerate()
        .filter_map(|(index, result)| Some((index, result.as_ref().err()?)))
        .map(|(index, error)| json!({ "index": index, "code": error.code, "message": error.message }))
        .collect();
    Ok(json!({ "accepted": results.len() - errors.len(), "errors": errors }))
}

/// Answers one batch.
async fn answer(shared: &Arc<Shared>, peer: &Peer, raw: Bytes) -> Result<String, RpcError> {
    // A transaction takes a hundred bytes at least: what this admits too early is bounded by the batch's size.
    if !peer.rate.take((raw.len() / 100).max(1)) {
        let text = format!("request rate limit of {} a second exceeded", peer.rate.per_second());
        return Err(RpcError::limit_exceeded(text));
    }
    blocking(shared, move |handler| submit(handler, &raw)).await?.map(|report| report.to_string())
}

fn error_text(error: &RpcError) -> String {
    json!({ "accepted": 0, "error": { "code": error.code, "message": error.message } }).to_string()
}

pub(crate) async fn post(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Arc<Peer>>,
    body: Body,
) -> Response {
    let raw = match read_body(&shared.config.limits, body).await {
        Ok(raw) => raw,
        Err((status, error)) => return refusal(status, error),
    };
    match answer(&shared, &peer, raw.into()).await {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => refusal(StatusCode::BAD_REQUEST, error),
    }
}

pub(crate) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Arc<Peer>>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => {
            let limit = shared.config.limits.body_bytes;
            upgrade.max_message_size(limit).max_frame_size(limit).on_upgrade(move |socket| serve(socket, shared, peer))
        }
        Err(_) => {
            "Candela: POST concatenated RLP of transactions here, or stream it over a WebSocket.\n".into_response()
        }
    }
}

async fn serve(mut socket: WebSocket, shared: Arc<Shared>, peer: Arc<Peer>) {
    let patience = shared.config.limits.websocket_timeout;
    let mut closing = shared.closing.clone();
    loop {
        let message = tokio::select! {
            message = timeout(patience, socket.recv()) => message,
            _ = closing.changed() => return,
        };
        let raw = match message {
            Ok(Some(Ok(Message::Binary(raw)))) => raw,
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
            _ => return,
        };
        let text = answer(&shared, &peer, raw.into()).await.unwrap_or_else(|error| error_text(&error));
        if !matches!(timeout(patience, socket.send(Message::Text(text.into()))).await, Ok(Ok(()))) {
            return;
        }
    }
}
