//! Let messages leave only once the votes in them are recorded.

use crate::EngineError;
use crate::block::Digest;
use crate::fault::Faults;
use crate::record::{Cast, VoteRecord};
use commonware_actor::{Feedback, Unreliable};
use commonware_codec::DecodeExt;
use commonware_consensus::simplex::{scheme::ed25519::Scheme, types::Vote};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{CheckedSender, LimitedSender, Recipients};
use commonware_runtime::IoBufs;
use std::time::SystemTime;

/// A sender of one of simplex's channels.
///
/// Simplex counts its own votes even when their channel is over its quota, and then sends them inside certificates: a
/// vote that is not sent is recorded as well, and nothing leaves by any channel once one could not be.
#[derive(Clone)]
pub(crate) struct Gate<S> {
    pub(crate) inner: S,
    pub(crate) record: VoteRecord,
    pub(crate) faults: Faults,
    /// Whether this is the channel of votes.
    pub(crate) votes: bool,
}

/// A message that may be sent; `None` for one that is over the quota.
pub(crate) struct Checked<C> {
    inner: Option<C>,
    record: VoteRecord,
    faults: Faults,
    votes: bool,
}

impl<C> Checked<C> {
    fn may_leave(&self, message: &IoBufs) -> Result<bool, EngineError> {
        if !self.votes {
            return Ok(!self.record.is_halted());
        }
        let vote = Vote::<Scheme, Digest>::decode(message.clone().coalesce());
        self.record.add(&Cast::from(&vote.map_err(|_| EngineError::Actor("encoding of votes"))?))
    }
}

impl<S: LimitedSender<PublicKey = PublicKey>> LimitedSender for Gate<S> {
    type PublicKey = PublicKey;
    type Checked<'a>
        = Checked<S::Checked<'a>>
    where
        S: 'a;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<Self::Checked<'_>, SystemTime> {
        let (record, faults, votes) = (self.record.clone(), self.faults.clone(), self.votes);
        match self.inner.check(recipients) {
            Ok(inner) => Ok(Checked { inner: Some(inner), record, faults, votes }),
            Err(_) if votes => Ok(Checked { inner: None, record, faults, votes }),
            Err(until) => Err(until),
        }
    }
}

impl<C: CheckedSender<PublicKey = PublicKey>> CheckedSender for Checked<C> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.inner.as_ref().map(CheckedSender::recipients).unwrap_or_default()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let message = message.into();
        match self.may_leave(&message) {
            Ok(true) => self.inner.map_or(Unreliable::new(Feedback::Ok), |inner| inner.send(message, priority)),
            Ok(false) => Unreliable::new(Feedback::Ok),
            Err(error) => {
                self.faults.report(error);
                Unreliable::new(Feedback::Closed)
            }
        }
    }
}
