//! Give a Byzantine validator's messages other ways than an honest one's.

use super::byzantine::Forwarder;
use super::world::{Context, Honest, MEMBERS, key};
use crate::wire::{Links, Pair, Wire};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{Control, Receiver, Sender, SplitSender, SplitTarget};
use commonware_runtime::{IoBuf, Supervisor};

type Half = Pair<SplitSender<PublicKey, Context, Forwarder>, Receiver<PublicKey>>;
pub(crate) type HalfLinks =
    Links<SplitSender<PublicKey, Context, Forwarder>, Receiver<PublicKey>, Control<PublicKey, Context>>;

/// The half that hears a sender: each its own friends.
fn friends((sender, _): &(PublicKey, IoBuf)) -> SplitTarget {
    match (0..MEMBERS).find(|index| key(*index) == *sender) {
        Some(0) => SplitTarget::Primary,
        Some(1) => SplitTarget::Both,
        _ => SplitTarget::Secondary,
    }
}

const fn first(_: &(PublicKey, IoBuf)) -> SplitTarget {
    SplitTarget::Primary
}

struct Splitter<'a> {
    context: &'a Context,
    twice: bool,
}

impl Splitter<'_> {
    fn pair(
        &self,
        name: &'static str,
        pair: Pair<Sender<PublicKey, Context>, Receiver<PublicKey>>,
        forwarder: Forwarder,
    ) -> (Half, Half) {
        let (Wire::Connected(sender), Wire::Connected(receiver)) = pair else { return alone() };
        let (sender, other_sender) = sender.split_with(forwarder);
        let route = if self.twice { friends } else { first };
        let (receiver, other_receiver) = receiver.split_with(self.context.child(name), route);
        let half = |sender, receiver| (Wire::Connected(sender), Wire::Connected(receiver));
        (half(sender, receiver), half(other_sender, other_receiver))
    }
}

const fn alone() -> (Half, Half) {
    ((Wire::Alone, Wire::Alone), (Wire::Alone, Wire::Alone))
}

/// Splits the links of one validator into those of its two halves; the second one hears nothing unless `twice`.
///
/// Blocks go where `blocks` says, everything else where `others` does.
pub(crate) fn split(
    context: &Context,
    links: Honest,
    twice: bool,
    blocks: Forwarder,
    others: Forwarder,
) -> (HalfLinks, HalfLinks) {
    let splitter = Splitter { context, twice };
    let votes = splitter.pair("votes", links.votes, others);
    let certificates = splitter.pair("certificates", links.certificates, others);
    let fetches = splitter.pair("fetches", links.fetches, others);
    let blocks = splitter.pair("blocks", links.blocks, blocks);
    let backfill = splitter.pair("backfill", links.backfill, others);
    let transactions = splitter.pair("transactions", links.transactions, others);
    let first = Links {
        votes: votes.0,
        certificates: certificates.0,
        fetches: fetches.0,
        blocks: blocks.0,
        backfill: backfill.0,
        transactions: transactions.0,
        blocker: links.blocker.clone(),
    };
    let second = Links {
        votes: votes.1,
        certificates: certificates.1,
        fetches: fetches.1,
        blocks: blocks.1,
        backfill: backfill.1,
        transactions: transactions.1,
        blocker: links.blocker,
    };
    (first, second)
}
