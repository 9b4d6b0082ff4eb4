//! Record what honest validators vote, to see that none of them ever votes twice.

use super::world::Context;
use crate::block::Digest;
use crate::wire::{Links, Pair, Wire};
use candela_primitives::B256;
use commonware_codec::DecodeExt;
use commonware_consensus::simplex::{scheme::ed25519::Scheme, types::Vote};
use commonware_consensus::types::Round;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Recipients;
use commonware_p2p::simulated::{Control, Receiver, Sender, SplitForwarder, SplitSender};
use commonware_p2p::utils::mux;
use commonware_runtime::IoBuf;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a validator has voted in one view.
#[derive(Default)]
struct Ballot {
    notarized: Option<Digest>,
    finalized: Option<Digest>,
    nullified: bool,
}

impl Ballot {
    /// Whether the vote agrees with those before it.
    fn cast(&mut self, vote: Vote<Scheme, Digest>) -> bool {
        match vote {
            Vote::Notarize(vote) => *self.notarized.get_or_insert(vote.proposal.payload) == vote.proposal.payload,
            Vote::Nullify(_) => {
                self.nullified = true;
                self.finalized.is_none()
            }
            Vote::Finalize(vote) => {
                let same = *self.finalized.get_or_insert(vote.proposal.payload) == vote.proposal.payload;
                same && !self.nullified
            }
        }
    }
}

const fn round(vote: &Vote<Scheme, Digest>) -> Round {
    match vote {
        Vote::Notarize(vote) => vote.proposal.round,
        Vote::Nullify(vote) => vote.round,
        Vote::Finalize(vote) => vote.proposal.round,
    }
}

/// What a channel is watched for.
#[derive(Clone, Copy)]
enum Observed {
    Votes,
    Backfill,
    Other,
}

/// Every vote of the honest validators, through all their restarts.
#[derive(Clone, Default)]
pub(crate) struct Ballots(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    cast: BTreeMap<(usize, Round), Ballot>,
    /// Who has voted to finalise a block.
    finalizing: BTreeMap<Digest, BTreeSet<usize>>,
    contradiction: Option<String>,
    /// Requests for blocks and answers to them.
    backfill: u64,
}

impl Ballots {
    fn record(&self, validator: usize, message: &IoBuf) {
        let (epoch, payload) = mux::parse(message.clone()).unwrap();
        let vote = Vote::<Scheme, Digest>::decode(payload).unwrap();
        let (round, mut record) = (round(&vote), self.0.lock());
        assert_eq!(round.epoch().get(), epoch, "validator {validator} sent a vote on the channel of another epoch");
        if let Vote::Finalize(vote) = &vote {
            record.finalizing.entry(vote.proposal.payload).or_default().insert(validator);
        }
        if !record.cast.entry((validator, round)).or_default().cast(vote) {
            record.contradiction = Some(format!("validator {validator} voted twice in {round}"));
        }
    }

    /// The first contradiction, in words.
    pub(crate) fn contradiction(&self) -> Option<String> {
        self.0.lock().contradiction.clone()
    }

    /// Whether an honest validator has voted to finalise a block.
    pub(crate) fn finalizes(&self, validator: usize, block: B256) -> bool {
        let record = self.0.lock();
        record.finalizing.get(&Digest::from(block.0)).is_some_and(|voters| voters.contains(&validator))
    }

    /// How many messages the honest validators have sent to fetch blocks or to answer.
    pub(crate) fn backfill(&self) -> u64 {
        self.0.lock().backfill
    }

    /// Passes every message on, and looks at those of some channels.
    fn observer(&self, validator: usize, channel: Observed) -> impl SplitForwarder<PublicKey> + use<> {
        let ballots = self.clone();
        move |_, recipients: &Recipients<PublicKey>, message: &IoBuf| {
            match channel {
                Observed::Votes => ballots.record(validator, message),
                Observed::Backfill => ballots.0.lock().backfill += 1,
                Observed::Other => {}
            }
            Some(recipients.clone())
        }
    }

    /// The links of an honest validator, whose votes are recorded from now on.
    pub(crate) fn observe(
        &self,
        validator: usize,
        links: super::world::Honest,
    ) -> Links<
        SplitSender<PublicKey, Context, impl SplitForwarder<PublicKey> + use<>>,
        Receiver<PublicKey>,
        Control<PublicKey, Context>,
    > {
        let observe = |(sender, receiver): Pair<Sender<PublicKey, Context>, Receiver<PublicKey>>, channel| {
            let Wire::Connected(sender) = sender else { return (Wire::Alone, receiver) };
            (Wire::Connected(sender.split_with(self.observer(validator, channel)).0), receiver)
        };
        Links {
            votes: observe(links.votes, Observed::Votes),
            certificates: observe(links.certificates, Observed::Other),
            fetches: observe(links.fetches, Observed::Other),
            blocks: observe(links.blocks, Observed::Other),
            backfill: observe(links.backfill, Observed::Backfill),
            transactions: observe(links.transactions, Observed::Other),
            blocker: links.blocker,
        }
    }
}
