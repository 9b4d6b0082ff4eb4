//! The pool itself.

use crate::{
    Limits, PoolError, Selection, SenderState,
    queue::{Pending, Queue},
    validate::{cost, tip_cap, validate},
};
use alloy_consensus::Transaction as _;
use candela_primitives::{Address, B256, Transaction};
use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

type Listener = Box<dyn Fn(&Arc<Transaction>) + Send + Sync>;

/// Transactions by sender and nonce.
pub type Content = BTreeMap<Address, BTreeMap<u64, Arc<Transaction>>>;

/// How much the pool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Transactions that could be executed now.
    pub pending: usize,
    /// Transactions that wait for an earlier nonce.
    pub queued: usize,
}

/// A sender's last transaction: whether it could be executed, its fee cap, and its sender. The least goes first.
type Tail = (bool, u128, Address);

/// Pending transactions. All methods take `&self`; listeners run outside of its lock.
pub struct Pool {
    limits: Limits,
    inner: Mutex<Inner>,
    listeners: RwLock<Vec<Listener>>,
}

#[derive(Default)]
struct Inner {
    queues: HashMap<Address, Queue, RandomState>,
    by_hash: HashMap<B256, Arc<Transaction>, RandomState>,
    /// The last transaction of every sender: what goes first when the pool is full. `None` as long as there is room.
    tails: Option<BTreeSet<Tail>>,
    bytes: usize,
    arrivals: u64,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, inner: Mutex::default(), listeners: RwLock::default() }
    }

    /// What the pool holds and takes.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Calls `listener` with every transaction that is taken.
    pub fn subscribe(&self, listener: impl Fn(&Arc<Transaction>) + Send + Sync + 'static) {
        self.listeners.write().push(Box::new(listener));
    }

    /// Takes a transaction whose sender is in `state`.
    ///
    /// # Errors
    /// When it is invalid, known, too cheap, or the pool has no room for it.
    pub fn insert(&self, transaction: Transaction, state: SenderState) -> Result<B256, PoolError> {
        let hash = transaction.hash();
        let transaction = Arc::new(transaction);
        {
            let mut inner = self.inner.lock();
            if inner.by_hash.contains_key(&hash) {
                return Err(PoolError::AlreadyKnown);
            }
            validate(&transaction, &state, &self.limits)?;
            inner.insert(transaction.clone(), state, &self.limits)?;
        }
        self.listeners.read().iter().for_each(|listener| listener(&transaction));
        Ok(hash)
    }

    /// A pending transaction by its hash.
    #[must_use]
    pub fn get(&self, hash: &B256) -> Option<Arc<Transaction>> {
        self.inner.lock().by_hash.get(hash).cloned()
    }

    /// The nonce after the sender's consecutive pending transactions; `None` when it has none.
    #[must_use]
    pub fn pending_nonce(&self, sender: &Address) -> Option<u64> {
        self.inner.lock().queues.get(sender).map(|queue| queue.next_nonce())
    }

    /// Whether a transaction could go into a block with this base fee.
    ///
    /// `next_nonce` gives a sender's first nonce that is not in a block which has yet to become final, 0 where that is the
    /// account's.
    #[must_use]
    pub fn has_ready(&self, base_fee: u64, next_nonce: impl Fn(&Address) -> u64) -> bool {
        let pays = |pending: &Pending| pending.transaction.max_fee_per_gas() >= u128::from(base_fee);
        let inner = self.inner.lock();
        inner.queues.iter().any(|(sender, queue)| queue.first(next_nonce(sender)).is_some_and(pays))
    }

    /// The executable transactions from `next_nonce` on, as for [`Self::has_ready`], best first.
    #[must_use]
    pub fn best(&self, base_fee: u64, next_nonce: impl Fn(&Address) -> u64) -> Selection<'_> {
        let inner = self.inner.lock();
        let firsts = inner.queues.iter().filter_map(|(sender, queue)| queue.first(next_nonce(sender)));
        Selection::new(self, base_fee, inner.arrivals, firsts)
    }

    /// The executable transaction of a sender with this nonce.
    pub(crate) fn pending(&self, sender: &Address, nonce: u64) -> Option<Pending> {
        let inner = self.inner.lock();
        let queue = inner.queues.get(sender)?;
        if nonce < queue.next_nonce() { queue.pending.get(&nonce).cloned() } else { None }
    }

    /// Holds a sender back until something about it changes: its next transaction could not be executed.
    pub fn stall(&self, sender: &Address) {
        if let Some(queue) = self.inner.lock().queues.get_mut(sender) {
            queue.stalled = true;
        }
    }

    /// Drops a transaction that can never be executed.
    pub fn remove(&self, transaction: &Transaction) {
        let mut inner = self.inner.lock();
        let nonce = transaction.nonce();
        let sender = transaction.sender();
        let matches =
            |queue: &Queue| queue.pending.get(&nonce).is_some_and(|held| held.transaction.hash() == transaction.hash());
        if inner.queues.get(&sender).is_some_and(matches) {
            inner.take(&sender, nonce);
        }
    }

    /// Whether the pool holds anything of a sender.
    #[must_use]
    pub fn has_sender(&self, sender: &Address) -> bool {
        self.inner.lock().queues.contains_key(sender)
    }

    /// Tells the pool the state of a sender after a block; transactions with used nonces are dropped.
    pub fn advance(&self, sender: &Address, state: SenderState) {
        let mut inner = self.inner.lock();
        inner.untail(sender);
        let Some(queue) = inner.queues.get_mut(sender) else { return };
        queue.stalled = false;
        let used = queue.observe(state);
        if queue.pending.is_empty() {
            inner.queues.remove(sender);
        }
        used.iter().for_each(|pending| inner.forget(&pending.transaction));
        inner.retail(sender);
        if inner.by_hash.len() < self.limits.transactions / 2 && inner.bytes < self.limits.bytes / 2 {
            inner.tails = None;
        }
    }

    /// How much the pool holds.
    #[must_use]
    pub fn status(&self) -> Status {
        let inner = self.inner.lock();
        let pending: u64 = inner.queues.values().map(Queue::run_len).sum();
        let pending = usize::try_from(pending).unwrap_or(usize::MAX);
        Status { pending, queued: inner.by_hash.len().saturating_sub(pending) }
    }

    /// Everything: what could be executed now, and what waits for an earlier nonce.
    #[must_use]
    pub fn content(&self) -> (Content, Content) {
        let inner = self.inner.lock();
        let (mut pending, mut queued) = (Content::new(), Content::new());
        for (sender, queue) in &inner.queues {
            let next = queue.next_nonce();
            for (nonce, held) in &queue.pending {
                let part = if *nonce < next { &mut pending } else { &mut queued };
                part.entry(*sender).or_default().insert(*nonce, held.transaction.clone());
            }
        }
        (pending, queued)
    }
}

impl Inner {
    fn insert(&mut self, transaction: Arc<Transaction>, state: SenderState, limits: &Limits) -> Result<(), PoolError> {
        let (sender, nonce) = (transaction.sender(), transaction.nonce());
        let (replaced, next) = match self.queues.get(&sender) {
            Some(queue) => (check_queue(queue, &transaction, &state, limits)?, queue.next_nonce()),
            None => (false, state.nonce),
        };
        self.make_room(&transaction, nonce <= next.max(state.nonce), usize::from(!replaced), limits)?;
        self.untail(&sender);
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.bytes += transaction.encoded().len();
        self.by_hash.insert(transaction.hash(), transaction.clone());
        let queue = self.queues.entry(sender).or_default();
        queue.stalled = false;
        let used = queue.observe(state);
        let old = queue.insert(nonce, Pending { transaction, arrival });
        self.retail(&sender);
        used.iter().chain(&old).for_each(|pending| self.forget(&pending.transaction));
        Ok(())
    }

    fn make_room(
        &mut self,
        transaction: &Transaction,
        follows: bool,
        added: usize,
        limits: &Limits,
    ) -> Result<(), PoolError> {
        let bytes = transaction.encoded().len();
        while self.by_hash.len() + added > limits.transactions || self.bytes + bytes > limits.bytes {
            let Some((executable, fee, sender)) = self.least() else { return Err(PoolError::Underpriced) };
            if (executable, fee) >= (follows, transaction.max_fee_per_gas()) {
                return Err(PoolError::Underpriced);
            }
            let last = self.queues.get(&sender).and_then(|queue| queue.pending.keys().next_back().copied());
            let Some(nonce) = last else { return Err(PoolError::Underpriced) };
            if sender == transaction.sender() && nonce < transaction.nonce() {
                return Err(PoolError::Underpriced);
            }
            self.take(&sender, nonce);
        }
        Ok(())
    }

    fn take(&mut self, sender: &Address, nonce: u64) {
        self.untail(sender);
        let Some(queue) = self.queues.get_mut(sender) else { return };
        let taken = queue.remove(nonce);
        if queue.pending.is_empty() {
            self.queues.remove(sender);
        } else {
            self.retail(sender);
        }
        if let Some(taken) = taken {
            self.forget(&taken.transaction);
        }
    }

    fn forget(&mut self, transaction: &Transaction) {
        self.by_hash.remove(&transaction.hash());
        self.bytes -= transaction.encoded().len();
    }

    /// What goes first.
    fn least(&mut self) -> Option<Tail> {
        if self.tails.is_none() {
            self.tails = Some(self.queues.iter().filter_map(|(sender, queue)| tail(sender, queue)).collect());
        }
        self.tails.as_ref().and_then(BTreeSet::first).copied()
    }

    /// Has to come before a sender's last transaction changes.
    fn untail(&mut self, sender: &Address) {
        if let Some(tails) = &mut self.tails
            && let Some(tail) = self.queues.get(sender).and_then(|queue| tail(sender, queue))
        {
            tails.remove(&tail);
        }
    }

    /// Has to come after a sender's last transaction has changed.
    fn retail(&mut self, sender: &Address) {
        if let Some(tails) = &mut self.tails
            && let Some(tail) = self.queues.get(sender).and_then(|queue| tail(sender, queue))
        {
            tails.insert(tail);
        }
    }
}

fn tail(sender: &Address, queue: &Queue) -> Option<Tail> {
    let (nonce, last) = queue.pending.last_key_value()?;
    Some((*nonce < queue.next_nonce(), last.transaction.max_fee_per_gas(), *sender))
}

/// Whether `transaction` fits beside its sender's others; true when it replaces one of them.
fn check_queue(
    queue: &Queue,
    transaction: &Transaction,
    state: &SenderState,
    limits: &Limits,
) -> Result<bool, PoolError> {
    let (balance, queued, new) = (state.balance, queue.run_cost(), cost(transaction));
    let nonce = transaction.nonce();
    if nonce < queue.state.nonce {
        return Err(PoolError::NonceTooLow { next: queue.state.nonce, nonce });
    }
    if let Some(old) = queue.pending.get(&nonce) {
        let old = &old.transaction;
        if !bumped(transaction.max_fee_per_gas(), old.max_fee_per_gas()) || !bumped(tip_cap(transaction), tip_cap(old))
        {
            return Err(PoolError::ReplacementUnderpriced);
        }
        if nonce < queue.next_nonce() && queued.saturating_sub(cost(old)).saturating_add(new) > balance {
            return Err(PoolError::BumpedFunds { balance, queued, bump: new.saturating_sub(cost(old)) });
        }
        return Ok(true);
    }
    if queued.saturating_add(new) > balance {
        return Err(PoolError::QueuedFunds { balance, queued, cost: new });
    }
    if queue.pending.len() >= limits.transactions_per_sender {
        return Err(PoolError::AccountLimit { held: queue.pending.len() });
    }
    Ok(false)
}

/// Whether a replacement pays at least 10 % more, by geth's rounding.
const fn bumped(new: u128, old: u128) -> bool {
    new > old && new >= old.saturating_add(old / 10)
}
