//! A committee of the production stack on one simulated network.

use super::ballots::Ballots;
use super::byzantine::{Byzantine, Liar, TRAITOR, divide, honest, withhold};
use super::disk;
use super::faults::{Fault, Faults};
use super::mischief::give_voice;
use super::properties::Properties;
use super::split::split;
use crate::application::now_ms;
use crate::committee::{Member, private_key, public_key};
use crate::mutation::{set_clock, set_forger};
use crate::network::message_bytes;
use crate::record::tests::{Bytes, in_memory};
use crate::toy::{Elections, Toy};
use crate::wire::Links;
use crate::{Announcements, Committee, Config, DoubleVote, Evidence, Progress, Timings, VoteRecord, WorkSignal, stack};
use candela_ledger::StateMachine;
use candela_memory::held_bytes;
use candela_primitives::{Address, B256, Epochs};
use commonware_cryptography::{Signer, ed25519::PublicKey};
use commonware_p2p::simulated::{self, Link, Oracle};
use commonware_p2p::{Blocker, Receiver, Sender};
use commonware_runtime::{Clock, Handle, Quota, Spawner, Supervisor, deterministic};
use commonware_utils::{NZUsize, Probability};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(crate) type Context = deterministic::Context;
pub(crate) type Honest = Links<
    simulated::Sender<PublicKey, Context>,
    simulated::Receiver<PublicKey>,
    simulated::Control<PublicKey, Context>,
>;

pub(crate) const MEMBERS: usize = 4;
const MAX_BLOCK_BYTES: usize = 1 << 16;
/// Blocks of an epoch where the traitor needs old ones; the committee is the same in each.
const EPOCH_BLOCKS: u64 = 8;
/// Most of [`World::held`].
const MOST_HELD: isize = 256 << 20;
/// How much a clock may be wrong.
const CLOCK_ERROR_MS: i64 = 2_500;
/// How long a healed network may go without a new block, or without a transaction more that is final, while some wait. A
/// traitor's view takes up to [`Timings::certification`], and the first one after healing may have to be given up again.
const HEALING: Duration = Duration::from_secs(15);

pub(crate) fn secret(index: usize) -> [u8; 32] {
    [u8::try_from(index).unwrap() + 1; 32]
}

/// Where the second half of a traitor sends fees: halves that propose at the same time propose different blocks.
pub(crate) fn twin_recipient(index: usize) -> Address {
    let mut recipient = fee_recipient(index);
    recipient[0] = 1;
    recipient
}

/// Names the validator in its blocks.
pub(crate) fn fee_recipient(index: usize) -> Address {
    Address::with_last_byte(secret(index)[0])
}

pub(crate) fn key(index: usize) -> PublicKey {
    private_key(&secret(index)).unwrap().public_key()
}

pub(crate) fn committee() -> Committee {
    let member = |index| Member { public_key: public_key(&secret(index)).unwrap(), weight: 1 };
    Committee { epoch: 0, members: (0..MEMBERS).map(member).collect() }
}

/// A validator: its disk, and its running actors unless it has crashed.
struct Validator {
    toy: Arc<Toy>,
    running: Option<Handle<()>>,
    starts: u64,
    /// What it has known since its last start.
    evidence: Evidence,
    progress: Progress,
    /// Its record of votes, on another disk.
    record: Bytes,
}

impl Validator {
    fn new(toy: Arc<Toy>) -> Self {
        Self {
            toy,
            running: None,
            starts: 0,
            evidence: Evidence::default(),
            progress: Progress::default(),
            record: Bytes::default(),
        }
    }
}

/// A committee on one simulated network.
pub(crate) struct World {
    context: Context,
    seed: u64,
    since: SystemTime,
    /// Memory that this thread held before the committee.
    before: isize,
    oracle: Oracle<PublicKey, Context>,
    validators: Vec<Validator>,
    traitor: Option<Byzantine>,
    properties: Properties,
    ballots: Ballots,
    random: StdRng,
    submitted: u64,
}

pub(crate) async fn links(oracle: &Oracle<PublicKey, Context>, index: usize) -> Honest {
    let control = oracle.control(key(index));
    let register = |channel, quota| {
        let control = control.clone();
        async move { control.register(channel, Quota::per_second(quota)).await.unwrap() }
    };
    Links::connect(register, control.clone()).await
}

pub(crate) fn config(index: usize, toy: &Arc<Toy>) -> Config {
    let (work, announcements) = (WorkSignal::new(), Announcements::default());
    toy.listen(&work, &announcements);
    Config {
        directory: PathBuf::new(),
        secret: secret(index),
        committee: committee(),
        network: None,
        chain_id: 1,
        fee_recipient: fee_recipient(index),
        max_block_bytes: MAX_BLOCK_BYTES,
        threads: 1,
        timings: Timings::local(),
        work,
        announcements,
        pool: toy.clone(),
        votes: VoteRecord::default(),
        evidence: Evidence::default(),
        progress: Progress::default(),
    }
}

/// A chain of short epochs that all have the same committee.
fn electing() -> Arc<Toy> {
    let committees = vec![committee().members.iter().map(|member| member.public_key).collect()];
    Toy::electing(Elections { epochs: Epochs::new(EPOCH_BLOCKS).unwrap(), committees })
}

/// Runs the stack of one validator until it fails or is aborted.
pub(crate) fn launch<S, R, B>(
    context: Context,
    prefix: String,
    config: Config,
    machine: Arc<dyn StateMachine>,
    links: Links<S, R, B>,
) -> Handle<()>
where
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey>,
{
    context.spawn(move |context| async move {
        let stack = stack::start(&context, &prefix, &config, machine, links).await;
        let error = match stack {
            Ok(stack) => stack.failed().await,
            Err(error) => error,
        };
        panic!("failure: validator {prefix} stopped: {error}");
    })
}

impl World {
    pub(crate) async fn new(context: Context, seed: u64, traitor: Option<Byzantine>) -> Self {
        let settings = simulated::Config {
            max_size: message_bytes(MEMBERS, MAX_BLOCK_BYTES).unwrap(),
            max_peers_per_set: NZUsize!(MEMBERS),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            simulated::Network::new_with_peers(context.child("network"), settings, (0..MEMBERS).map(key)).await;
        network.start();
        let toy = || if traitor == Some(Byzantine::Replaying) { electing() } else { Toy::new() };
        let validators: Vec<_> = (0..MEMBERS).map(|_| Validator::new(toy())).collect();
        let honest = if traitor.is_some() { TRAITOR } else { MEMBERS };
        let properties = Properties::new(&validators[0].toy, honest);
        let random = StdRng::seed_from_u64(seed);
        set_clock(None);
        let forgery = traitor.and_then(Byzantine::forgery);
        set_forger(forgery.map(|forgery| (fee_recipient(TRAITOR), forgery)));
        let (since, before) = (context.current(), held_bytes());
        let mut world = Self {
            context,
            seed,
            before,
            since,
            oracle,
            validators,
            traitor,
            properties,
            ballots: Ballots::default(),
            random,
            submitted: 0,
        };
        for index in 0..MEMBERS {
            world.start(index).await;
        }
        world.connect(&good(), |_| true).await;
        world
    }

    /// How validator `index` misbehaves.
    fn treason(&self, index: usize) -> Option<Byzantine> {
        self.traitor.filter(|_| index == TRAITOR)
    }

    /// The validators that keep the rules.
    fn honest(&self) -> usize {
        if self.traitor.is_some() { TRAITOR } else { MEMBERS }
    }

    pub(crate) async fn start(&mut self, index: usize) {
        let treason = self.treason(index);
        if treason == Some(Byzantine::Silent) {
            return;
        }
        let links = links(&self.oracle, index).await;
        let validator = &mut self.validators[index];
        validator.starts += 1;
        let starts = validator.starts;
        let context = self.context.child("validator").with_attribute("index", index).with_attribute("start", starts);
        let (toy, prefix) = (validator.toy.clone(), format!("v{index}-"));
        let mut config = config(index, &toy);
        config.votes = in_memory(&validator.record, &config.committee.members[index].public_key);
        (validator.evidence, validator.progress) = (config.evidence.clone(), config.progress.clone());
        validator.running = Some(match treason {
            Some(Byzantine::Equivocating) => {
                let (one, other) = split(&context, links, true, divide, divide);
                let twin = Toy::new();
                let mut twin_config = self::config(index, &twin);
                twin_config.fee_recipient = twin_recipient(index);
                drop(launch(context.child("twin"), format!("twin{starts}-"), twin_config, twin, other));
                launch(context, prefix, config, toy, one)
            }
            Some(Byzantine::Withholding) => {
                let (one, _silent) = split(&context, links, false, withhold, honest);
                launch(context, prefix, config, toy, one)
            }
            Some(how @ (Byzantine::Replaying | Byzantine::Flooding)) => {
                let (links, mischief) = give_voice(links, self.seed);
                context.child("mischief").spawn(move |context| mischief.run(context, how));
                launch(context, prefix, config, toy, links)
            }
            Some(how) => launch(context, prefix, config, Arc::new(Liar { toy, how }), links),
            None => launch(context, prefix, config, toy, self.ballots.observe(index, links)),
        });
    }

    pub(crate) async fn crash(&mut self, index: usize) {
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
    async fn connect<T: PartialEq>(&self, quality: &Link, side: impl Fn(usize) -> T) {
        for one in 0..MEMBERS {
            for other in one + 1..MEMBERS {
                self.link(one, other, (side(one) == side(other)).then_some(quality)).await;
            }
        }
    }

    /// One validator takes a transaction from a client; the others have to hear of it.
    fn submit(&mut self) {
        let at = usize::try_from(self.submitted).unwrap() % self.honest();
        let submitted = self.submitted;
        self.submitted += 1;
        self.validators[at].toy.submit(submitted);
    }

    /// Submits every `pause` for the length of `time`.
    pub(crate) async fn load(&mut self, time: Duration, pause: Duration) {
        let end = self.context.current() + time;
        while self.context.current() < end {
            self.submit();
            self.context.sleep(pause).await;
            self.check();
        }
    }

    fn check(&mut self) {
        let passed = self.context.current().duration_since(self.since).unwrap_or_default();
        super::AGE.set(passed);
        let held = self.held();
        assert!(held < MOST_HELD, "memory: the committee holds {held} bytes after {passed:?}");
        for index in 0..self.honest() {
            let Validator { toy, starts, .. } = &self.validators[index];
            let time = (now_ms(&self.context), passed);
            self.properties.check((index, toy, *starts), self.submitted, time, &self.ballots);
        }
        let contradiction = self.ballots.contradiction();
        assert!(contradiction.is_none(), "votes: {}", contradiction.unwrap_or_default());
        let accused = (0..self.honest()).flat_map(|index| self.evidence(index)).find(|vote| !self.votes_twice(vote));
        assert!(accused.is_none(), "evidence: an honest validator is accused: {accused:?}");
    }

    /// Whether the accused is the traitor, and votes twice.
    fn votes_twice(&self, vote: &DoubleVote) -> bool {
        self.traitor == Some(Byzantine::Equivocating) && vote.public_key == public_key(&secret(TRAITOR)).unwrap()
    }

    /// The double votes that a validator knows of.
    pub(crate) fn evidence(&self, index: usize) -> Vec<DoubleVote> {
        self.validators[index].evidence.list()
    }

    /// Memory of the committee, its network and what the simulator remembers of both, in bytes.
    pub(crate) fn held(&self) -> isize {
        held_bytes() - self.before
    }

    /// Messages that the honest validators have sent to fetch blocks, or to answer.
    pub(crate) fn requests(&self) -> u64 {
        self.ballots.backfill()
    }

    /// The heights of the honest validators.
    pub(crate) fn heights(&self) -> Vec<u64> {
        self.validators[..self.honest()].iter().map(|validator| validator.toy.head().header.number).collect()
    }

    /// Certificates that blocks have shown, and those among them that each validator has signed.
    pub(crate) const fn participation(&self) -> (u32, [u32; MEMBERS]) {
        self.properties.participation()
    }

    pub(crate) fn hashes(&self) -> Vec<B256> {
        self.validators[0].toy.hashes()
    }

    /// Waits until every honest validator has finalised a block above the highest one that any has now.
    pub(crate) async fn agree(&mut self) {
        let target = self.heights().into_iter().max().unwrap() + 3;
        let (mut lowest, mut end) = (0, self.context.current() + HEALING);
        while lowest < target {
            assert!(self.context.current() < end, "liveness: heights {:?} after healing", self.heights());
            self.submit();
            self.context.sleep(Duration::from_millis(200)).await;
            self.check();
            let reached = self.heights().into_iter().min().unwrap();
            if reached > lowest {
                (lowest, end) = (reached, self.context.current() + HEALING);
            }
        }
    }

    /// Waits until what was submitted is final everywhere.
    pub(crate) async fn settle(&mut self) {
        let wanted = usize::try_from(self.submitted).unwrap();
        let (mut settled, mut end) = (0, self.context.current() + HEALING);
        while settled < wanted {
            assert!(self.context.current() < end, "liveness: {settled} of {wanted} transactions are final");
            self.context.sleep(Duration::from_millis(200)).await;
            self.check();
            let found =
                self.validators[..self.honest()].iter().map(|each| each.toy.transactions().len()).min().unwrap();
            if found > settled {
                (settled, end) = (found, self.context.current() + HEALING);
            }
        }
    }

    /// Submits to an idle committee and cuts every link after `delay`, when some of the votes have arrived, for a while.
    pub(crate) async fn interrupt(&mut self, delay: Duration) {
        self.submit();
        self.context.sleep(delay).await;
        self.connect(&good(), |index| index).await;
        self.context.sleep(Duration::from_millis(300)).await;
        self.connect(&good(), |_| true).await;
    }

    /// Where a validator keeps the votes of its epoch.
    fn journal(&self, index: usize) -> String {
        format!("v{index}-simplex-{}", self.validators[index].progress.position().epoch)
    }

    /// Whether one more validator may forget its votes: together with a traitor, or with one that has yet to wait until
    /// they don't matter, it would be more than a third.
    fn may_forget(&self) -> bool {
        self.traitor.is_none() && self.validators.iter().all(|each| each.progress.position().votes)
    }

    /// One random fault, for a random time.
    pub(crate) async fn disturb(&mut self, faults: &Faults) {
        let time = Duration::from_millis(self.random.random_range(200..3_000));
        let victim = self.random.random_range(0..self.honest());
        let fault = self.random.random_range(0..=faults.network.len());
        let pause = Duration::from_millis(90);
        match faults.network.get(fault) {
            Some(Fault::Crash) => {
                self.crash(victim).await;
                self.load(time, pause).await;
                self.start(victim).await;
            }
            Some(Fault::Torn) => {
                self.crash(victim).await;
                let (partition, record) = (self.journal(victim), self.validators[victim].record.clone());
                disk::tear(&self.context, &mut self.random, &partition, &record).await;
                self.load(time, pause).await;
                self.start(victim).await;
            }
            Some(Fault::Damage) if self.may_forget() => {
                self.crash(victim).await;
                let partition = self.journal(victim);
                disk::flip(&self.context, &mut self.random, &partition).await;
                self.start(victim).await;
                self.load(time, pause).await;
            }
            Some(Fault::Backup) if self.may_forget() => {
                self.crash(victim).await;
                let partition = self.journal(victim);
                let copy = disk::copy(&self.context, &partition).await;
                self.start(victim).await;
                self.load(time, pause).await;
                self.crash(victim).await;
                disk::restore(&self.context, &partition, &copy).await;
                self.start(victim).await;
            }
            Some(Fault::Clock) => {
                let error_ms = self.random.random_range(-CLOCK_ERROR_MS..=CLOCK_ERROR_MS);
                set_clock(Some((fee_recipient(victim), error_ms)));
                self.load(time, pause).await;
                set_clock(None);
            }
            Some(Fault::Partition) => {
                let other = self.random.random_range(0..MEMBERS);
                self.connect(&good(), |index| index == victim || index == other).await;
                self.load(time, pause).await;
                self.connect(&good(), |_| true).await;
            }
            Some(Fault::Loss) => {
                self.connect(&lossy(), |_| true).await;
                self.load(time, pause).await;
                self.connect(&good(), |_| true).await;
            }
            Some(Fault::Damage | Fault::Backup) | None => self.load(time, Duration::from_millis(30)).await,
        }
    }
}

pub(crate) fn good() -> Link {
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
