//! Show from outside how far agreement has come.

use crate::block::Digest;
use commonware_consensus::simplex::{scheme::ed25519::Scheme, types::Activity};
use commonware_consensus::{Epochable, Viewable};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Where an engine is; clones watch the same one.
#[derive(Clone, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Default)]
struct Counters {
    epoch: AtomicU64,
    seats: AtomicU64,
    votes: AtomicBool,
    view: AtomicU64,
    nullified_view: AtomicU64,
    nullified: AtomicU64,
}

/// Where an engine was when it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The epoch of the next block.
    pub epoch: u64,
    /// Seats of the epoch.
    pub seats: u64,
    /// Whether one of them is the node's own.
    pub votes: bool,
    /// The last view of the epoch that the node has a certificate of.
    pub view: u64,
    /// Views since the start of the process that ended without a block.
    pub nullified: u64,
}

impl Progress {
    /// Where the engine is; zeros before it runs.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            epoch: self.0.epoch.load(Relaxed),
            seats: self.0.seats.load(Relaxed),
            votes: self.0.votes.load(Relaxed),
            view: self.0.view.load(Relaxed),
            nullified: self.0.nullified.load(Relaxed),
        }
    }

    pub(crate) fn enter(&self, epoch: u64, seats: usize, votes: bool) {
        self.0.epoch.store(epoch, Relaxed);
        self.0.seats.store(u64::try_from(seats).unwrap_or(u64::MAX), Relaxed);
        self.0.votes.store(votes, Relaxed);
        self.0.view.store(0, Relaxed);
        self.0.nullified_view.store(0, Relaxed);
    }

    /// Counts what a certificate shows; votes alone show nothing.
    pub(crate) fn note(&self, activity: &Activity<Scheme, Digest>) {
        let current = activity.epoch().get() == self.0.epoch.load(Relaxed);
        if !current || !activity.verified() {
            return;
        }
        let view = activity.view().get();
        self.0.view.fetch_max(view, Relaxed);
        // The same certificate may be reported again.
        if matches!(activity, Activity::Nullification(_)) && self.0.nullified_view.fetch_max(view, Relaxed) < view {
            self.0.nullified.fetch_add(1, Relaxed);
        }
    }
}
