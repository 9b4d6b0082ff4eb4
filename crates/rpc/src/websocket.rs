//! JSON-RPC over WebSocket, with subscriptions.

use crate::{
    RpcError,
    connection::execute,
    filters::random_id,
    methods::LogQuery,
    protocol::{Answer, Call, Incoming, Json, Params},
    rate::Rate,
    server::Shared,
    types,
};
use axum::extract::ws::{Message, WebSocket};
use candela_archive::{ArchivedBlock, LogFilter};
use candela_primitives::Transaction;
use futures::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{interval, timeout},
};

enum Subscription {
    Heads,
    Logs(LogFilter),
    Pending { full: bool },
}

struct Session {
    shared: Arc<Shared>,
    rate: Arc<Rate>,
    outgoing: SplitSink<WebSocket, Message>,
    subscriptions: BTreeMap<u128, Subscription>,
}

/// The connection ends.
struct Gone;

pub(crate) async fn serve(socket: WebSocket, shared: Arc<Shared>, rate: Arc<Rate>) {
    let (outgoing, mut incoming) = socket.split();
    let feed = shared.handler.context.feed.clone();
    // Listening from the start, so that no block falls between subscribing and listening.
    let mut blocks = feed.blocks();
    let mut pending: Option<Receiver<Transaction>> = None;
    let mut closing = shared.closing.clone();
    let mut ping = interval(shared.config.limits.websocket_timeout);
    let mut session = Session { shared, rate, outgoing, subscriptions: BTreeMap::new() };
    loop {
        let turn = tokio::select! {
            message = incoming.next() => session.message(message).await,
            block = blocks.recv() => session.block(block).await,
            transaction = next(&mut pending) => session.pending(transaction).await,
            _ = ping.tick() => session.send(Message::Ping(Default::default())).await,
            _ = closing.changed() => Err(Gone),
        };
        if turn.is_err() {
            let _ = timeout(session.shared.config.limits.websocket_timeout, session.outgoing.close()).await;
            return;
        }
        let wanted = session.subscriptions.values().any(|each| matches!(each, Subscription::Pending { .. }));
        if wanted && pending.is_none() {
            pending = Some(feed.pending());
        } else if !wanted {
            pending = None;
        }
    }
}

async fn next(receiver: &mut Option<Receiver<Transaction>>) -> Result<Transaction, RecvError> {
    match receiver {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

impl Session {
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        // A peer that does not read holds up only itself, and not for long.
        match timeout(self.shared.config.limits.websocket_timeout, self.outgoing.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }

    async fn text(&mut self, text: String) -> Result<(), Gone> {
        self.send(Message::Text(text.into())).await
    }

    async fn message(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Gone> {
        let bytes = match message {
            Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
            Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            None | Some(Ok(Message::Close(_)) | Err(_)) => return Err(Gone),
        };
        let incoming = match Incoming::parse(&bytes, &self.shared.config.limits) {
            Ok(incoming) => incoming,
            Err((id, error)) => return self.text(Answer::error(id, error).text()).await,
        };
        if !self.rate.take(incoming.len()) {
            let error = RpcError::limit_exceeded("request rate limit exceeded");
            return self.text(Answer::error(Value::Null, error).text()).await;
        }
        let answer = match incoming {
            Incoming::One(Ok(call)) if call.method == "eth_subscribe" || call.method == "eth_unsubscribe" => {
                let outcome = self.subscription_call(&call);
                Some(Answer { id: call.id.or_null(), outcome }.text())
            }
            other => execute(&self.shared, other).await,
        };
        match answer {
            Some(text) => self.text(text).await,
            None => Ok(()),
        }
    }

    fn subscription_call(&mut self, call: &Call) -> Result<Json, RpcError> {
        let mut params = Params::new(call.params.clone(), 2)?;
        if call.method == "eth_unsubscribe" {
            let id: String = params.required()?;
            let known = u128::from_str_radix(id.strip_prefix("0x").unwrap_or(&id), 16);
            return match known.ok().and_then(|id| self.subscriptions.remove(&id)) {
                Some(_) => Json::of(&true),
                None => Err(RpcError::server("subscription not found")),
            };
        }
        if self.subscriptions.len() >= self.shared.config.limits.subscriptions {
            return Err(RpcError::limit_exceeded("too many subscriptions on this connection"));
        }
        let name: String = params.required()?;
        let subscription = match name.as_str() {
            "newHeads" => Subscription::Heads,
            "newPendingTransactions" => Subscription::Pending { full: params.optional()?.unwrap_or(false) },
            "logs" => {
                let query = params.optional::<LogQuery>()?;
                Subscription::Logs(query.map(|query| query.filter).unwrap_or_default())
            }
            other => {
                return Err(RpcError {
                    code: -32601,
                    message: format!("no {other:?} subscription in eth namespace"),
                    data: None,
                });
            }
        };
        let id = random_id();
        self.subscriptions.insert(id, subscription);
        Json::of(&format!("{id:#x}"))
    }

    async fn notify(&mut self, notices: Vec<(u128, Value)>) -> Result<(), Gone> {
        for (id, result) in notices {
            let params = json!({ "subscription": format!("{id:#x}"), "result": result });
            let notice = json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params });
            self.text(notice.to_string()).await?;
        }
        Ok(())
    }

    async fn block(&mut self, block: Result<Arc<ArchivedBlock>, RecvError>) -> Result<(), Gone> {
        // A peer that has fallen behind by more than the feed holds has missed blocks: it must reconnect and catch up.
        let block = block.map_err(|_| Gone)?;
        let mut notices = Vec::new();
        for (id, subscription) in &self.subscriptions {
            match subscription {
                Subscription::Heads => notices.push((*id, types::header(&block))),
                Subscription::Logs(filter) => notices.extend(block.logs(filter).map(|log| (*id, types::log(&log)))),
                Subscription::Pending { .. } => {}
            }
        }
        self.notify(notices).await
    }

    async fn pending(&mut self, transaction: Result<Transaction, RecvError>) -> Result<(), Gone> {
        let transaction = match transaction {
            Ok(transaction) => transaction,
            // Pending transactions are news, not records: what was missed is not repeated.
            Err(RecvError::Lagged(_)) => return Ok(()),
            Err(RecvError::Closed) => return Err(Gone),
        };
        let mut notices = Vec::new();
        for (id, subscription) in &self.subscriptions {
            if let Subscription::Pending { full } = subscription {
                let result = if *full { types::pending_transaction(&transaction) } else { json!(transaction.hash()) };
                notices.push((*id, result));
            }
        }
        self.notify(notices).await
    }
}
