//! Run one simplex instance an epoch over one marshal, and change the committee between them.
//!
//! The last block of an epoch elects the next committee. Once it is final, whoever has finalised it leaves the epoch's
//! instance and enters the next one, which begins from that block; until then its leaders propose the same block again.
//! A node without a seat runs the instance as well, without voting. One that hears votes of an epoch that it does not
//! know asks their sender for the last block of its own.
//!
//! A validator whose journal lacks votes that it has sent, because it was restored from a backup or is damaged, follows
//! without voting until the others have finalised a block in a view that is no lower than the last of these votes. It
//! then begins a new journal above that view, in which it can't contradict what it has forgotten.

use crate::application::now_ms;
use crate::block::{ChainBlock, Digest};
use crate::fault::Faults;
use crate::gate::Gate;
use crate::journal;
use crate::leaders::Leaders;
use crate::mutation::{Rule, broken};
use crate::record::{Cast, VoteRecord};
use crate::schemes::Schemes;
use crate::stack::{self, Runtime};
use crate::wire::{Pair, Wire};
use crate::witness::Observed;
use crate::{EngineError, Progress, Timings};
use candela_ledger::StateMachine;
use commonware_consensus::marshal::{core::Mailbox, standard::Standard};
use commonware_consensus::simplex::{self, Floor, scheme::ed25519::Scheme, types::Finalization};
use commonware_consensus::types::{Epoch, Epocher, FixedEpocher, Height};
use commonware_consensus::{CertifiableAutomaton, Epochable, Relay, Reporter, Viewable};
use commonware_cryptography::certificate::Scheme as _;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::utils::mux::{Builder, Error as MuxError, MuxHandle, Muxer, SubReceiver, SubSender};
use commonware_p2p::{Blocker, Message, Receiver, Sender};
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Clock, Handle, Spawner};
use commonware_utils::{channel::mpsc, vec::NonEmptyVec};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Least time between two requests for the last block of an epoch that others have left.
const CATCH_UP_INTERVAL: Duration = Duration::from_millis(250);
/// Time until a channel is asked for again that the instance before has not given back yet.
const HANDOVER: Duration = Duration::from_millis(2);
/// Past epochs whose votes may be left from a crash.
const LEFT_BEHIND: u64 = 4;

/// Messages of epochs whose channels are not open.
type Strangers = mpsc::Receiver<(u64, Message<PublicKey>)>;

/// The channels of simplex, each divided by epoch.
struct Channels<S: Sender<PublicKey = PublicKey>> {
    votes: MuxHandle<Wire<S>>,
    certificates: MuxHandle<Wire<S>>,
    fetches: MuxHandle<Wire<S>>,
    strange_votes: Strangers,
    strange_certificates: Strangers,
}

/// The three channels before they are divided.
pub(crate) struct Undivided<S, R> {
    pub(crate) votes: Pair<S, R>,
    pub(crate) certificates: Pair<S, R>,
    pub(crate) fetches: Pair<S, R>,
}

impl<S: Sender<PublicKey = PublicKey>> Channels<S> {
    fn open<E: Runtime, R: Receiver<PublicKey = PublicKey>>(context: &E, links: Undivided<S, R>) -> Self {
        let (sender, receiver) = links.votes;
        let (muxer, votes, strange_votes) =
            Muxer::builder(context.child("votes"), sender, receiver).with_backup().build();
        muxer.start();
        let (sender, receiver) = links.certificates;
        let (muxer, certificates, strange_certificates) =
            Muxer::builder(context.child("certificates"), sender, receiver).with_backup().build();
        muxer.start();
        let (sender, receiver) = links.fetches;
        let (muxer, fetches) = Muxer::new(context.child("fetches"), sender, receiver);
        muxer.start();
        Self { votes, certificates, fetches, strange_votes, strange_certificates }
    }

    /// The channels of one epoch, once the instance that has used them before is gone.
    async fn of<E: Clock>(&mut self, context: &E, epoch: u64) -> Result<[Half<S>; 3], EngineError> {
        Ok([
            register(context, &mut self.votes, epoch).await?,
            register(context, &mut self.certificates, epoch).await?,
            register(context, &mut self.fetches, epoch).await?,
        ])
    }

    /// A message of an epoch after `epoch`: somebody who is ahead.
    async fn ahead(&mut self, epoch: u64) -> PublicKey {
        loop {
            let message = tokio::select! {
                biased;
                message = self.strange_votes.recv() => message,
                message = self.strange_certificates.recv() => message,
            };
            match message {
                Some((theirs, (peer, _))) if theirs > epoch || broken(Rule::Epoch) => return peer,
                Some(_) => {}
                // The network is gone, and with it the engine.
                None => std::future::pending().await,
            }
        }
    }
}

/// One epoch's part of a channel.
type Half<S> = (SubSender<Wire<S>>, SubReceiver<PublicKey>);

async fn register<E: Clock, S: Sender<PublicKey = PublicKey>>(
    context: &E,
    channel: &mut MuxHandle<Wire<S>>,
    epoch: u64,
) -> Result<Half<S>, EngineError> {
    loop {
        match channel.register(epoch).await {
            Ok(half) => return Ok(half),
            Err(MuxError::AlreadyRegistered(_)) => context.sleep(HANDOVER).await,
            Err(_) => return Err(EngineError::Actor("division of channels")),
        }
    }
}

/// How a node takes part in an epoch.
enum Part {
    /// It votes if it has a seat, in views above the floor.
    Voting(Floor<Scheme, Digest>),
    /// It does not vote even if it has a seat.
    Watching(Floor<Scheme, Digest>),
}

/// What the simplex instances of all epochs share.
pub(crate) struct Epochs<A, B> {
    pub(crate) machine: Arc<dyn StateMachine>,
    pub(crate) schemes: Schemes,
    pub(crate) epocher: FixedEpocher,
    /// What made the oldest block final, where that is not genesis.
    pub(crate) origin: Option<Finalization<Scheme, Digest>>,
    pub(crate) automaton: A,
    pub(crate) reporter: Observed<A>,
    pub(crate) progress: Progress,
    pub(crate) blocker: Wire<B>,
    /// Whether nobody else can be reached.
    pub(crate) solitary: bool,
    pub(crate) timings: Timings,
    pub(crate) prefix: String,
    pub(crate) pages: CacheRef,
    pub(crate) votes: VoteRecord,
    pub(crate) marshal: Mailbox<Scheme, Standard<ChainBlock>>,
    /// The height of the last block that the state machine has made final.
    pub(crate) finalized: watch::Receiver<u64>,
    pub(crate) faults: Faults,
}

impl<A, B> Epochs<A, B>
where
    B: Blocker<PublicKey = PublicKey>,
    A: CertifiableAutomaton<Context = simplex::types::Context<Digest, PublicKey>, Digest = Digest>
        + Relay<Digest = Digest, PublicKey = PublicKey, Plan = simplex::Plan<PublicKey>>
        + Reporter<Activity = simplex::types::Activity<Scheme, Digest>>,
{
    /// Goes from epoch to epoch until something fails, which it reports.
    pub(crate) async fn run<E, S, R>(self, context: E, links: Undivided<S, R>)
    where
        E: Runtime,
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let faults = self.faults.clone();
        let channels = Channels::open(&context, links);
        if let Err(error) = self.conduct(&context, channels).await {
            faults.report(error);
        }
        std::future::pending().await
    }

    async fn conduct<E, S>(mut self, context: &E, mut channels: Channels<S>) -> Result<(), EngineError>
    where
        E: Runtime,
        S: Sender<PublicKey = PublicKey>,
    {
        let mut epoch = self.current();
        let mut left: Vec<u64> = (epoch.saturating_sub(LEFT_BEHIND)..epoch).collect();
        loop {
            for old in left.drain(..) {
                let _ = context.remove(&self.partition(old), None).await;
                let _ = context.remove(&self.watching(old), None).await;
            }
            self.attend(context, epoch, &mut channels).await?;
            // The actors of this epoch may not have ended yet, those of epochs before it have.
            left.extend(epoch.checked_sub(1));
            epoch = self.current();
        }
    }

    /// Takes part in an epoch until its last block is final.
    async fn attend<E, S>(&mut self, context: &E, epoch: u64, channels: &mut Channels<S>) -> Result<(), EngineError>
    where
        E: Runtime,
        S: Sender<PublicKey = PublicKey>,
    {
        let mut floor = self.floor(epoch)?;
        if let Some(view) = self.forgotten(context, epoch).await? {
            tracing::warn!(
                epoch,
                view,
                "votes of this validator are not in its journal: it waits until they don't matter"
            );
            let _ = context.remove(&self.watching(epoch), None).await;
            let mut watcher = self.enter(context, epoch, Part::Watching(floor), channels).await?;
            let seen = finalization(self.marshal.clone(), self.finalized.clone(), (epoch, view));
            let finalization = tokio::select! {
                biased;
                finalization = seen => Some(finalization),
                over = self.stay(context, epoch, &mut watcher, channels) => over.map(|()| None)?,
            };
            watcher.abort();
            let _ = watcher.await;
            let Some(finalization) = finalization else { return Ok(()) };
            let _ = context.remove(&self.partition(epoch), None).await;
            floor = Floor::Finalized(finalization);
        }
        let mut engine = self.enter(context, epoch, Part::Voting(floor), channels).await?;
        self.stay(context, epoch, &mut engine, channels).await?;
        engine.abort();
        Ok(())
    }

    /// The view up to which the validator may have voted in an epoch without its journal telling how; `None` when the
    /// journal has every vote that it needs.
    async fn forgotten<E: Runtime>(&mut self, context: &E, epoch: u64) -> Result<Option<u64>, EngineError> {
        let scheme = self.scheme(epoch)?;
        if scheme.me().is_none() || scheme.participants().len() == 1 || broken(Rule::Memory) || broken(Rule::Journal) {
            return Ok(None);
        }
        let memory = match journal::read(context, self.partition(epoch), &scheme, self.pages.clone()).await {
            Ok(memory) => memory,
            Err(error) => {
                tracing::warn!(epoch, %error, "the journal of votes is damaged and begun anew");
                let _ = context.remove(&self.partition(epoch), None).await;
                journal::Memory::default()
            }
        };
        let Some((newest, votes)) = self.votes.newest() else { return Ok(None) };
        if newest > epoch {
            return Ok(Some(u64::MAX));
        }
        let lacks = |vote: &Cast| vote.view > memory.floor && !memory.votes.contains(vote);
        let forgets = newest == epoch && votes.iter().any(lacks);
        Ok(votes.last().filter(|_| forgets).map(|vote| vote.view))
    }

    /// Who signs in an epoch.
    ///
    /// # Errors
    /// When nobody is elected, or nobody whom this node could agree with.
    fn scheme(&self, epoch: u64) -> Result<Arc<Scheme>, EngineError> {
        let scheme = self.schemes.of(epoch)?.ok_or(EngineError::Committee("nobody is elected"))?;
        if self.solitary && (scheme.participants().len() > 1 || scheme.me().is_none()) {
            return Err(EngineError::Committee("it has other members but no network is configured"));
        }
        Ok(scheme)
    }

    /// # Errors
    /// When the epoch of the next block can't begin on this node.
    pub(crate) async fn check<E: Runtime>(&mut self, context: &E) -> Result<(), EngineError> {
        let epoch = self.current();
        let others = self.scheme(epoch)?.participants().len() > 1;
        match self.votes.fresh() {
            Some(path) if others && context.scan(&self.partition(epoch)).await.is_ok_and(|blobs| !blobs.is_empty()) => {
                Err(EngineError::RecordMissing(path))
            }
            _ => Ok(()),
        }
    }

    /// The epoch of the next block.
    fn current(&self) -> u64 {
        let next = Height::new(self.machine.head().header.number.saturating_add(1));
        self.epocher.containing(next).map_or(0, |bounds| bounds.epoch().get())
    }

    /// Where the votes of an epoch are kept.
    fn partition(&self, epoch: u64) -> String {
        format!("{}simplex-{epoch}", self.prefix)
    }

    /// Where simplex keeps an epoch that the validator only watches.
    fn watching(&self, epoch: u64) -> String {
        format!("{}watch-{epoch}", self.prefix)
    }

    /// Where simplex records its votes. A validator that restarts without this record may contradict them.
    fn journal(&self, context: &impl Clock, epoch: u64) -> String {
        let partition = self.partition(epoch);
        if broken(Rule::Journal) { format!("{partition}-{}", now_ms(context)) } else { partition }
    }

    fn last(&self, epoch: u64) -> Height {
        self.epocher.last(Epoch::new(epoch)).unwrap_or(Height::new(u64::MAX))
    }

    /// What the instance of an epoch begins from: the last block of the epoch before, or the oldest block that is here.
    fn floor(&self, epoch: u64) -> Result<Floor<Scheme, Digest>, EngineError> {
        if let Some(origin) = self.origin.as_ref().filter(|origin| origin.epoch().get() == epoch) {
            return Ok(Floor::Finalized(origin.clone()));
        }
        let first = epoch.checked_sub(1).map_or(0, |before| self.last(before).get());
        let missing = || EngineError::Machine(format!("block {first}, from which epoch {epoch} begins, is missing"));
        let hash = self.machine.hash(first)?.ok_or_else(missing)?;
        Ok(Floor::Genesis(Digest::from(hash.0)))
    }

    /// Starts the simplex instance of an epoch.
    async fn enter<E, S>(
        &mut self,
        context: &E,
        epoch: u64,
        part: Part,
        channels: &mut Channels<S>,
    ) -> Result<Handle<()>, EngineError>
    where
        E: Runtime,
        S: Sender<PublicKey = PublicKey>,
    {
        let [votes, certificates, fetches] = channels.of(context, epoch).await?;
        let own = self.scheme(epoch)?;
        let (scheme, partition, floor) = match part {
            Part::Voting(floor) => (own.as_ref().clone(), self.journal(context, epoch), floor),
            Part::Watching(floor) => (self.schemes.verifier(own.participants()), self.watching(epoch), floor),
        };
        let (seats, voting) = (scheme.participants().len(), scheme.me().is_some());
        let committee = self.schemes.committee(epoch)?.ok_or(EngineError::Committee("nobody is elected"))?;
        let config = stack::simplex_config(stack::Instance {
            epoch: Epoch::new(epoch),
            scheme,
            leaders: Leaders { seed: self.machine.seed(epoch)?, members: committee.members },
            partition,
            floor,
            automaton: self.automaton.clone(),
            reporter: self.reporter.clone(),
            blocker: self.blocker.clone(),
            timings: &self.timings,
            pages: self.pages.clone(),
        });
        let role = match (voting, own.me()) {
            (true, _) => "votes",
            (false, Some(_)) => "follows until it may vote",
            (false, None) => "follows without a seat",
        };
        self.progress.enter(epoch, seats, voting);
        tracing::info!(epoch, seats, role, "epoch began");
        let context = context.child("simplex").with_attribute("epoch", epoch);
        // A committee of one may go back: nobody else votes, and it could wait for nobody.
        let record = if seats > 1 { self.votes.clone() } else { VoteRecord::default() };
        let gate = |(inner, receiver), votes| {
            (Gate { inner, record: record.clone(), faults: self.faults.clone(), votes }, receiver)
        };
        let links = (gate(votes, true), gate(certificates, false), gate(fetches, false));
        Ok(simplex::Engine::new(context, config).start(links.0, links.1, links.2))
    }

    /// Stays in an epoch until its last block is final.
    async fn stay<E, S>(
        &mut self,
        context: &E,
        epoch: u64,
        engine: &mut Handle<()>,
        channels: &mut Channels<S>,
    ) -> Result<(), EngineError>
    where
        E: Clock + Spawner,
        S: Sender<PublicKey = PublicKey>,
    {
        let last = self.last(epoch);
        let (mut finalized, marshal) = (self.finalized.clone(), self.marshal.clone());
        tokio::select! {
            biased;
            ended = finalized.wait_for(|height| *height >= last.get()) => {
                ended.map(|_| ()).map_err(|_| EngineError::Actor("finalizer"))
            }
            _ = engine => Err(EngineError::Actor("simplex engine")),
            () = catch_up(context, &marshal, (epoch, last), channels) => Ok(()),
        }
    }
}

/// Waits for a final block of an epoch in a view that is no lower than `view`.
async fn finalization(
    marshal: Mailbox<Scheme, Standard<ChainBlock>>,
    mut finalized: watch::Receiver<u64>,
    (epoch, view): (u64, u64),
) -> Finalization<Scheme, Digest> {
    loop {
        let height = Height::new(*finalized.borrow_and_update());
        if let Some(finalization) = marshal.get_finalization(height).await
            && finalization.epoch().get() == epoch
            && finalization.view().get() >= view
        {
            return finalization;
        }
        if finalized.changed().await.is_err() {
            // The engine is stopping.
            std::future::pending().await
        }
    }
}

/// Asks whoever is ahead for the last block of an epoch; never returns.
async fn catch_up<E, S>(
    context: &E,
    marshal: &Mailbox<Scheme, Standard<ChainBlock>>,
    (epoch, last): (u64, Height),
    channels: &mut Channels<S>,
) where
    E: Clock,
    S: Sender<PublicKey = PublicKey>,
{
    loop {
        let peer = channels.ahead(epoch).await;
        tracing::debug!(epoch, %peer, "a validator is in a later epoch");
        marshal.hint_finalized(last, NonEmptyVec::new(peer));
        context.sleep(CATCH_UP_INTERVAL).await;
    }
}
