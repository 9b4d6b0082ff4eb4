//! Stand in for the network of a committee of one: nothing is sent, nothing arrives.

use crate::block::Digest;
use commonware_actor::{Feedback, Unreliable};
use commonware_consensus::marshal::resolver::handler::{Annotation, Handler, Key};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{BlockedSubscription, Blocker, CheckedSender, LimitedSender, Message, Receiver, Recipients};
use commonware_resolver::{Fetch, Resolver, TargetedResolver};
use commonware_runtime::IoBufs;
use commonware_utils::{channel::ring, vec::NonEmptyVec};
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::time::SystemTime;

/// Sends to nobody, receives from nobody and blocks nobody.
#[derive(Clone, Debug)]
pub(crate) struct Nobody;

impl LimitedSender for Nobody {
    type PublicKey = PublicKey;
    type Checked<'a> = Self;

    fn check(&mut self, _recipients: Recipients<PublicKey>) -> Result<Self, SystemTime> {
        Ok(Self)
    }
}

impl CheckedSender for Nobody {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        Vec::new()
    }

    fn send(self, _message: impl Into<IoBufs> + Send, _priority: bool) -> Unreliable<Feedback> {
        Unreliable::new(Feedback::Ok)
    }
}

impl Receiver for Nobody {
    type Error = Infallible;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Infallible> {
        std::future::pending().await
    }

    fn capacity(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }
}

impl Blocker for Nobody {
    type PublicKey = PublicKey;

    fn block(&mut self, _peer: PublicKey) -> Feedback {
        Feedback::Ok
    }

    fn blocked(&mut self) -> BlockedSubscription<PublicKey> {
        ring::channel(NonZeroUsize::MIN).1
    }
}

/// Fetches from nobody. Holding the handler keeps marshal's side of the channel open.
#[derive(Clone)]
pub(crate) struct NoSource(#[allow(dead_code, reason = "kept alive, never called")] pub(crate) Handler<Digest>);

impl Resolver for NoSource {
    type Key = Key<Digest>;
    type Subscriber = Annotation;

    fn fetch<F: Into<Fetch<Self::Key, Annotation>> + Send>(&mut self, _key: F) -> Feedback {
        Feedback::Ok
    }

    fn fetch_all<F: Into<Fetch<Self::Key, Annotation>> + Send>(&mut self, _keys: Vec<F>) -> Feedback {
        Feedback::Ok
    }

    fn retain(&mut self, _predicate: impl Fn(&Self::Key, &Annotation) -> bool + Send + 'static) -> Feedback {
        Feedback::Ok
    }
}

impl TargetedResolver for NoSource {
    type PublicKey = PublicKey;

    fn fetch_targeted(
        &mut self,
        _fetch: impl Into<Fetch<Self::Key, Annotation>> + Send,
        _targets: NonEmptyVec<PublicKey>,
    ) -> Feedback {
        Feedback::Ok
    }

    fn fetch_all_targeted<F: Into<Fetch<Self::Key, Annotation>> + Send>(
        &mut self,
        _keys: Vec<(F, NonEmptyVec<PublicKey>)>,
    ) -> Feedback {
        Feedback::Ok
    }
}
