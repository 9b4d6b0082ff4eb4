//! Where the server listens and what it lets a client do.

use std::net::SocketAddr;
use std::time::Duration;

/// Configuration of a [`crate::Server`].
#[derive(Clone, Debug)]
pub struct RpcConfig {
    /// Address of HTTP and WebSocket; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Origins that browsers may call from; `*` allows every one, an empty list none.
    pub cors_origins: Vec<String>,
    /// Threads that drive connections.
    pub threads: usize,
    /// What a client may do.
    pub limits: Limits,
}

impl RpcConfig {
    /// Defaults for `address`: every origin, two threads, [`Limits::default`].
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, cors_origins: vec!["*".to_owned()], threads: 2, limits: Limits::default() }
    }
}

/// Bounds on everything that a client can make the server do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time, over both transports.
    pub connections: usize,
    /// Bytes of one request body or WebSocket message (geth: 5 MiB).
    pub body_bytes: usize,
    /// Nesting of arrays and objects in a request.
    pub depth: usize,
    /// Elements and members in a request, over all levels.
    pub nodes: usize,
    /// Requests in one batch (geth: 1,000).
    pub batch_requests: usize,
    /// Transactions in one binary batch.
    pub binary_transactions: usize,
    /// Bytes of all results in one response (geth: 25 MB for a batch).
    pub response_bytes: usize,
    /// Requests a second on one connection, each member of a batch counted.
    pub requests_per_second: u32,
    /// Requests executing at a time, over all connections; more wait.
    pub concurrent_requests: usize,
    /// Time to send the head of an HTTP request, and to send the next one on a kept connection.
    pub header_timeout: Duration,
    /// Time to send the body of an HTTP request.
    pub body_timeout: Duration,
    /// Time a WebSocket peer may take to accept a message, or to answer a ping.
    pub websocket_timeout: Duration,
    /// Gas of one call or estimate (geth: 50 million).
    pub call_gas: u64,
    /// Logs in one answer.
    pub logs: usize,
    /// Blocks that one log query may span.
    pub log_blocks: u64,
    /// Installed filters, over all clients.
    pub filters: usize,
    /// Time after which an unpolled filter is forgotten (geth: 5 minutes).
    pub filter_timeout: Duration,
    /// Subscriptions on one connection.
    pub subscriptions: usize,
    /// Requests of one WebSocket connection that are worked on at a time; the next is read when one is answered.
    pub websocket_requests: usize,
    /// Bytes that may wait for one slow WebSocket peer: answers are held back, a notification too many closes the
    /// connection.
    pub websocket_queue_bytes: usize,
    /// Waiting time of `eth_sendRawTransactionSync` where the caller names none (geth: 20 s).
    pub sync_timeout: Duration,
    /// Longest waiting time of `eth_sendRawTransactionSync` (geth: 1 minute).
    pub sync_timeout_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            body_bytes: 5 << 20,
            depth: 64,
            nodes: 500_000,
            batch_requests: 1_000,
            binary_transactions: 50_000,
            response_bytes: 25_000_000,
            requests_per_second: 200_000,
            concurrent_requests: 64,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            websocket_timeout: Duration::from_secs(30),
            call_gas: 50_000_000,
            logs: 20_000,
            log_blocks: 100_000,
            filters: 10_000,
            filter_timeout: Duration::from_secs(300),
            subscriptions: 100,
            websocket_requests: 32,
            websocket_queue_bytes: 32 << 20,
            sync_timeout: Duration::from_secs(20),
            sync_timeout_max: Duration::from_secs(60),
        }
    }
}
