//! Answer Ethereum JSON-RPC over HTTP and WebSocket from the ledger and the archive.
//!
//! [`Server::start`] binds one port for both transports. What it answers comes from an [`RpcContext`]: the archive for
//! what happened, the pool for what waits, and a [`Chain`] for state, execution and submission. Texts and codes of
//! errors are go-ethereum's; [`RpcError`] is the one place where an error becomes a code.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod chain;
mod config;
mod connection;
mod context;
mod error;
mod exports;
mod feed;
mod filters;
mod handler;
mod ingress;
mod methods;
mod metrics;
mod protocol;
mod rate;
mod revert;
mod server;
mod types;
mod websocket;

pub use chain::{Chain, DoubleVote, EthereumBody};
pub use config::{Limits, RpcConfig};
pub use context::RpcContext;
pub use error::RpcError;
pub use feed::Feed;
pub use metrics::{Metric, MetricKind};
pub use protocol::count_requests;
pub use server::{Server, StartError};
