//! Change the committee of the production stack on a seeded network, with crashes where it hurts.

use crate::committee::{private_key, public_key};
use crate::mutation::{Rule, without};
use crate::network::message_bytes;
use crate::record::tests::{Bytes, in_memory};
use crate::simulation::runner;
use crate::toy::{Elections, Toy};
use crate::wire::Links;
use crate::{Announcements, Committee, Config, Evidence, MAX_MEMBERS, Network, Peer, Timings, WorkSignal, stack};
use candela_ledger::StateMachine;
use candela_primitives::{Address, B256, Epochs};
use commonware_cryptography::{Signer, ed25519::PublicKey};
use commonware_p2p::simulated::{self, Link, Oracle};
use commonware_runtime::{Clock, Handle, Quota, Runner as _, Spawner, Supervisor, deterministic};
use commonware_utils::{NZUsize, Probability};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

type Context = deterministic::Context;

const NODES: usize = 5;
const EPOCH_BLOCKS: u64 = 8;
const MAX_BLOCK_BYTES: usize = 1 << 16;
/// How long the network may take to reach a height.
const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(60);
/// Names of the nodes: A has a seat in epoch 0 only, E from epoch 1 on.
const A: usize = 0;
const B: usize = 1;
const D: usize = 3;
const E: usize = 4;

fn secret(index: usize) -> [u8; 32] {
    [u8::try_from(index).unwrap() + 1; 32]
}

fn key(index: usize) -> PublicKey {
    private_key(&secret(index)).unwrap().public_key()
}

/// {A, B, C, D}, and from epoch 1 on {B, C, D, E}.
fn toy() -> Arc<Toy> {
    let committee = |first: usize| (first..first + 4).map(|index| public_key(&secret(index)).unwrap()).collect();
    Toy::electing(Elections {
        epochs: Epochs::new(EPOCH_BLOCKS).unwrap(),
        committees: vec![committee(0), committee(1)],
    })
}

fn fee_recipient(index: usize) -> Address {
    Address::with_last_byte(secret(index)[0])
}

fn config(index: usize, toy: &Arc<Toy>) -> Config {
    let (work, announcements) = (WorkSignal::new(), Announcements::default());
    toy.listen(&work, &announcements);
    // The simulated network needs no addresses.
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let peer = |index| Peer { public_key: public_key(&secret(index)).unwrap(), address: nowhere };
    Config {
        directory: PathBuf::new(),
        secret: secret(index),
        committee: Committee { epoch: 0, members: Vec::new() },
        network: Some(Network { listen: nowhere, peers: (0..NODES).map(peer).collect() }),
        chain_id: 1,
        fee_recipient: fee_recipient(index),
        max_block_bytes: MAX_BLOCK_BYTES,
        threads: 1,
        timings: Timings::local(),
        work,
        announcements,
        pool: toy.clone(),
        votes: crate::VoteRecord::default(),
        evidence: Evidence::default(),
        progress: crate::Progress::default(),
    }
}

/// Five nodes on one network, four of which have a seat.
struct World {
    context: Context,
    oracle: Oracle<PublicKey, Context>,
    toys: Vec<Arc<Toy>>,
    running: Vec<Option<Handle<()>>>,
    /// Their records of votes, each on another disk.
    records: Vec<Bytes>,
    /// How often each has lost its disk.
    losses: Vec<u64>,
    starts: u64,
    submitted: u64,
}

impl World {
    async fn new(context: Context) -> Self {
        let settings = simulated::Config {
            max_size: message_bytes(MAX_MEMBERS, MAX_BLOCK_BYTES).unwrap(),
            max_peers_per_set: NZUsize!(NODES),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            simulated::Network::new_with_peers(context.child("network"), settings, (0..NODES).map(key)).await;
        network.start();
        let link = Link {
            latency: Duration::from_millis(8),
            jitter: Duration::from_millis(3),
            success_rate: Probability::try_from(1.0).unwrap(),
        };
        for one in 0..NODES {
            for other in (0..NODES).filter(|other| *other != one) {
                oracle.add_link(key(one), key(other), link.clone()).await.unwrap();
            }
        }
        let toys = (0..NODES).map(|_| toy()).collect();
        let mut world = Self {
            context,
            oracle,
            toys,
            running: (0..NODES).map(|_| None).collect(),
            records: (0..NODES).map(|_| Bytes::default()).collect(),
            losses: vec![0; NODES],
            starts: 0,
            submitted: 0,
        };
        for index in 0..NODES {
            world.start(index).await;
        }
        world
    }

    async fn start(&mut self, index: usize) {
        let control = self.oracle.control(key(index));
        let register = |channel, quota| {
            let control = control.clone();
            async move { control.register(channel, Quota::per_second(quota)).await.unwrap() }
        };
        let links = Links::connect(register, control.clone()).await;
        self.starts += 1;
        let context = self.context.child("node").with_attribute("start", self.starts);
        let toy = self.toys[index].clone();
        let prefix = format!("v{index}-{}-{}-", toy.first, self.losses[index]);
        let mut config = config(index, &toy);
        config.votes = in_memory(&self.records[index], &public_key(&secret(index)).unwrap());
        self.running[index] = Some(context.spawn(move |context| async move {
            let stack = stack::start(&context, &prefix, &config, toy, links).await;
            let error = match stack {
                Ok(stack) => stack.failed().await,
                Err(error) => error,
            };
            panic!("node {prefix} stopped: {error}");
        }));
    }

    async fn crash(&mut self, index: usize) {
        let running = self.running[index].take().unwrap();
        running.abort();
        let _ = running.await;
    }

    /// Loses the disk of a node that is down, but not its record of votes.
    fn lose(&mut self, index: usize) {
        self.toys[index] = toy();
        self.losses[index] += 1;
    }

    /// Whether a node has proposed a block after `height` that shows who signed.
    fn shows(&self, index: usize, height: u64) -> bool {
        self.toys[E].chain().iter().map(|block| &block.header).any(|header| {
            header.number > height && header.proposer == fee_recipient(index) && !header.extra_data.is_empty()
        })
    }

    fn height(&self, index: usize) -> u64 {
        self.toys[index].head().header.number
    }

    fn heights(&self) -> Vec<u64> {
        (0..NODES).map(|index| self.height(index)).collect()
    }

    fn up(&self) -> Vec<usize> {
        (0..NODES).filter(|index| self.running[*index].is_some()).collect()
    }

    /// A running node takes a transaction from a client and some time passes.
    async fn load(&mut self) {
        let up = self.up();
        self.toys[up[usize::try_from(self.submitted).unwrap() % up.len()]].submit(self.submitted);
        self.submitted += 1;
        self.context.sleep(PAUSE).await;
    }

    /// Goes on under load until every running node is at `height`.
    async fn reach(&mut self, height: u64) {
        let end = self.context.current() + DEADLINE;
        while self.up().into_iter().any(|index| self.height(index) < height) {
            assert!(self.context.current() < end, "not all are at {height}: {:?}", self.heights());
            self.load().await;
        }
        self.compare();
    }

    /// No two nodes have different blocks at one height.
    fn compare(&self) -> Vec<B256> {
        let chains: Vec<_> = self.toys.iter().map(|toy| toy.hashes()).collect();
        let longest = chains.iter().max_by_key(|chain| chain.len()).unwrap();
        for (index, chain) in chains.iter().enumerate() {
            assert_eq!(**chain, longest[..chain.len()], "node {index} is on another chain");
        }
        longest.clone()
    }
}

#[test]
fn a_committee_hands_over_to_the_next_one_without_stopping() {
    runner(1).start(|context| async move {
        let mut world = World::new(context.child("world")).await;
        world.reach(EPOCH_BLOCKS - 3).await;
        // Four of five vote; the fifth follows.
        world.reach(3 * EPOCH_BLOCKS + 2).await;
        // Two are gone that would both be needed if E did not vote: A has no seat any more.
        world.crash(A).await;
        world.crash(B).await;
        let before = world.height(E);
        world.reach(before + 2 * EPOCH_BLOCKS).await;
        world.start(A).await;
        world.start(B).await;
        let target = world.height(E) + EPOCH_BLOCKS;
        world.reach(target).await;
    });
}

#[test]
fn without_its_seat_a_validator_is_not_missed_and_without_two_seats_nothing_is_final() {
    runner(2).start(|context| async move {
        let mut world = World::new(context.child("world")).await;
        world.reach(EPOCH_BLOCKS + 1).await;
        world.crash(D).await;
        world.crash(E).await;
        for _ in 0..20 {
            world.load().await;
        }
        let stopped = world.heights();
        for _ in 0..100 {
            world.load().await;
        }
        assert_eq!(world.heights(), stopped, "two of four seats, and one that was lost, made a block final");
        world.start(E).await;
        let target = world.height(B) + EPOCH_BLOCKS;
        world.reach(target).await;
    });
}

#[test]
fn a_node_that_slept_through_two_epochs_joins_again() {
    for sleeper in [A, D, E] {
        runner(3).start(|context| async move {
            let mut world = World::new(context.child("world")).await;
            world.reach(3).await;
            world.crash(sleeper).await;
            world.reach(3 * EPOCH_BLOCKS + 3).await;
            world.start(sleeper).await;
            let target = world.height(B) + 2;
            world.reach(target).await;
        });
    }
}

#[test]
fn a_node_that_begins_from_a_final_block_catches_up_and_votes() {
    let (middle, last) = (EPOCH_BLOCKS + 4, 2 * EPOCH_BLOCKS - 1);
    for origin in [middle, last] {
        runner(4).start(|context| async move {
            let mut world = World::new(context.child("world")).await;
            world.reach(3).await;
            world.crash(E).await;
            world.reach(2 * EPOCH_BLOCKS + 3).await;
            world.toys[E] = world.toys[B].synced(usize::try_from(origin).unwrap());
            let first = u64::try_from(world.toys[E].first).unwrap();
            assert_eq!((first + 1).is_multiple_of(EPOCH_BLOCKS), origin == last, "begins from {first}");
            world.start(E).await;
            let target = world.height(B) + 2;
            world.reach(target).await;
            // Without D every certificate needs the vote of E.
            world.crash(D).await;
            let target = world.height(B) + 2;
            world.reach(target).await;
            world.crash(E).await;
            world.start(E).await;
            let (again, target) = (world.height(E), world.height(B) + 2 * EPOCH_BLOCKS);
            world.reach(target).await;
            assert!(world.shows(E, first) && world.shows(E, again), "E proposes, and shows who signed");
        });
    }
}

fn lose_a_disk_but_not_its_record() {
    runner(4).start(|context| async move {
        let mut world = World::new(context.child("world")).await;
        world.reach(2 * EPOCH_BLOCKS + 3).await;
        world.crash(D).await;
        world.reach(2 * EPOCH_BLOCKS + 5).await;
        world.lose(D);
        world.start(D).await;
        let target = world.height(B) + EPOCH_BLOCKS;
        world.reach(target).await;
        // {B, C, D, E} have the seats: without B the others need D.
        world.crash(B).await;
        let (again, target) = (world.height(E), world.height(E) + EPOCH_BLOCKS);
        world.reach(target).await;
        assert!(world.shows(D, again), "D proposes, and shows who signed");
    });
}

#[test]
fn a_node_that_lost_its_disk_but_not_its_record_votes_again_only_where_it_has_not_voted() {
    lose_a_disk_but_not_its_record();
    let noticed = std::panic::catch_unwind(|| without(Rule::Memory, lose_a_disk_but_not_its_record));
    assert!(noticed.is_err(), "nobody would notice that the record is not looked at");
}

/// The chain after crashes at random moments around the ends of four epochs.
fn crash_at_boundaries(seed: u64) -> (String, Vec<B256>) {
    runner(seed).start(|context| async move {
        let (mut world, mut random) = (World::new(context.child("world")).await, StdRng::seed_from_u64(seed));
        for epoch in 1..=4 {
            let victim = random.random_range(0..NODES);
            let end = world.context.current() + DEADLINE;
            while world.height(victim) + 2 < epoch * EPOCH_BLOCKS {
                assert!(world.context.current() < end, "seed {seed}: {:?}", world.heights());
                world.load().await;
            }
            for _ in 0..random.random_range(1..4) {
                world.context.sleep(Duration::from_millis(random.random_range(0..120))).await;
                world.crash(victim).await;
                world.load().await;
                world.start(victim).await;
                world.load().await;
            }
        }
        world.reach(5 * EPOCH_BLOCKS).await;
        let chain = world.compare()[..usize::try_from(5 * EPOCH_BLOCKS).unwrap()].to_vec();
        (context.auditor().state(), chain)
    })
}

#[test]
fn crashes_at_the_end_of_an_epoch_neither_split_nor_stop_the_chain() {
    for seed in 0..20 {
        let run = std::panic::catch_unwind(|| crash_at_boundaries(seed));
        assert!(run.is_ok(), "seed {seed} failed; its panic is above");
    }
}

#[test]
fn equal_seeds_give_equal_changes_of_committee() {
    assert_eq!(crash_at_boundaries(7), crash_at_boundaries(7));
}
