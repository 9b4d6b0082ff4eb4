//! Connect the stack to a network, or to nothing: a committee of one needs no sockets.

use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{
    BlockedSubscription, Blocker, CheckedSender, LimitedSender, Message, PeerSetSubscription, PeerSetUpdate, Provider,
    Receiver, Recipients, TrackedPeers,
};
use commonware_runtime::IoBufs;
use commonware_utils::NZU32;
use commonware_utils::{
    channel::{mpsc, ring},
    ordered::Set,
};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Capacity of what never receives.
const IDLE_CAPACITY: NonZeroUsize = commonware_utils::NZUsize!(16);

/// A part of a network, or its stand-in that sends nothing, receives nothing and blocks nobody.
#[derive(Clone, Debug)]
pub(crate) enum Wire<T> {
    Connected(T),
    Alone,
}

impl<S: LimitedSender<PublicKey = PublicKey>> LimitedSender for Wire<S> {
    type PublicKey = PublicKey;
    type Checked<'a>
        = Wire<S::Checked<'a>>
    where
        S: 'a;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<Self::Checked<'_>, SystemTime> {
        match self {
            Self::Connected(sender) => sender.check(recipients).map(Wire::Connected),
            Self::Alone => Ok(Wire::Alone),
        }
    }
}

impl<S: CheckedSender<PublicKey = PublicKey>> CheckedSender for Wire<S> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        match self {
            Self::Connected(sender) => sender.recipients(),
            Self::Alone => Vec::new(),
        }
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        match self {
            Self::Connected(sender) => sender.send(message, priority),
            Self::Alone => Unreliable::new(Feedback::Ok),
        }
    }
}

impl<R: Receiver<PublicKey = PublicKey>> Receiver for Wire<R> {
    type Error = R::Error;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, R::Error> {
        match self {
            Self::Connected(receiver) => receiver.recv().await,
            Self::Alone => std::future::pending().await,
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        match self {
            Self::Connected(receiver) => receiver.capacity(),
            Self::Alone => IDLE_CAPACITY,
        }
    }
}

impl<B: Blocker<PublicKey = PublicKey>> Blocker for Wire<B> {
    type PublicKey = PublicKey;

    #[allow(clippy::disallowed_methods, reason = "passes the call on")]
    fn block(&mut self, peer: PublicKey) -> Feedback {
        match self {
            Self::Connected(blocker) => blocker.block(peer),
            Self::Alone => Feedback::Ok,
        }
    }

    fn blocked(&mut self) -> BlockedSubscription<PublicKey> {
        match self {
            Self::Connected(blocker) => blocker.blocked(),
            Self::Alone => ring::channel(NonZeroUsize::MIN).1,
        }
    }
}

/// The members of a committee that never changes, for the parts of the stack that ask who they are.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    keys: Set<PublicKey>,
    /// Kept open: a subscriber takes the end of its subscription for the end of the network.
    subscribers: Arc<Mutex<Vec<mpsc::UnboundedSender<PeerSetUpdate<PublicKey>>>>>,
}

impl Members {
    pub(crate) fn new(keys: Set<PublicKey>) -> Self {
        Self { keys, subscribers: Arc::default() }
    }

    fn tracked(&self) -> TrackedPeers<PublicKey> {
        TrackedPeers::primary(self.keys.clone())
    }
}

impl Provider for Members {
    type PublicKey = PublicKey;

    async fn peer_set(&mut self, id: u64) -> Option<TrackedPeers<PublicKey>> {
        (id == 0).then(|| self.tracked())
    }

    async fn subscribe(&mut self) -> PeerSetSubscription<PublicKey> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let _ = sender.send(PeerSetUpdate { index: 0, latest: self.tracked(), all: self.tracked() });
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }
}

/// A sender and a receiver of one channel.
pub(crate) type Pair<S, R> = (Wire<S>, Wire<R>);

/// Every channel of the stack.
pub(crate) struct Links<S, R, B> {
    pub(crate) votes: Pair<S, R>,
    pub(crate) certificates: Pair<S, R>,
    pub(crate) fetches: Pair<S, R>,
    pub(crate) blocks: Pair<S, R>,
    pub(crate) backfill: Pair<S, R>,
    pub(crate) transactions: Pair<S, R>,
    pub(crate) blocker: Wire<B>,
}

impl<S, R, B> Links<S, R, B> {
    /// For a committee of one.
    pub(crate) const fn alone() -> Self {
        Self {
            votes: (Wire::Alone, Wire::Alone),
            certificates: (Wire::Alone, Wire::Alone),
            fetches: (Wire::Alone, Wire::Alone),
            blocks: (Wire::Alone, Wire::Alone),
            backfill: (Wire::Alone, Wire::Alone),
            transactions: (Wire::Alone, Wire::Alone),
            blocker: Wire::Alone,
        }
    }

    /// Registers each channel by its number and quota of messages a second and peer.
    pub(crate) async fn connect<F>(mut register: impl FnMut(u64, NonZeroU32) -> F, blocker: B) -> Self
    where
        F: Future<Output = (S, R)>,
    {
        let mut pair = async |channel, quota| {
            let (sender, receiver) = register(channel, quota).await;
            (Wire::Connected(sender), Wire::Connected(receiver))
        };
        Self {
            votes: pair(0, NZU32!(256)).await,
            certificates: pair(1, NZU32!(256)).await,
            fetches: pair(2, NZU32!(128)).await,
            blocks: pair(3, NZU32!(64)).await,
            backfill: pair(4, NZU32!(256)).await,
            transactions: pair(5, NZU32!(64)).await,
            blocker: Wire::Connected(blocker),
        }
    }
}
