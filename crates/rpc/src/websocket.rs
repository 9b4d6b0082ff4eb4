//! JSON-RPC over WebSocket, with subscriptions.

use crate::{
    RpcError,
    connection::{Peer, execute},
    filters::random_id,
    methods::LogQuery,
    protocol::{Answer, Call, Incoming, Json, Params},
    server::Shared,
    types,
};
use axum::{
    body::Bytes,
    extract::ws::{Message, WebSocket},
};
use candela_archive::{ArchivedBlock, LogFilter};
use candela_primitives::Transaction;
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore,
        broadcast::{Receiver, error::RecvError},
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    time::{interval, timeout},
};

enum Subscription {
    Heads,
    Logs(LogFilter),
    Pending { full: bool },
}

/// The connection ends.
struct Gone;

/// The way out of a connection. What waits in it is bounded in bytes, whatever the peer does.
#[derive(Clone)]
struct Outbox {
    messages: UnboundedSender<(Message, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    most: usize,
}

impl Outbox {
    /// Bytes that a message takes beside its text.
    const OVERHEAD: usize = 256;

    fn weight(&self, text: &str) -> u32 {
        u32::try_from((text.len() + Self::OVERHEAD).min(self.most)).unwrap_or(u32::MAX)
    }

    /// Sends an answer, once there is room for it.
    async fn answer(&self, text: String) -> Result<(), Gone> {
        let room = self.room.clone().acquire_many_owned(self.weight(&text)).await.map_err(|_| Gone)?;
        self.messages.send((Message::Text(text.into()), room)).map_err(|_| Gone)
    }

    /// Sends news; a peer that has let too much of it pile up is given up.
    fn notify(&self, text: String) -> Result<(), Gone> {
        let room = self.room.clone().try_acquire_many_owned(self.weight(&text)).map_err(|_| Gone)?;
        self.messages.send((Message::Text(text.into()), room)).map_err(|_| Gone)
    }

    fn ping(&self) -> Result<(), Gone> {
        let Ok(room) = self.room.clone().try_acquire_owned() else { return Ok(()) };
        self.messages.send((Message::Ping(Default::default()), room)).map_err(|_| Gone)
    }
}

/// Writes what is in the outbox until the connection is gone; a peer that does not read is given `patience`.
async fn write(
    mut outgoing: SplitSink<WebSocket, Message>,
    mut messages: UnboundedReceiver<(Message, OwnedSemaphorePermit)>,
    patience: Duration,
) {
    while let Some((message, _room)) = messages.recv().await {
        if !matches!(timeout(patience, outgoing.send(message)).await, Ok(Ok(()))) {
            break;
        }
    }
    let _ = timeout(patience, outgoing.close()).await;
}

/// The next message, once there is a place to work on it.
async fn read(
    incoming: &mut SplitStream<WebSocket>,
    places: &Arc<Semaphore>,
) -> Option<(Result<Message, axum::Error>, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    Some((incoming.next().await?, place))
}

struct Session {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    outbox: Outbox,
    subscriptions: BTreeMap<u128, Subscription>,
    /// Pending transactions, while a subscription wants them.
    transactions: Option<Receiver<Transaction>>,
    /// Whether the peer has sent anything, if only a pong, since it was last asked.
    alive: bool,
}

pub(crate) async fn serve(socket: WebSocket, shared: Arc<Shared>, peer: Arc<Peer>) {
    let limits = shared.config.limits.clone();
    let (outgoing, mut incoming) = socket.split();
    let (messages, waiting) = unbounded_channel();
    let writer = tokio::spawn(write(outgoing, waiting, limits.websocket_timeout));
    let room = Arc::new(Semaphore::new(limits.websocket_queue_bytes));
    let outbox = Outbox { messages, room, most: limits.websocket_queue_bytes };

    let places = Arc::new(Semaphore::new(limits.websocket_requests));
    // Listening from the start, so that no block falls between subscribing and listening.
    let mut blocks = shared.handler.context.feed.blocks();
    let mut closing = shared.closing.clone();
    let mut ping = interval(limits.websocket_timeout);
    let mut session = Session { shared, peer, outbox, subscriptions: BTreeMap::new(), transactions: None, alive: true };
    let gone = session.outbox.clone();
    loop {
        let turn = tokio::select! {
            message = read(&mut incoming, &places) => session.message(message),
            block = blocks.recv() => session.block(block),
            transaction = next(&mut session.transactions) => session.pending(transaction),
            _ = ping.tick() => session.ping(),
            () = gone.messages.closed() => Err(Gone),
            _ = closing.changed() => Err(Gone),
        };
        if turn.is_err() {
            break;
        }
    }
    // Requests that are still worked on find nobody to answer to.
    gone.room.close();
    drop((session, gone));
    let _ = writer.await;
}

async fn next(receiver: &mut Option<Receiver<Transaction>>) -> Result<Transaction, RecvError> {
    match receiver {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

impl Session {
    fn ping(&mut self) -> Result<(), Gone> {
        if !std::mem::take(&mut self.alive) {
            return Err(Gone);
        }
        self.outbox.ping()
    }

    /// Takes a message in; what needs more than this connection is worked on aside and answered when it is done.
    fn message(&mut self, message: Option<(Result<Message, axum::Error>, OwnedSemaphorePermit)>) -> Result<(), Gone> {
        let (message, place) = message.ok_or(Gone)?;
        self.alive = true;
        let bytes = match message {
            Ok(Message::Text(text)) => Bytes::from(text),
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Ping(_) | Message::Pong(_)) => return Ok(()),
            Ok(Message::Close(_)) | Err(_) => return Err(Gone),
        };
        let incoming = match Incoming::parse(&bytes, &self.shared.config.limits) {
            Ok(incoming) => incoming,
            Err((id, error)) => return self.refuse(place, id, error),
        };
        if !self.peer.rate.take(incoming.len()) {
            let text = format!("request rate limit of {} a second exceeded", self.peer.rate.per_second());
            return self.refuse(place, Value::Null, RpcError::limit_exceeded(text));
        }
        match incoming {
            Incoming::One(Ok(call)) if call.method == "eth_subscribe" || call.method == "eth_unsubscribe" => {
                let outcome = self.subscription_call(&call);
                // Before any news of the subscription.
                self.outbox.notify(Answer { id: call.id.or_null(), outcome }.text())
            }
            incoming => {
                let (shared, outbox) = (self.shared.clone(), self.outbox.clone());
                tokio::spawn(async move {
                    if let Some(text) = execute(&shared, incoming).await {
                        let _ = outbox.answer(text).await;
                    }
                    drop(place);
                });
                Ok(())
            }
        }
    }

    /// Answers what was not worked on; the place is held until there is room for the answer.
    fn refuse(&self, place: OwnedSemaphorePermit, id: Value, error: RpcError) -> Result<(), Gone> {
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            let _ = outbox.answer(Answer::error(id, error).text()).await;
            drop(place);
        });
        Ok(())
    }

    fn subscription_call(&mut self, call: &Call) -> Result<Json, RpcError> {
        let mut params = Params::new(call.params.clone(), 2)?;
        if call.method == "eth_unsubscribe" {
            let id: String = params.required()?;
            let known = u128::from_str_radix(id.strip_prefix("0x").unwrap_or(&id), 16);
            if known.ok().and_then(|id| self.subscriptions.remove(&id)).is_none() {
                return Err(RpcError::server("subscription not found"));
            }
            if !self.subscriptions.values().any(|each| matches!(each, Subscription::Pending { .. })) {
                self.transactions = None;
            }
            return Json::of(&true);
        }
        if self.subscriptions.len() >= self.shared.config.limits.subscriptions {
            return Err(RpcError::limit_exceeded("too many subscriptions on this connection"));
        }
        let name: String = params.required()?;
        let subscription = match name.as_str() {
            "newHeads" => Subscription::Heads,
            "newPendingTransactions" => {
                let full = params.optional()?.unwrap_or(false);
                self.transactions.get_or_insert_with(|| self.shared.handler.context.feed.pending());
                Subscription::Pending { full }
            }
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

    fn notify(&self, id: u128, result: Value) -> Result<(), Gone> {
        let params = json!({ "subscription": format!("{id:#x}"), "result": result });
        self.outbox.notify(json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params }).to_string())
    }

    fn block(&self, block: Result<Arc<ArchivedBlock>, RecvError>) -> Result<(), Gone> {
        // A peer that has fallen behind by more than the feed holds has missed blocks: it must reconnect and catch up.
        let block = block.map_err(|_| Gone)?;
        for (id, subscription) in &self.subscriptions {
            match subscription {
                Subscription::Heads => self.notify(*id, types::header(&block))?,
                Subscription::Logs(filter) => {
                    block.logs(filter).try_for_each(|log| self.notify(*id, types::log(&log)))?;
                }
                Subscription::Pending { .. } => {}
            }
        }
        Ok(())
    }

    fn pending(&self, transaction: Result<Transaction, RecvError>) -> Result<(), Gone> {
        let transaction = match transaction {
            Ok(transaction) => transaction,
            // Pending transactions are news, not records: what was missed is not repeated.
            Err(RecvError::Lagged(_)) => return Ok(()),
            Err(RecvError::Closed) => return Err(Gone),
        };
        for (id, subscription) in &self.subscriptions {
            if let Subscription::Pending { full } = subscription {
                let result = if *full { types::pending_transaction(&transaction) } else { json!(transaction.hash()) };
                self.notify(*id, result)?;
            }
        }
        Ok(())
    }
}
