//! Offer versions of the state for copying, the same ones to everybody: what they hold does not grow with who asks.

use crate::RpcError;
use candela_state::{Export, Key};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a version is offered to whoever begins to copy.
const OFFERED: Duration = Duration::from_secs(300);
/// How long it is kept for who has begun.
const KEPT: Duration = Duration::from_secs(900);
/// Bytes of chunks a second, for all who copy together.
const BYTES_PER_SECOND: f64 = (32 << 20) as f64;

struct Offer {
    export: Export,
    since: Instant,
}

/// The versions that can be copied: `KEPT / OFFERED` of them at most.
pub(crate) struct Exports {
    offers: Mutex<Vec<Arc<Offer>>>,
    /// When the next chunk may be read; held while one is.
    pace: Mutex<Instant>,
}

impl Exports {
    pub(crate) fn new() -> Self {
        Self { offers: Mutex::default(), pace: Mutex::new(Instant::now()) }
    }

    /// The height to copy: the one that `export` gives now, or did a short while ago.
    ///
    /// # Errors
    /// When there is none and `export` fails.
    pub(crate) fn offer(&self, export: impl FnOnce() -> Result<Export, RpcError>) -> Result<u64, RpcError> {
        let mut offers = self.offers.lock();
        if let Some(young) = offers.last().filter(|offer| offer.since.elapsed() < OFFERED) {
            return Ok(young.export.height());
        }
        let offer = Offer { export: export()?, since: Instant::now() };
        let height = offer.export.height();
        offers.retain(|old| old.export.height() != height);
        offers.push(Arc::new(offer));
        Ok(height)
    }

    /// The rows after `after` of the state after block `height`, with their proof.
    ///
    /// # Errors
    /// When that state is not offered any more, another chunk is being read or was a moment ago, or the store fails.
    pub(crate) fn chunk(&self, height: u64, after: Option<Key>) -> Result<Vec<u8>, RpcError> {
        self.expire();
        let offer = self.offers.lock().iter().find(|offer| offer.export.height() == height).cloned();
        let gone = || RpcError::server(format!("the state after block {height} can't be copied here (any more)"));
        let offer = offer.ok_or_else(gone)?;
        let busy = || RpcError::limit_exceeded("others copy the state too: try again in a moment");
        let mut pace = self.pace.try_lock().ok_or_else(busy)?;
        let began = Instant::now();
        if began < *pace {
            return Err(busy());
        }
        let chunk = offer.export.chunk(after)?;
        *pace = began + Duration::from_secs_f64(chunk.len() as f64 / BYTES_PER_SECOND);
        Ok(chunk)
    }

    /// Forgets what is too old.
    pub(crate) fn expire(&self) {
        self.offers.lock().retain(|offer| offer.since.elapsed() < KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candela_primitives::StateChanges;
    use candela_state::{DiskState, Import, State};

    #[test]
    fn everybody_is_offered_the_same_version_and_the_pace_is_bounded() {
        let state = DiskState::in_memory().unwrap();
        let grow = || state.commit(&state.head().extend(Arc::new(StateChanges::default())).unwrap()).unwrap();
        grow();
        let exports = Exports::new();
        let offer = || exports.offer(|| Ok(state.export()?)).unwrap();
        assert_eq!(offer(), 0);
        grow();
        assert_eq!(offer(), 0);
        assert!(exports.chunk(1, None).unwrap_err().message.contains("can't be copied"));

        let held = exports.pace.lock();
        assert_eq!(exports.chunk(0, None).unwrap_err().code, -32005);
        drop(held);
        let directory = tempfile::tempdir().unwrap();
        let mut import = Import::open(&directory.path().join("copy"), 0, state.head().root()).unwrap();
        assert_eq!(import.add(&exports.chunk(0, None).unwrap()).unwrap(), 0);
        *exports.pace.lock() = Instant::now() + Duration::from_secs(60);
        assert_eq!(exports.chunk(0, None).unwrap_err().code, -32005);
    }
}
