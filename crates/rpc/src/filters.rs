//! Filters that clients poll.

use crate::RpcError;
use candela_archive::LogFilter;
use candela_primitives::{B256, Transaction};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    ops::RangeInclusive,
    time::{Duration, Instant},
};
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

/// What a filter watches.
pub(crate) enum Kind {
    /// Hashes of new blocks.
    Blocks,
    /// Hashes of pending transactions.
    Pending(Receiver<Transaction>),
    /// Logs in a range of blocks.
    Logs(LogFilter, RangeInclusive<u64>),
}

struct Filter {
    kind: Kind,
    /// The first block that has not been reported.
    next_block: u64,
    polled: Instant,
}

/// What a poll must look up.
pub(crate) enum Poll {
    /// Hashes of these blocks.
    Blocks(RangeInclusive<u64>),
    /// These hashes.
    Pending(Vec<B256>),
    /// Logs of these blocks.
    Logs(LogFilter, RangeInclusive<u64>),
}

/// Installed filters; those that nobody polls are forgotten.
pub(crate) struct Filters {
    installed: Mutex<HashMap<u128, Filter>>,
    most: usize,
    timeout: Duration,
}

fn not_found() -> RpcError {
    RpcError::server("filter not found")
}

/// A fresh, unguessable id.
pub(crate) fn random_id() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    let half = || u128::from(RandomState::new().hash_one(Instant::now()));
    (half() << 64) | half()
}

impl Filters {
    pub(crate) fn new(most: usize, timeout: Duration) -> Self {
        Self { installed: Mutex::default(), most, timeout }
    }

    /// Installs a filter that reports from block `next_block` on.
    pub(crate) fn install(&self, kind: Kind, next_block: u64) -> Result<u128, RpcError> {
        let mut installed = self.installed.lock();
        let now = Instant::now();
        installed.retain(|_, filter| now.duration_since(filter.polled) < self.timeout);
        if installed.len() >= self.most {
            return Err(RpcError::limit_exceeded(format!("at most {} filters can be installed", self.most)));
        }
        let id = random_id();
        installed.insert(id, Filter { kind, next_block, polled: now });
        Ok(id)
    }

    pub(crate) fn uninstall(&self, id: u128) -> bool {
        self.installed.lock().remove(&id).is_some()
    }

    /// What is new for a filter now that the head is `head`.
    pub(crate) fn poll(&self, id: u128, head: u64) -> Result<Poll, RpcError> {
        let mut installed = self.installed.lock();
        let filter = installed.get_mut(&id).ok_or_else(not_found)?;
        if filter.polled.elapsed() >= self.timeout {
            installed.remove(&id);
            return Err(not_found());
        }
        filter.polled = Instant::now();
        let news = filter.next_block..=head;
        filter.next_block = filter.next_block.max(head + 1);
        match &mut filter.kind {
            Kind::Blocks => Ok(Poll::Blocks(news)),
            Kind::Logs(filter, range) => {
                Ok(Poll::Logs(filter.clone(), (*news.start()).max(*range.start())..=head.min(*range.end())))
            }
            Kind::Pending(receiver) => Ok(Poll::Pending(drain(receiver))),
        }
    }

    /// The whole range of a log filter.
    pub(crate) fn logs(&self, id: u128) -> Result<(LogFilter, RangeInclusive<u64>), RpcError> {
        match self.installed.lock().get(&id).map(|filter| &filter.kind) {
            Some(Kind::Logs(filter, range)) => Ok((filter.clone(), range.clone())),
            _ => Err(not_found()),
        }
    }
}

fn drain(receiver: &mut Receiver<Transaction>) -> Vec<B256> {
    let mut hashes = Vec::new();
    loop {
        match receiver.try_recv() {
            Ok(transaction) => hashes.push(transaction.hash()),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return hashes,
        }
    }
}
