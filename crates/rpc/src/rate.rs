//! How much one connection may ask for.

use parking_lot::Mutex;
use std::time::Instant;

/// A token bucket that holds one second's worth of requests.
pub(crate) struct Rate {
    per_second: f64,
    state: Mutex<(f64, Instant)>,
}

impl Rate {
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, state: Mutex::new((per_second, Instant::now())) }
    }

    /// Requests a second that are taken.
    pub(crate) const fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Whether `requests` more are within the rate; if so they count.
    pub(crate) fn take(&self, requests: usize) -> bool {
        let mut state = self.state.lock();
        let now = Instant::now();
        let refilled = state.0 + now.duration_since(state.1).as_secs_f64() * self.per_second;
        *state = (refilled.min(self.per_second), now);
        let wanted = requests as f64;
        if state.0 < wanted {
            return false;
        }
        state.0 -= wanted;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_the_rest_refused() {
        let rate = Rate::new(10);
        assert!(rate.take(10));
        assert!(!rate.take(5));
    }
}
