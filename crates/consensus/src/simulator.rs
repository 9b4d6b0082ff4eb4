//! Run committees of the production stack on a seeded network that loses messages, splits, and crashes validators.
//!
//! `make simulate SEEDS=100..200` runs the named seeds; a failure names its seed, which runs it again, bit for bit.

use crate::committee::{Member, private_key, public_key};
use crate::network::message_bytes;
use crate::simulation::{SimulatedLinks, runner};
use crate::toy::Toy;
use crate::wire::Links;
use crate::{Announcements, Committee, Config, Timings, WorkSignal, stack};
use candela_ledger::StateMachine;
use candela_primitives::{Address, B256};
use commonware_cryptography::{Signer, ed25519::PublicKey};
use commonware_p2p::simulated::{self, Link, Oracle};
use commonware_runtime::{Clock, Handle, Quota, Runner as _, Spawner, Supervisor, deterministic};
use commonware_utils::{NZUsize, Probability};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

type Context = deterministic::Context;

const MEMBERS: usize = 4;
const MAX_BLOCK_BYTES: usize = 1 << 16;
/// How long faults last, and how long a healed network may take to make the blocks of [`agree`].
const FAULTY: Duration = Duration::from_secs(12);
const HEALING: Duration = Duration::from_secs(60);

fn secret(index: usize) -> [u8; 32] {
    [u8::try_from(index).unwrap() + 1; 32]
}

fn committee() -> Committee {
    let member = |index| Member { public_key: public_key(&secret(index)).unwrap(), weight: 1 };
    Committee { epoch: 0, members: (0..MEMBERS).map(member).collect() }
}

fn key(index: usize) -> PublicKey {
    private_key(&secret(index)).unwrap().public_key()
}

/// A validator: its disk, and its running actors unless it has crashed.
struct Validator {
    toy: Arc<Toy>,
    work: WorkSignal,
    running: Option<Handle<()>>,
    starts: u64,
}

/// A committee on one simulated network.
struct World {
    context: Context,
    oracle: Oracle<PublicKey, Context>,
    validators: Vec<Validator>,
    faults: StdRng,
    submitted: u64,
}

async fn links(oracle: &Oracle<PublicKey, Context>, index: usize) -> SimulatedLinks {
    let control = oracle.control(key(index));
    let register = |channel, quota| {
        let control = control.clone();
        async move { control.register(channel, Quota::per_second(quota)).await.unwrap() }
    };
    Links::connect(register, control.clone()).await
}

impl World {
    async fn new(context: Context, seed: u64) -> Self {
        let settings = simulated::Config {
            max_size: message_bytes(MEMBERS, MAX_BLOCK_BYTES).unwrap(),
            max_peers_per_set: NZUsize!(MEMBERS),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            simulated::Network::new_with_peers(context.child("network"), settings, (0..MEMBERS).map(key)).await;
        network.start();
        let validators = (0..MEMBERS)
            .map(|_| Validator { toy: Toy::new(), work: WorkSignal::new(), running: None, starts: 0 })
            .collect();
        let mut world = Self { context, oracle, validators, faults: StdRng::seed_from_u64(seed), submitted: 0 };
        for index in 0..MEMBERS {
            world.start(index).await;
        }
        world
    }

    async fn start(&mut self, index: usize) {
        let links = links(&self.oracle, index).await;
        let validator = &mut self.validators[index];
        validator.starts += 1;
        let config = Config {
            directory: PathBuf::new(),
            secret: secret(index),
            committee: committee(),
            network: None,
            chain_id: 1,
            fee_recipient: Address::ZERO,
            max_block_bytes: MAX_BLOCK_BYTES,
            threads: 1,
            timings: Timings::local(),
            work: validator.work.clone(),
            announcements: Announcements::default(),
            pool: validator.toy.clone(),
        };
        validator.toy.listen(&config.work, &config.announcements);
        let (toy, starts) = (validator.toy.clone(), validator.starts);
        let context = self.context.child("validator").with_attribute("index", index).with_attribute("start", starts);
        validator.running = Some(context.spawn(move |context| async move {
            let stack = stack::start(&context, &format!("v{index}-"), &config, toy, links).await.unwrap();
            let error = stack.failed().await;
            panic!("validator {index} failed: {error}");
        }));
    }

    async fn crash(&mut self, index: usize) {
        if let Some(running) = self.validators[index].running.take() {
            running.abort();
            let _ = running.await;
        }
    }

    /// Connects two validators, or cuts them off from each other.
    async fn link(&self, one: usize, other: usize, quality: Option<&Link>) {
        for (from, to) in [(one, other), (other, one)] {
            let _ = self.oracle.remove_link(key(from), key(to)).await;
            if let Some(link) = quality {
                self.oracle.add_link(key(from), key(to), link.clone()).await.unwrap();
            }
        }
    }

    /// Links every two validators in one group of `side` and cuts those in different groups.
    async fn connect(&self, quality: &Link, side: impl Fn(usize) -> bool) {
        for one in 0..MEMBERS {
            for other in one + 1..MEMBERS {
                self.link(one, other, (side(one) == side(other)).then_some(quality)).await;
            }
        }
    }

    fn submit(&mut self) {
        // One validator takes it from a client; the others have to hear of it.
        let at = usize::try_from(self.submitted).unwrap() % MEMBERS;
        self.validators[at].toy.submit(self.submitted);
        self.submitted += 1;
    }

    /// Submits every `pause` for the length of `time`.
    async fn load(&mut self, time: Duration, pause: Duration) {
        let end = self.context.current() + time;
        while self.context.current() < end {
            self.submit();
            self.context.sleep(pause).await;
            self.check();
        }
    }

    /// One chain: of any two validators' finalised blocks, one list begins with the other.
    fn check(&self) {
        let chains: Vec<_> = self.validators.iter().map(|validator| validator.toy.hashes()).collect();
        let longest = chains.iter().max_by_key(|chain| chain.len()).unwrap();
        for (index, chain) in chains.iter().enumerate() {
            assert_eq!(&longest[..chain.len()], chain, "validator {index} finalised another chain");
        }
    }

    fn heights(&self) -> Vec<u64> {
        self.validators.iter().map(|validator| validator.toy.head().header.number).collect()
    }

    /// Waits until every validator has finalised a block above the highest one that any has now.
    async fn agree(&mut self) {
        let target = self.heights().into_iter().max().unwrap() + 3;
        let end = self.context.current() + HEALING;
        while self.heights().into_iter().min().unwrap() < target {
            assert!(self.context.current() < end, "no agreement after healing: heights {:?}", self.heights());
            self.submit();
            self.context.sleep(Duration::from_millis(200)).await;
            self.check();
        }
    }

    /// One random fault, for a random time.
    async fn disturb(&mut self) {
        let time = Duration::from_millis(self.faults.random_range(200..3_000));
        let victim = self.faults.random_range(0..MEMBERS);
        match self.faults.random_range(0..4) {
            0 => {
                self.crash(victim).await;
                self.load(time, Duration::from_millis(90)).await;
                self.start(victim).await;
            }
            1 => {
                let other = self.faults.random_range(0..MEMBERS);
                self.connect(&good(), |index| index == victim || index == other).await;
                self.load(time, Duration::from_millis(90)).await;
                self.connect(&good(), |_| true).await;
            }
            2 => {
                self.connect(&lossy(), |_| true).await;
                self.load(time, Duration::from_millis(90)).await;
                self.connect(&good(), |_| true).await;
            }
            _ => self.load(time, Duration::from_millis(30)).await,
        }
    }
}

fn good() -> Link {
    Link {
        latency: Duration::from_millis(8),
        jitter: Duration::from_millis(3),
        success_rate: Probability::try_from(1.0).unwrap(),
    }
}

fn lossy() -> Link {
    Link {
        latency: Duration::from_millis(40),
        jitter: Duration::from_millis(30),
        success_rate: Probability::try_from(0.8).unwrap(),
    }
}

/// The auditor's state and the finalised chain after a run under `seed`.
fn simulate(seed: u64) -> (String, Vec<B256>) {
    runner(seed).start(|context| async move {
        let mut world = World::new(context.child("world"), seed).await;
        world.connect(&good(), |_| true).await;
        let end = context.current() + FAULTY;
        while context.current() < end {
            world.disturb().await;
        }
        world.agree().await;
        (context.auditor().state(), world.validators[0].toy.hashes())
    })
}

#[test]
fn four_validators_agree_on_every_transaction() {
    runner(1).start(|context| async move {
        let mut world = World::new(context.child("world"), 1).await;
        world.connect(&good(), |_| true).await;
        world.load(Duration::from_secs(5), Duration::from_millis(50)).await;
        world.agree().await;
        let heights = world.heights();
        assert!(*heights.iter().min().unwrap() > 20, "{heights:?}");
    });
}

#[test]
fn one_of_four_may_be_gone_and_two_may_not() {
    runner(2).start(|context| async move {
        let mut world = World::new(context.child("world"), 2).await;
        world.connect(&good(), |_| true).await;
        world.agree().await;
        world.crash(3).await;
        let before = world.heights()[0];
        world.load(Duration::from_secs(12), Duration::from_millis(100)).await;
        assert!(world.heights()[0] > before + 20, "one crash stopped the chain at {:?}", world.heights());
        world.crash(2).await;
        world.load(Duration::from_secs(2), Duration::from_millis(100)).await;
        let stopped = world.heights();
        world.load(Duration::from_secs(10), Duration::from_millis(100)).await;
        assert_eq!(world.heights(), stopped, "two of four validators finalised a block");
        world.start(3).await;
        world.start(2).await;
        world.agree().await;
    });
}

#[test]
fn faults_never_split_the_chain_and_it_goes_on_when_they_end() {
    let seeds = std::env::var("CANDELA_SIMULATE").unwrap_or_else(|_| "0..40".to_owned());
    let (first, last) = seeds.split_once("..").unwrap();
    for seed in first.parse::<u64>().unwrap()..last.parse().unwrap() {
        let run = std::panic::catch_unwind(|| simulate(seed));
        assert!(run.is_ok(), "seed {seed} failed; repeat it with: make simulate SEEDS={seed}..{}", seed + 1);
    }
}

#[test]
fn equal_seeds_give_equal_runs_of_a_committee() {
    for seed in 0..3 {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
}
