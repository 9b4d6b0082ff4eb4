//! How long the ledger's stages take: its `tracing` spans, by name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tracing::{Subscriber, span};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// Time spent in each span so far, and how often it was entered.
#[derive(Clone, Default)]
pub struct Stages(Arc<Mutex<BTreeMap<&'static str, (Duration, u64)>>>);

struct Entered(Instant);

impl Stages {
    /// What was measured since the last call.
    #[must_use]
    pub fn take(&self) -> BTreeMap<&'static str, (Duration, u64)> {
        self.0.lock().map(|mut stages| std::mem::take(&mut *stages)).unwrap_or_default()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Stages {
    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Entered(Instant::now()));
        }
    }

    fn on_exit(&self, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let Some(Entered(since)) = span.extensions_mut().remove::<Entered>() else { return };
        if let Ok(mut stages) = self.0.lock() {
            let (time, count) = stages.entry(span.name()).or_default();
            *time += since.elapsed();
            *count += 1;
        }
    }
}
