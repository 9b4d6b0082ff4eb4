//! Carry the first failure of any task to the one place that stops the engine.

use crate::EngineError;
use tokio::sync::watch;

/// Where tasks report a failure that must stop the engine; the first one counts.
#[derive(Clone)]
pub(crate) struct Faults(watch::Sender<Option<EngineError>>);

impl Faults {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(crate) fn report(&self, error: EngineError) {
        self.0.send_if_modified(|first| {
            let fresh = first.is_none();
            first.get_or_insert(error);
            fresh
        });
    }

    /// Waits for the first failure.
    pub(crate) async fn first(&self) -> EngineError {
        let mut receiver = self.0.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or(EngineError::Actor("fault channel")),
            Err(_) => EngineError::Actor("fault channel"),
        }
    }
}
