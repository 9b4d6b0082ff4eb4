//! Hold the transactions that the other validators have yet to hear of.

use crate::mutation::{Rule, broken};
use candela_primitives::{B256, Bytes};
use std::collections::{HashSet, VecDeque};
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Most bytes of one transaction; the pool takes no larger one.
pub(crate) const MAX_TRANSACTION_BYTES: usize = 128 << 10;
/// Most transactions of a batch.
pub(crate) const MAX_BATCH_TRANSACTIONS: usize = 2_048;
/// Most bytes of a batch's transactions with the lengths before them.
pub(crate) const MAX_BATCH_BYTES: usize = 256 << 10;
/// Most bytes of a length.
const LENGTH_BYTES: usize = 5;
/// Most bytes and transactions that wait to be sent. What exceeds them stays with this validator until it leads.
const MAX_WAITING_BYTES: usize = 16 << 20;
const MAX_WAITING: usize = 1 << 16;
/// Hashes in each of two generations of what others sent.
const GENERATION: usize = 1 << 16;

/// Tells the other validators of transactions; clones tell the same ones.
///
/// What came from a validator is never announced again: the one that took a transaction from a client sends it to every
/// other, so nobody has to pass it on and nothing is amplified.
#[derive(Clone, Default)]
pub struct Announcements(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// Whether anybody sends what is announced.
    open: bool,
    waiting: VecDeque<Bytes>,
    bytes: usize,
    heard: Recent,
}

/// The newest hashes, at most two generations of them.
#[derive(Default)]
struct Recent {
    young: HashSet<B256>,
    old: HashSet<B256>,
}

impl Recent {
    fn contains(&self, hash: &B256) -> bool {
        self.young.contains(hash) || self.old.contains(hash)
    }

    fn insert(&mut self, hash: B256) -> bool {
        if self.contains(&hash) {
            return false;
        }
        if self.young.len() >= GENERATION {
            self.old = take(&mut self.young);
        }
        self.young.insert(hash)
    }

    fn remove(&mut self, hash: &B256) {
        self.young.remove(hash);
        self.old.remove(hash);
    }
}

impl Announcements {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a transaction that the pool has taken to the other validators, unless one of them sent it.
    ///
    /// Never waits and may be called from any thread. While nobody sends it does nothing.
    pub fn announce(&self, hash: &B256, encoded: &Bytes) {
        let mut state = self.state();
        let room = state.bytes + encoded.len() <= MAX_WAITING_BYTES && state.waiting.len() < MAX_WAITING;
        if !state.open || !room || encoded.len() > MAX_TRANSACTION_BYTES || state.heard.contains(hash) {
            return;
        }
        state.bytes += encoded.len();
        state.waiting.push_back(encoded.clone());
        drop(state);
        self.0.wake.notify_one();
    }

    /// Begins to collect.
    pub(crate) fn open(&self) {
        self.state().open = true;
    }

    /// Notes that a validator sent a transaction; whether that is news.
    pub(crate) fn hear(&self, hash: B256) -> bool {
        broken(Rule::Announcement) || self.state().heard.insert(hash)
    }

    /// Forgets what [`Self::hear`] noted: the transaction was not taken.
    pub(crate) fn unhear(&self, hash: &B256) {
        self.state().heard.remove(hash);
    }

    /// Puts an unsent batch back to the front.
    pub(crate) fn put_back(&self, batch: Vec<Bytes>) {
        let mut state = self.state();
        for transaction in batch.into_iter().rev() {
            state.bytes += transaction.len();
            state.waiting.push_front(transaction);
        }
    }

    /// Waits for transactions and takes as many as a batch holds.
    pub(crate) async fn batch(&self) -> Vec<Bytes> {
        loop {
            let batch = self.state().take_batch();
            if !batch.is_empty() {
                return batch;
            }
            self.0.wake.notified().await;
        }
    }
}

impl State {
    fn take_batch(&mut self) -> Vec<Bytes> {
        let (mut batch, mut room) = (Vec::new(), MAX_BATCH_BYTES);
        while batch.len() < MAX_BATCH_TRANSACTIONS {
            let Some(first) = self.waiting.front() else { break };
            let size = first.len() + LENGTH_BYTES;
            if size > room {
                break;
            }
            room -= size;
            self.bytes -= first.len();
            batch.extend(self.waiting.pop_front());
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn transaction(number: u64, bytes: usize) -> (B256, Bytes) {
        (B256::with_last_byte(u8::try_from(number).unwrap()), vec![7; bytes].into())
    }

    #[test]
    fn batches_keep_the_order_and_their_limit() {
        let announcements = Announcements::default();
        announcements.open();
        for number in 0..5 {
            let (hash, bytes) = transaction(number, MAX_TRANSACTION_BYTES - usize::try_from(number).unwrap());
            announcements.announce(&hash, &bytes);
        }
        let mut lengths = Vec::new();
        while let Some(batch) = announcements.batch().now_or_never() {
            assert!(batch.iter().map(|bytes| bytes.len() + LENGTH_BYTES).sum::<usize>() <= MAX_BATCH_BYTES);
            lengths.extend(batch.iter().map(|bytes| MAX_TRANSACTION_BYTES - bytes.len()));
        }
        assert_eq!(lengths, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn what_a_validator_sent_is_not_announced_again_unless_it_was_refused() {
        let (announcements, (hash, bytes)) = (Announcements::default(), transaction(1, 10));
        announcements.open();
        assert!(announcements.hear(hash));
        assert!(!announcements.hear(hash));
        announcements.announce(&hash, &bytes);
        assert!(announcements.batch().now_or_never().is_none());
        announcements.unhear(&hash);
        announcements.announce(&hash, &bytes);
        assert_eq!(announcements.batch().now_or_never().unwrap(), [bytes]);
    }

    #[test]
    fn nothing_is_kept_while_nobody_sends_and_only_so_much_otherwise() {
        let (announcements, (hash, bytes)) = (Announcements::default(), transaction(1, MAX_TRANSACTION_BYTES));
        announcements.announce(&hash, &bytes);
        assert!(announcements.batch().now_or_never().is_none());
        announcements.open();
        for _ in 0..1_000 {
            announcements.announce(&hash, &bytes);
        }
        assert_eq!(announcements.state().bytes, MAX_WAITING_BYTES);
    }

    #[test]
    fn heard_hashes_are_bounded_and_the_newest_are_kept() {
        let mut recent = Recent::default();
        let hash = |number: usize| B256::from(candela_primitives::U256::from(number));
        (0..5 * GENERATION).for_each(|number| assert!(recent.insert(hash(number))));
        assert!(recent.young.len() + recent.old.len() <= 2 * GENERATION);
        assert!((4 * GENERATION..5 * GENERATION).all(|number| recent.contains(&hash(number))));
    }
}
