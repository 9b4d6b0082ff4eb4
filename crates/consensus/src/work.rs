//! Wake a waiting proposer.

use std::sync::Arc;
use tokio::sync::{Notify, futures::Notified};

/// Announces that a transaction may be ready for a block; clones announce to the same engine.
///
/// Announcing is cheap, needs no async runtime and may happen spuriously: the proposer asks the state machine.
#[derive(Clone, Debug, Default)]
pub struct WorkSignal(Arc<Notify>);

impl WorkSignal {
    /// A signal that nobody waits for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes whoever waits, the first to wait first: in a simulation the order must not depend on anything else.
    pub fn notify(&self) {
        self.0.notify_waiters();
    }

    /// Ends at the next announcement after this call.
    pub(crate) fn announced(&self) -> Notified<'_> {
        self.0.notified()
    }
}
