//! Accept connections, bound them, and answer HTTP and WebSocket on them.

use crate::{
    RpcError,
    methods::SyncWait,
    protocol::{Answer, Call, Id, Incoming, Json},
    rate::Rate,
    server::Shared,
    websocket,
};
use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{State, WebSocketUpgrade},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{rt::TokioExecutor, rt::TokioIo, rt::TokioTimer, service::TowerToHyperService};
use serde_json::Value;
use std::sync::Arc;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, broadcast::error::RecvError},
    time::{Instant, timeout, timeout_at},
};
use tower_http::cors::{Any, CorsLayer};

fn cors(origins: &[String]) -> CorsLayer {
    let layer = CorsLayer::new().allow_methods(Any).allow_headers(Any);
    if origins.iter().any(|origin| origin == "*") {
        return layer.allow_origin(Any);
    }
    layer.allow_origin(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect::<Vec<_>>())
}

/// Accepts connections until the server closes.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(shared.config.limits.connections));
    let routes = Router::new()
        .route("/", get(upgrade).post(post))
        .route("/health", get(health))
        .layer(cors(&shared.config.cors_origins))
        .with_state(shared.clone());
    let mut closing = shared.closing.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.changed() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        // Too many connections: the newcomer is closed, those that are served stay.
        let Ok(place) = room.clone().try_acquire_owned() else { continue };
        let (routes, shared) = (routes.clone(), shared.clone());
        tokio::spawn(async move {
            drive(stream, routes, &shared).await;
            drop(place);
        });
    }
}

async fn drive(stream: TcpStream, routes: Router, shared: &Shared) {
    let limits = &shared.config.limits;
    let _ = stream.set_nodelay(true);
    let rate = Arc::new(Rate::new(limits.requests_per_second));
    let service = TowerToHyperService::new(routes.layer(Extension(rate)));
    // HTTP/1 alone: the header timeout then counts from the first moment of a connection.
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut closing = shared.closing.clone();
    tokio::select! {
        _ = connection => {}
        _ = closing.changed() => {}
    }
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    match shared.handler.head() {
        Ok(head) => format!("{{\"block\":{}}}\n", head.number()).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(rate): Extension<Arc<Rate>>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => {
            let limit = shared.config.limits.body_bytes;
            upgrade
                .max_message_size(limit)
                .max_frame_size(limit)
                .on_upgrade(move |socket| websocket::serve(socket, shared, rate))
        }
        Err(_) => "Candela JSON-RPC: POST requests here, or open a WebSocket.\n".into_response(),
    }
}

fn json(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn refusal(status: StatusCode, error: RpcError) -> Response {
    json(status, Answer::error(Value::Null, error).text())
}

async fn post(State(shared): State<Arc<Shared>>, Extension(rate): Extension<Arc<Rate>>, body: Body) -> Response {
    let limits = &shared.config.limits;
    let bytes = match timeout(limits.body_timeout, to_bytes(body, limits.body_bytes)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let text = format!("content length too large: at most {} bytes are read", limits.body_bytes);
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, RpcError::invalid_request(text));
        }
        Err(_) => return refusal(StatusCode::REQUEST_TIMEOUT, RpcError::invalid_request("body came too slowly")),
    };
    match answer(&shared, &rate, &bytes).await {
        Some(text) => json(StatusCode::OK, text),
        None => StatusCode::OK.into_response(),
    }
}

/// Answers one body or message; `None` when nothing is to be answered.
pub(crate) async fn answer(shared: &Arc<Shared>, rate: &Rate, bytes: &[u8]) -> Option<String> {
    let incoming = match Incoming::parse(bytes, &shared.config.limits) {
        Ok(incoming) => incoming,
        Err((id, error)) => return Some(Answer::error(id, error).text()),
    };
    if !rate.take(incoming.len()) {
        let text = format!("request rate limit of {} a second exceeded", shared.config.limits.requests_per_second);
        return Some(Answer::error(Value::Null, RpcError::limit_exceeded(text)).text());
    }
    execute(shared, incoming).await
}

/// Runs requests on a thread that may block.
pub(crate) async fn execute(shared: &Arc<Shared>, incoming: Incoming) -> Option<String> {
    if let Incoming::One(Ok(call)) = &incoming
        && call.method == "eth_sendRawTransactionSync"
    {
        let Incoming::One(Ok(call)) = incoming else { return None };
        return send_sync(shared, call).await;
    }
    let Ok(_turn) = shared.executing.acquire().await else { return None };
    let handler = shared.handler.clone();
    match tokio::task::spawn_blocking(move || handler.answer(incoming)).await {
        Ok(answer) => answer,
        Err(failure) => {
            tracing::error!(%failure, "a request failed unexpectedly");
            Some(Answer::error(Value::Null, RpcError::internal("the request failed unexpectedly")).text())
        }
    }
}

/// EIP-7966: submit, and answer with the receipt.
async fn send_sync(shared: &Arc<Shared>, call: Call) -> Option<String> {
    let outcome = wait_for_receipt(shared, call.params).await;
    match call.id {
        Id::Absent => None,
        Id::Present(id) => Some(Answer { id, outcome }.text()),
    }
}

async fn wait_for_receipt(shared: &Arc<Shared>, params: Option<Value>) -> Result<Json, RpcError> {
    let mut blocks = shared.handler.context.feed.blocks();
    let handler = shared.handler.clone();
    let submitted = tokio::task::spawn_blocking(move || SyncWait::submit(&handler, params)).await;
    let wait = submitted.map_err(|failure| RpcError::internal(failure.to_string()))??;
    let deadline = Instant::now() + wait.timeout;
    loop {
        if let Some(receipt) = wait.receipt(&shared.handler)? {
            return Ok(receipt);
        }
        match timeout_at(deadline, blocks.recv()).await {
            Err(_) => return Err(wait.timed_out()),
            Ok(Err(RecvError::Closed)) => return Err(RpcError::internal("the node is stopping")),
            Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
        }
    }
}
