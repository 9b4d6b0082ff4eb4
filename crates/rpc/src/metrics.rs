//! Show what the node does, in Prometheus' text format. Names and meanings are a contract: docs/metrics.md.

use crate::{RpcError, handler::Handler};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The media type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How a number changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows while the process lives.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One number of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with the unit at its end.
    pub name: &'static str,
    /// What it says, in one line.
    pub help: &'static str,
    /// How it changes.
    pub kind: MetricKind,
    /// The number.
    pub value: u64,
}

impl Metric {
    /// A number that only grows while the process lives.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: MetricKind::Counter, value }
    }

    /// A number that goes up and down.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: MetricKind::Gauge, value }
    }

    fn write(&self, text: &mut String) {
        let Self { name, help, value, .. } = self;
        let kind = match self.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
}

/// What was asked over JSON-RPC.
#[derive(Default)]
pub(crate) struct Requests {
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Requests {
    pub(crate) fn count<T>(&self, outcome: &Result<T, RpcError>) {
        self.answered.fetch_add(1, Relaxed);
        self.refused.fetch_add(u64::from(outcome.is_err()), Relaxed);
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Every number of the node. The cost does not grow with the chain; counting the pool takes what `txpool_status` takes.
///
/// # Errors
/// When the archive is empty.
pub(crate) fn text(handler: &Handler, connections: usize) -> Result<String, RpcError> {
    let (head, pool) = (handler.head()?, handler.context.pool.status());
    let (answered, refused) = (handler.requests.answered.load(Relaxed), handler.requests.refused.load(Relaxed));
    let own = [
        Metric::gauge("candela_block_height", "Number of the last final block.", head.number()),
        Metric::gauge(
            "candela_block_timestamp_seconds",
            "Unix time of the last final block.",
            head.ethereum_header.timestamp,
        ),
        Metric::gauge("candela_pool_pending", "Transactions that could be executed now.", count(pool.pending)),
        Metric::gauge("candela_pool_queued", "Transactions that wait for an earlier nonce.", count(pool.queued)),
        Metric::counter("candela_rpc_requests_total", "JSON-RPC requests, members of batches among them.", answered),
        Metric::counter("candela_rpc_errors_total", "JSON-RPC requests that were answered with an error.", refused),
        Metric::gauge("candela_rpc_connections", "Open connections over HTTP and WebSocket.", count(connections)),
    ];
    let mut text = String::new();
    own.iter().chain(&handler.context.chain.metrics()).for_each(|metric| metric.write(&mut text));
    Ok(text)
}
