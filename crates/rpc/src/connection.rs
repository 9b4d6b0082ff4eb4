//! Accept connections, bound them, and answer HTTP and WebSocket on them.

use crate::{
    Limits, RpcError,
    handler::Handler,
    ingress,
    methods::SyncWait,
    metrics,
    protocol::{Answer, Answers, Call, Id, Incoming, Json, Member},
    rate::Rate,
    server::Shared,
    websocket,
};
use axum::{
    Extension, Router,
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{State, WebSocketUpgrade},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{rt::TokioExecutor, rt::TokioIo, rt::TokioTimer, service::TowerToHyperService};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, broadcast::error::RecvError},
    time::{Duration, Instant, sleep, timeout, timeout_at},
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
    let routes = Router::new()
        .route("/", get(upgrade).post(post))
        .route("/transactions", get(ingress::upgrade).post(ingress::post))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(show_metrics))
        .layer(cors(&shared.config.cors_origins))
        .with_state(shared.clone());
    let mut closing = shared.closing.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.changed() => return,
        };
        let Ok((stream, _)) = accepted else {
            // Most often the process has no file left to open: trying at once again would only burn time.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Too many connections: the newcomer is closed, those that are served stay.
        let Ok(place) = shared.room.clone().try_acquire_owned() else { continue };
        let (routes, shared) = (routes.clone(), shared.clone());
        let peer = Arc::new(Peer { rate: Rate::new(shared.config.limits.requests_per_second), _place: place });
        tokio::spawn(async move { drive(stream, routes.layer(Extension(peer)), &shared).await });
    }
}

/// One connection: what it may ask for, and its place among all connections, which a WebSocket keeps.
pub(crate) struct Peer {
    pub(crate) rate: Rate,
    _place: OwnedSemaphorePermit,
}

async fn drive(stream: TcpStream, routes: Router, shared: &Shared) {
    let limits = &shared.config.limits;
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(routes);
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

/// The newest block, and what is wrong, if anything is.
fn condition(shared: &Shared, trouble: Option<String>) -> Response {
    let block = shared.handler.head().map_or(Value::Null, |head| head.number().into());
    let (status, body) = match trouble {
        None => (StatusCode::OK, json!({ "block": block })),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, json!({ "block": block, "error": why })),
    };
    json(status, format!("{body}\n"))
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    condition(&shared, shared.handler.context.chain.failure())
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    condition(&shared, shared.handler.context.chain.unready())
}

async fn show_metrics(State(shared): State<Arc<Shared>>, Extension(peer): Extension<Arc<Peer>>) -> Response {
    if !peer.rate.take(1) {
        return refusal(StatusCode::TOO_MANY_REQUESTS, RpcError::limit_exceeded("request rate limit exceeded"));
    }
    let connections = shared.config.limits.connections.saturating_sub(shared.room.available_permits());
    match blocking(&shared, move |handler| metrics::text(handler, connections)).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Ok(Err(error)) | Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Arc<Peer>>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => {
            let limit = shared.config.limits.body_bytes;
            upgrade
                .max_message_size(limit)
                .max_frame_size(limit)
                .on_upgrade(move |socket| websocket::serve(socket, shared, peer))
        }
        Err(_) => "Candela JSON-RPC: POST requests here, or open a WebSocket.\n".into_response(),
    }
}

fn json(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

pub(crate) fn refusal(status: StatusCode, error: RpcError) -> Response {
    json(status, Answer::error(Value::Null, error).text())
}

/// Reads a request body within its limits of size and time.
pub(crate) async fn read_body(limits: &Limits, body: Body) -> Result<Bytes, (StatusCode, RpcError)> {
    let too_large = || {
        let text = format!("content length too large: at most {} bytes are read", limits.body_bytes);
        (StatusCode::PAYLOAD_TOO_LARGE, RpcError::invalid_request(text))
    };
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(too_large());
    }
    match timeout(limits.body_timeout, to_bytes(body, limits.body_bytes)).await {
        Ok(read) => read.map_err(|_| too_large()),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, RpcError::invalid_request("body came too slowly"))),
    }
}

async fn post(State(shared): State<Arc<Shared>>, Extension(peer): Extension<Arc<Peer>>, body: Body) -> Response {
    let bytes = match read_body(&shared.config.limits, body).await {
        Ok(bytes) => bytes,
        Err((status, error)) => return refusal(status, error),
    };
    match answer(&shared, &peer.rate, &bytes).await {
        Some(text) => json(StatusCode::OK, text),
        None => StatusCode::OK.into_response(),
    }
}

/// Answers one body or message; `None` when nothing is to be answered.
async fn answer(shared: &Arc<Shared>, rate: &Rate, bytes: &[u8]) -> Option<String> {
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

/// Works on a request or a batch; `None` when nothing is to be answered.
pub(crate) async fn execute(shared: &Arc<Shared>, incoming: Incoming) -> Option<String> {
    match incoming {
        Incoming::One(Ok(call)) if waits(&call) => send_sync(shared, call).await.map(|answer| answer.text()),
        Incoming::One(member) => match blocking(shared, move |handler| handler.member(member)).await {
            Ok(answer) => answer.map(|answer| answer.text()),
            Err(error) => Some(Answer::error(Value::Null, error).text()),
        },
        Incoming::Batch(members) => match batch(shared, members).await {
            Ok(answers) => answers.text(),
            Err(error) => Some(Answer::error(Value::Null, error).text()),
        },
    }
}

/// Whether a call waits for a block, so that it must not hold a thread.
fn waits(call: &Call) -> bool {
    call.method == "eth_sendRawTransactionSync"
}

/// Answers the members in order; those between two that wait are worked on together.
async fn batch(shared: &Arc<Shared>, members: Vec<Member>) -> Result<Answers, RpcError> {
    let mut answers = Answers::new(shared.config.limits.response_bytes);
    let mut members = members.into_iter().peekable();
    while members.peek().is_some() {
        let ready = |member: &Member| answers.full() || !member.as_ref().is_ok_and(waits);
        let run: Vec<Member> = std::iter::from_fn(|| members.next_if(ready)).collect();
        if run.is_empty() {
            if let Some(Ok(call)) = members.next() {
                answers.extend(send_sync(shared, call).await);
            }
            continue;
        }
        answers = blocking(shared, move |handler| {
            handler.batch(run, &mut answers);
            answers
        })
        .await?;
    }
    Ok(answers)
}

/// Runs `work` on a thread that may block, once it is this request's turn.
pub(crate) async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Handler) -> T + Send + 'static,
) -> Result<T, RpcError> {
    let _turn = shared.executing.acquire().await.map_err(|_| RpcError::internal("the node is stopping"))?;
    let handler = shared.handler.clone();
    tokio::task::spawn_blocking(move || work(&handler)).await.map_err(|failure| {
        tracing::error!(%failure, "a request failed unexpectedly");
        RpcError::internal("the request failed unexpectedly")
    })
}

/// EIP-7966: submit, and answer with the receipt.
async fn send_sync(shared: &Arc<Shared>, call: Call) -> Option<Answer> {
    let outcome = wait_for_receipt(shared, call.params).await;
    shared.handler.requests.count(&outcome);
    match call.id {
        Id::Absent => None,
        Id::Present(id) => Some(Answer { id, outcome }),
    }
}

async fn wait_for_receipt(shared: &Arc<Shared>, params: Option<Value>) -> Result<Json, RpcError> {
    let mut blocks = shared.handler.context.feed.blocks();
    let wait = blocking(shared, move |handler| SyncWait::submit(handler, params)).await??;
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
