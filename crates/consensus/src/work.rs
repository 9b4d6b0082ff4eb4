//! Wake a waiting proposer.

use tokio::sync::watch;

/// Announces that a transaction may be ready for a block; clones announce to the same engine.
///
/// Announcing is cheap, needs no async runtime and may happen spuriously: the proposer asks the state machine.
#[derive(Clone, Debug)]
pub struct WorkSignal(watch::Sender<()>);

impl WorkSignal {
    /// A signal that nobody waits for yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Wakes the proposer.
    pub fn notify(&self) {
        self.0.send_replace(());
    }

    /// A listener that sees every later announcement.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

impl Default for WorkSignal {
    fn default() -> Self {
        Self::new()
    }
}
