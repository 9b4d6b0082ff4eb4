//! Tell whether the node is well, and count what it does.

use candela_consensus::{EngineError, Progress};
use candela_ledger::Finalized;
use candela_rpc::Metric;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;

/// Age of the head above which a node is behind, or its network stands still: an idle network makes a block a minute.
const STALE: Duration = Duration::from_secs(180);

type Outcome = Option<Result<(), EngineError>>;

/// What the node knows about itself.
#[derive(Default)]
pub(crate) struct Vitals {
    engine: OnceLock<watch::Receiver<Outcome>>,
    progress: Progress,
    blocks: AtomicU64,
    transactions: AtomicU64,
    gas: AtomicU64,
}

impl Vitals {
    pub(crate) const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Follows an engine from its start on.
    pub(crate) fn watch(&self, outcome: watch::Receiver<Outcome>) {
        let _ = self.engine.set(outcome);
    }

    pub(crate) fn count(&self, block: &Finalized) {
        self.blocks.fetch_add(1, Relaxed);
        self.transactions.fetch_add(u64::try_from(block.transactions.len()).unwrap_or(u64::MAX), Relaxed);
        self.gas.fetch_add(block.block.header.gas_used(), Relaxed);
    }

    /// Why the engine ended; `None` while it runs or has yet to start.
    pub(crate) fn failure(&self) -> Option<String> {
        let outcome = self.engine.get()?.borrow().clone()?;
        Some(outcome.err().map_or_else(|| "the node is stopping".to_owned(), |error| error.to_string()))
    }

    /// Why a node whose head is as old as `age` should not be asked for the newest state; `None` when it may be.
    pub(crate) fn unready(&self, age: Duration) -> Option<String> {
        if self.engine.get().is_none() {
            return Some("consensus has not started yet".to_owned());
        }
        let stale = || {
            let seconds = age.as_secs();
            format!("the last block is {seconds} s old: the node is catching up, or its network stands still")
        };
        self.failure().or_else(|| (age > STALE).then(stale))
    }

    pub(crate) fn metrics(&self, double_votes: usize) -> Vec<Metric> {
        let position = self.progress.position();
        let running = self.engine.get().is_some() && self.failure().is_none();
        let double_votes = u64::try_from(double_votes).unwrap_or(u64::MAX);
        vec![
            Metric::counter("candela_blocks_total", "Blocks made final since the start.", self.blocks.load(Relaxed)),
            Metric::counter(
                "candela_transactions_total",
                "Transactions made final since the start.",
                self.transactions.load(Relaxed),
            ),
            Metric::counter("candela_gas_total", "Gas of blocks made final since the start.", self.gas.load(Relaxed)),
            Metric::gauge("candela_consensus_running", "1 while the node agrees on blocks.", u64::from(running)),
            Metric::gauge("candela_consensus_epoch", "Epoch of the next block.", position.epoch),
            Metric::gauge("candela_consensus_seats", "Seats of the epoch.", position.seats),
            Metric::gauge(
                "candela_consensus_votes",
                "1 when the node has a seat and may vote.",
                u64::from(position.votes),
            ),
            Metric::gauge("candela_consensus_view", "Last view of the epoch with a certificate.", position.view),
            Metric::counter(
                "candela_consensus_nullified_views_total",
                "Views since the start that ended without a block.",
                position.nullified,
            ),
            Metric::gauge(
                "candela_consensus_double_votes",
                "Double votes that the node has evidence of.",
                double_votes,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_while_its_engine_runs_and_its_head_is_young() {
        let vitals = Vitals::default();
        let young = Duration::from_secs(60);
        assert!(vitals.unready(young).unwrap().contains("not started"));
        assert_eq!(vitals.failure(), None);
        let (sender, receiver) = watch::channel(None);
        vitals.watch(receiver);
        assert_eq!(vitals.unready(young), None);
        assert_eq!(vitals.unready(STALE), None);
        assert!(vitals.unready(STALE + Duration::from_secs(1)).unwrap().contains("181 s old"));
        sender.send_replace(Some(Err(EngineError::Key)));
        assert_eq!(vitals.unready(young), Some(EngineError::Key.to_string()));
        assert_eq!(vitals.failure(), Some(EngineError::Key.to_string()));
    }
}
