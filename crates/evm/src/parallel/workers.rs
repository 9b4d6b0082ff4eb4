//! Threads that execute blocks, and what they learn from one block for the next.

use super::predict::Predictor;
use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A pool of threads that are parked while there is nothing to do.
pub struct Workers {
    pool: ThreadPool,
    pub(super) predictor: Mutex<Predictor>,
    window: AtomicUsize,
}

impl Workers {
    /// Starts `threads` threads, at least one.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(threads: usize) -> Result<Self, ThreadPoolBuildError> {
        let name = |index| format!("worker-{index}");
        let pool = ThreadPoolBuilder::new().num_threads(threads.max(1)).thread_name(name).build()?;
        Ok(Self { pool, predictor: Mutex::default(), window: AtomicUsize::new(0) })
    }

    /// How many threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// How many transactions the first window of a block should have, at least `least`.
    pub(super) fn window(&self, least: usize) -> usize {
        self.window.load(Ordering::Relaxed).max(least)
    }

    /// Lets the next block begin with a window of `length`.
    pub(super) fn remember_window(&self, length: usize) {
        self.window.store(length, Ordering::Relaxed);
    }

    /// Runs `work` on the pool; parallel iterators in it spread over the threads.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        // Shuttle's threads are not the pool's.
        if cfg!(test) { work() } else { self.pool.install(work) }
    }
}
