//! Send what an honest validator never would: messages of past epochs, and floods.

use super::byzantine::{Byzantine, TRAITOR};
use super::world::{Context, Honest, committee, secret};
use crate::block::{ChainBlock, Digest, randomness};
use crate::committee::private_key;
use crate::wire::{Links, Pair, Wire};
use bytes::Bytes;
use candela_primitives::{B256, Block, Header, ShardHeader};
use commonware_codec::{Encode, varint::UInt};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Notarize, Nullify, Proposal, Vote};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{Control, Receiver, Sender, SplitForwarder, SplitSender};
use commonware_p2p::{Recipients, Sender as _, utils::mux};
use commonware_runtime::{Clock, IoBuf};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::sync::Arc;
use std::time::Duration;

const CHANNELS: usize = 6;
/// Channels that are divided by epoch: the first ones.
const DIVIDED: usize = 3;
const VOTES: usize = 0;
/// Messages of a channel that are kept: the oldest ones.
const KEPT: usize = 400;
const REPLAY_EVERY: Duration = Duration::from_millis(15);
const FLOOD_EVERY: Duration = Duration::from_millis(4);
/// Views that the committee does not reach.
const FAR: std::ops::Range<u64> = 1_000_000..1 << 40;
const INVALID_TRANSACTIONS: usize = 2_048;

/// What the traitor's honest half has said.
#[derive(Default)]
struct Said {
    messages: [Vec<IoBuf>; CHANNELS],
    epoch: u64,
}

/// A traitor's second voice.
pub(crate) struct Mischief {
    senders: Vec<Sender<PublicKey, Context>>,
    said: Arc<Mutex<Said>>,
    random: StdRng,
    /// Whether it also sends what makes others close the connection at once.
    rude: bool,
}

fn listener(said: &Arc<Mutex<Said>>, channel: usize) -> impl SplitForwarder<PublicKey> + use<> {
    let said = said.clone();
    move |_, recipients: &Recipients<PublicKey>, message: &IoBuf| {
        let mut said = said.lock();
        if channel == VOTES {
            said.epoch = mux::parse(message.clone()).unwrap().0;
        }
        if said.messages[channel].len() < KEPT {
            said.messages[channel].push(message.clone());
        }
        Some(recipients.clone())
    }
}

/// Links whose messages `F` hears.
type Heard<F> = Links<SplitSender<PublicKey, Context, F>, Receiver<PublicKey>, Control<PublicKey, Context>>;

/// Gives a traitor a second voice; its honest half uses the links that are returned.
pub(crate) fn give_voice(links: Honest, seed: u64) -> (Heard<impl SplitForwarder<PublicKey> + use<>>, Mischief) {
    let (mut senders, said) = (Vec::new(), Arc::new(Mutex::new(Said::default())));
    let mut tap = |(sender, receiver): Pair<Sender<PublicKey, Context>, Receiver<PublicKey>>| {
        let Wire::Connected(sender) = sender else { return (Wire::Alone, receiver) };
        let channel = senders.len();
        senders.push(sender.clone());
        (Wire::Connected(sender.split_with(listener(&said, channel)).0), receiver)
    };
    let links = Links {
        votes: tap(links.votes),
        certificates: tap(links.certificates),
        fetches: tap(links.fetches),
        blocks: tap(links.blocks),
        backfill: tap(links.backfill),
        transactions: tap(links.transactions),
        blocker: links.blocker,
    };
    let random = StdRng::seed_from_u64(seed);
    (links, Mischief { senders, said, random, rude: (seed / Byzantine::COUNT) % 2 == 1 })
}

/// A message of a channel that is divided by epoch.
fn labelled(epoch: u64, payload: &[u8]) -> Bytes {
    [UInt(epoch).encode().as_ref(), payload].concat().into()
}

impl Mischief {
    pub(crate) async fn run(mut self, context: Context, how: Byzantine) {
        loop {
            if how == Byzantine::Replaying {
                context.sleep(REPLAY_EVERY).await;
                self.replay();
            } else {
                context.sleep(FLOOD_EVERY).await;
                (0..CHANNELS).for_each(|channel| self.flood(channel));
            }
        }
    }

    fn send(&mut self, channel: usize, message: Bytes) {
        self.senders[channel].send(Recipients::All, message, false);
    }

    /// Something that the honest half has sent on a channel, and the epoch it is in now.
    fn old(&mut self, channel: usize) -> Option<(Vec<u8>, u64)> {
        let said = self.said.lock();
        let messages = &said.messages[channel];
        let place = (!messages.is_empty()).then(|| self.random.random_range(0..messages.len()))?;
        Some((messages[place].as_ref().to_vec(), said.epoch))
    }

    fn replay(&mut self) {
        let channel = self.random.random_range(0..CHANNELS);
        let Some((message, epoch)) = self.old(channel) else { return };
        if self.rude && channel < DIVIDED && self.random.random_ratio(1, 4) {
            let (_, payload) = mux::parse(IoBuf::from(message)).unwrap();
            return self.send(channel, labelled(epoch, payload.as_ref()));
        }
        self.send(channel, message.into());
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        (0..self.random.random_range(0..most)).map(|_| self.random.random()).collect()
    }

    /// A signed vote for a view that nobody will reach.
    fn far_vote(&mut self, epoch: u64) -> Bytes {
        let keys = committee().keys().unwrap();
        let scheme = Scheme::signer(b"_CANDELA_1", keys, private_key(&secret(TRAITOR)).unwrap()).unwrap();
        let view = self.random.random_range(FAR);
        let round = Round::new(Epoch::new(epoch), View::new(view));
        let vote = if view % 2 == 0 {
            Vote::Nullify(Nullify::sign::<Digest>(&scheme, round).unwrap())
        } else {
            let payload = Digest::from(self.random.random::<[u8; 32]>());
            Vote::Notarize(Notarize::sign(&scheme, Proposal::new(round, View::new(view - 1), payload)).unwrap())
        };
        labelled(epoch, &vote.encode())
    }

    /// A block that only execution could refute.
    fn false_block(&mut self) -> Bytes {
        let proof = [self.random.random(); 64];
        let header = Header {
            number: self.random.random_range(1..200),
            parent_hash: B256::from(self.random.random::<[u8; 32]>()),
            prevrandao: randomness(&proof),
            ..Header::default()
        };
        let mut block = Block { header, transactions: vec![vec![7; 2_000].into()], ..Block::default() };
        block.header.shards =
            vec![ShardHeader { transactions_root: block.transactions_root(), ..ShardHeader::default() }];
        ChainBlock::new(Arc::new(block), proof, Bytes::new()).encode()
    }

    fn flood(&mut self, channel: usize) {
        let epoch = self.said.lock().epoch;
        if self.rude && self.random.random_ratio(1, 200) {
            let noise = self.noise(3_000);
            return self.send(channel, if channel < DIVIDED { labelled(epoch, &noise) } else { noise.into() });
        }
        let message = match channel {
            VOTES => Some(self.far_vote(epoch)),
            3 => Some(self.false_block()),
            5 => {
                let invalid = |_| Bytes::copy_from_slice(&[&self.random.random::<[u8; 8]>()[..], &[1]].concat());
                Some((0..INVALID_TRANSACTIONS).map(invalid).collect::<Vec<_>>().encode())
            }
            _ => self.old(channel).map(|(message, _)| message.into()),
        };
        if let Some(message) = message {
            self.send(channel, message);
        }
    }
}
