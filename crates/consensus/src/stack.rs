//! Assemble simplex, marshal and the application on any commonware runtime.

use crate::application::{Application, now_ms};
use crate::block::{ChainBlock, Digest};
use crate::certificates::Certificates;
use crate::committee::{decode_key, private_key};
use crate::epochs::{Epochs, Undivided};
use crate::fault::Faults;
use crate::finalizer::{Finalizer, Inbox};
use crate::leaders::Leaders;
use crate::mutation::{Rule, broken};
use crate::schemes::Schemes;
use crate::wire::{Links, Members, Pair, Wire};
use crate::witness::{Observed, Witness};
use crate::{Config, EngineError, Timings, gossip};
use candela_ledger::StateMachine;
use commonware_broadcast::buffered;
use commonware_codec::Decode;
use commonware_consensus::marshal::{
    self,
    core::Mailbox,
    core::Processed,
    resolver,
    standard::{Inline, Standard},
};
use commonware_consensus::simplex::{self, scheme::ed25519::Scheme};
use commonware_consensus::simplex::{Floor, ForwardPolicy, SkipBudget, SkipPolicy, types::Finalization};
use commonware_consensus::types::{Epoch, FixedEpocher, ViewDelta};
use commonware_cryptography::certificate::Verifier;
use commonware_cryptography::{Digested, Signer, ed25519};
use commonware_p2p::{Blocker, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage};
use commonware_storage::{archive::prunable, translator::EightCap};
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize, ordered::Set};
use rand_core::CryptoRng;
use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

/// On-disk format: never change.
const PAGE_BYTES: NonZeroU16 = NZU16!(4_092);
/// On-disk format: never change.
const ITEMS_PER_SECTION: NonZeroU64 = NZU64!(256);
const CACHED_PAGES: NonZeroUsize = NZUsize!(512);
pub(crate) const BUFFER_BYTES: NonZeroUsize = NZUsize!(1 << 18);
const MAILBOX: NonZeroUsize = NZUsize!(1_024);
/// Finalised blocks that may wait for the state machine.
const PENDING_BLOCKS: NonZeroUsize = NZUsize!(16);
/// Blocks that are kept from each leader until they are final.
const CACHED_BLOCKS: usize = 16;
const FETCH_TIMEOUT: Duration = Duration::from_secs(1);
const FETCH_RETRY: Duration = Duration::from_millis(250);
const RETAINED_VIEWS: ViewDelta = ViewDelta::new(64);
/// Blocks of the one epoch where nobody is elected.
const ENDLESS: NonZeroU64 = NonZeroU64::MAX;

/// What commonware asks of a runtime.
pub(crate) trait Runtime: Clock + CryptoRng + Spawner + Storage + Metrics {}

impl<E: Clock + CryptoRng + Spawner + Storage + Metrics> Runtime for E {}

type BlockArchive<E> = prunable::Archive<EightCap, E, Digest, Arc<ChainBlock>>;
type FinalizationArchive<E> = prunable::Archive<EightCap, E, Digest, Finalization<Scheme, Digest>>;

type Start = marshal::Start<Scheme, Digest, Digested<ChainBlock>>;

/// The running actors.
pub(crate) struct Stack {
    marshal: Handle<()>,
    epochs: Handle<()>,
    finalizer: Handle<()>,
    dissemination: Handle<()>,
    witness: Handle<()>,
    /// A committee of one has nobody to talk to.
    gossip: Option<Handle<()>>,
    faults: Faults,
}

impl Stack {
    /// Waits for a failure; actors never end by themselves.
    pub(crate) async fn failed(self) -> EngineError {
        tokio::select! {
            biased;
            error = self.faults.first() => error,
            _ = self.finalizer => EngineError::Actor("finalizer"),
            () = ended(self.gossip) => EngineError::Actor("gossip of transactions"),
            _ = self.witness => EngineError::Actor("witness"),
            _ = self.dissemination => EngineError::Actor("dissemination"),
            _ = self.marshal => EngineError::Actor("marshal"),
            _ = self.epochs => EngineError::Actor("change of epochs"),
        }
    }
}

async fn ended(actor: Option<Handle<()>>) {
    match actor {
        Some(actor) => drop(actor.await),
        None => std::future::pending().await,
    }
}

fn archive_config<C>(name: &str, codec_config: C, pages: &CacheRef) -> prunable::Config<EightCap, C> {
    prunable::Config {
        translator: EightCap,
        metadata_partition: format!("{name}-metadata"),
        key_partition: format!("{name}-keys"),
        key_page_cache: pages.clone(),
        value_partition: format!("{name}-values"),
        compression: None,
        codec_config,
        items_per_section: ITEMS_PER_SECTION,
        key_write_buffer: BUFFER_BYTES,
        value_write_buffer: BUFFER_BYTES,
        replay_buffer: BUFFER_BYTES,
    }
}

async fn archives<E: Runtime>(
    context: &E,
    prefix: &str,
    max_block_bytes: usize,
    pages: &CacheRef,
) -> Result<(FinalizationArchive<E>, BlockArchive<E>), EngineError> {
    let failed = |error| EngineError::Machine(format!("consensus archive cannot be opened: {error}"));
    let unbounded = Scheme::certificate_codec_config_unbounded();
    let finalizations = archive_config(&format!("{prefix}finalizations"), unbounded, pages);
    let blocks = archive_config(&format!("{prefix}blocks"), max_block_bytes, pages);
    Ok((
        prunable::Archive::init(context.child("finalizations"), finalizations).await.map_err(failed)?,
        prunable::Archive::init(context.child("blocks"), blocks).await.map_err(failed)?,
    ))
}

/// One epoch's simplex instance.
pub(crate) struct Instance<'a, A, B> {
    pub(crate) epoch: Epoch,
    pub(crate) scheme: Scheme,
    pub(crate) leaders: Leaders,
    pub(crate) partition: String,
    /// What the instance begins above.
    pub(crate) floor: Floor<Scheme, Digest>,
    pub(crate) automaton: A,
    pub(crate) reporter: Observed<A>,
    pub(crate) blocker: Wire<B>,
    pub(crate) timings: &'a Timings,
    pub(crate) pages: CacheRef,
}

pub(crate) fn simplex_config<A, B>(
    instance: Instance<'_, A, B>,
) -> simplex::Config<Scheme, Leaders, Wire<B>, Digest, A, A, Observed<A>, Sequential>
where
    B: Blocker<PublicKey = ed25519::PublicKey>,
    A: commonware_consensus::CertifiableAutomaton<
            Context = simplex::types::Context<Digest, ed25519::PublicKey>,
            Digest = Digest,
        > + commonware_consensus::Relay
        + commonware_consensus::Reporter<Activity = simplex::types::Activity<Scheme, Digest>>,
{
    let Instance { automaton, timings, .. } = instance;
    simplex::Config {
        scheme: instance.scheme,
        elector: instance.leaders,
        blocker: instance.blocker,
        automaton: automaton.clone(),
        relay: automaton,
        reporter: instance.reporter,
        // Who votes twice must not get away with it because the second vote came late.
        track_historical_votes: true,
        strategy: Sequential,
        partition: instance.partition,
        mailbox_size: MAILBOX,
        epoch: instance.epoch,
        floor: instance.floor,
        replay_buffer: BUFFER_BYTES,
        write_buffer: BUFFER_BYTES,
        page_cache: instance.pages,
        leader_timeout: timings.leader,
        certification_timeout: timings.certification,
        timeout_retry: timings.retry,
        view_retention: RETAINED_VIEWS,
        skip: SkipPolicy::Enabled { timeout: timings.skip, budget: SkipBudget::Participants },
        fetch_timeout: NZDuration!(FETCH_TIMEOUT),
        fetch_retry_delay: FETCH_RETRY,
        // Others fetch a block that they lack; sending it to all of them would cost up to n^2 / 3 copies.
        forward: ForwardPolicy::SilentLeader,
    }
}

/// What marshal needs besides its stores.
struct MarshalParts<S, R, B> {
    schemes: Schemes,
    epocher: FixedEpocher,
    me: ed25519::PublicKey,
    members: Members,
    blocks: Pair<S, R>,
    backfill: Pair<S, R>,
    blocker: Wire<B>,
    start: Start,
    head: u64,
    max_block_bytes: usize,
    inbox: Inbox,
}

fn marshal_config(
    (schemes, epocher): (Schemes, FixedEpocher),
    prefix: &str,
    start: Start,
    max_block_bytes: usize,
    pages: &CacheRef,
) -> marshal::Config<Schemes, FixedEpocher, Sequential, ChainBlock, Digested<ChainBlock>> {
    marshal::Config {
        provider: schemes,
        epocher,
        start,
        partition_prefix: format!("{prefix}marshal"),
        mailbox_size: MAILBOX,
        view_retention: RETAINED_VIEWS,
        prunable_items_per_section: ITEMS_PER_SECTION,
        page_cache: pages.clone(),
        replay_buffer: BUFFER_BYTES,
        key_write_buffer: BUFFER_BYTES,
        value_write_buffer: BUFFER_BYTES,
        block_codec_config: max_block_bytes,
        max_repair: NZUsize!(16),
        max_pending_acks: PENDING_BLOCKS,
        strategy: Sequential,
    }
}

/// Opens marshal, starts it and returns its handle, that of its dissemination, and its mailbox.
async fn start_marshal<E, S, R, B>(
    context: &E,
    prefix: &str,
    parts: MarshalParts<S, R, B>,
    pages: &CacheRef,
) -> Result<(Handle<()>, Handle<()>, Mailbox<Scheme, Standard<ChainBlock>>), EngineError>
where
    E: Runtime,
    S: Sender<PublicKey = ed25519::PublicKey>,
    R: Receiver<PublicKey = ed25519::PublicKey>,
    B: Blocker<PublicKey = ed25519::PublicKey>,
{
    let (finalizations, blocks) = archives(context, prefix, parts.max_block_bytes, pages).await?;
    let config = marshal_config((parts.schemes, parts.epocher), prefix, parts.start, parts.max_block_bytes, pages);
    let (actor, mailbox, floor) =
        marshal::core::Actor::init(context.child("marshal"), finalizations, blocks, config).await;
    let consensus = floor.processed().map_or(0, |processed: Processed| processed.height().get());
    if consensus > parts.head {
        return Err(EngineError::Behind { consensus, ledger: parts.head });
    }
    let (engine, buffer) = buffered::Engine::new(
        context.child("dissemination"),
        buffered::Config {
            public_key: parts.me.clone(),
            mailbox_size: MAILBOX,
            deque_size: if broken(Rule::Cache) { 1 << 12 } else { CACHED_BLOCKS },
            priority: false,
            codec_config: parts.max_block_bytes,
            peer_provider: parts.members.clone(),
            strategy: Sequential,
        },
    );
    let dissemination = engine.start(parts.blocks);
    let resolver = resolver::p2p::init(
        context.child("backfill"),
        resolver::p2p::Config {
            public_key: parts.me,
            peer_provider: parts.members,
            blocker: parts.blocker,
            mailbox_size: MAILBOX,
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: FETCH_RETRY,
            priority_requests: false,
            priority_responses: false,
        },
        parts.backfill,
    );
    Ok((actor.start(parts.inbox, buffer, resolver), dissemination, mailbox))
}

/// Starts every actor on `context`, in storage whose names begin with `prefix`.
///
/// # Errors
/// When the configuration is wrong or the stores can't be opened. Damaged storage panics inside commonware.
pub(crate) async fn start<E, S, R, B>(
    context: &E,
    prefix: &str,
    config: &Config,
    machine: Arc<dyn StateMachine>,
    links: Links<S, R, B>,
) -> Result<Stack, EngineError>
where
    E: Runtime,
    S: Sender<PublicKey = ed25519::PublicKey>,
    R: Receiver<PublicKey = ed25519::PublicKey>,
    B: Blocker<PublicKey = ed25519::PublicKey>,
{
    config.timings.check()?;
    let key = private_key(&config.secret)?;
    let solitary = matches!(links.votes.0, Wire::Alone);
    let faults = Faults::new();
    let schemes = Schemes::new(config, machine.clone(), faults.clone())?;
    let epocher = epocher(machine.as_ref());
    let pages = CacheRef::new(PAGE_BYTES, CACHED_PAGES);
    let certificates = Certificates::default();
    let (finalizer, inbox) =
        Finalizer::new(machine.clone(), config.work.clone(), faults.clone(), certificates.clone(), solitary);
    let finalized = finalizer.finalized();
    let origin = origin(machine.as_ref())?;
    let genesis = || marshal::Start::Genesis(ChainBlock::genesis(machine.genesis()).digested());
    let parts = MarshalParts {
        schemes: schemes.clone(),
        epocher: epocher.clone(),
        me: key.public_key(),
        members: Members::new(peers(config, &key.public_key())?),
        blocks: links.blocks,
        backfill: links.backfill,
        blocker: links.blocker.clone(),
        start: origin.clone().map_or_else(genesis, marshal::Start::Floor),
        head: machine.head().header.number,
        max_block_bytes: config.max_block_bytes,
        inbox,
    };
    let (marshal, dissemination, mailbox) = start_marshal(context, prefix, parts, &pages).await?;
    let finalizations = mailbox.clone();
    let finalizer = context.child("finalizer").spawn(move |context| finalizer.run(context, finalizations));

    let application = Application {
        machine: machine.clone(),
        key,
        schemes: schemes.clone(),
        certificates: certificates.clone(),
        fee_recipient: config.fee_recipient,
        timings: config.timings.clone(),
        work: config.work.clone(),
        faults: faults.clone(),
        started_ms: now_ms(context),
    };
    let (witness, reports) =
        Witness::open(context.child("witness"), prefix, schemes.clone(), config.evidence.clone()).await?;
    let automaton = Inline::new(context.child("application"), application, mailbox.clone(), epocher.clone());
    let mut epochs = Epochs {
        machine,
        schemes,
        epocher,
        origin,
        reporter: Observed::new(automaton.clone(), reports, certificates, config.progress.clone()),
        progress: config.progress.clone(),
        automaton,
        blocker: links.blocker,
        solitary,
        timings: config.timings.clone(),
        prefix: prefix.to_owned(),
        pages,
        votes: config.votes.clone(),
        marshal: mailbox,
        finalized,
        faults: faults.clone(),
    };
    epochs.check(context).await?;
    let undivided = Undivided { votes: links.votes, certificates: links.certificates, fetches: links.fetches };
    let epochs = context.child("epochs").spawn(move |context| epochs.run(context, undivided));
    let gossip = (!solitary).then(|| {
        gossip::start(context.child("gossip"), links.transactions, config.announcements.clone(), config.pool.clone())
    });
    let judged = faults.clone();
    let witness = context.child("evidence").spawn(move |_| witness.run(judged));
    Ok(Stack { marshal, epochs, finalizer, dissemination, witness, gossip, faults })
}

/// What the machine's oldest block was made final by, where that is not genesis.
fn origin(machine: &dyn StateMachine) -> Result<Option<Finalization<Scheme, Digest>>, EngineError> {
    let decode = |certificate| Finalization::decode_cfg(certificate, &Scheme::certificate_codec_config_unbounded());
    let origin = machine.origin()?.map(|certificate| decode(certificate.0)).transpose();
    origin.map_err(|error| EngineError::Machine(format!("the certificate of the oldest block is malformed: {error}")))
}

/// How heights are divided into epochs.
fn epocher(machine: &dyn StateMachine) -> FixedEpocher {
    let blocks = machine.epochs().and_then(|epochs| NonZeroU64::new(epochs.blocks()));
    FixedEpocher::new(blocks.unwrap_or(ENDLESS))
}

/// The nodes that blocks come from and go to, this one included: those of the network, or the committee where there is
/// no configured one.
fn peers(config: &Config, me: &ed25519::PublicKey) -> Result<Set<ed25519::PublicKey>, EngineError> {
    let mut keys = match &config.network {
        Some(network) => network.peers.iter().map(|peer| decode_key(&peer.public_key)).collect::<Result<_, _>>()?,
        None if config.committee.members.is_empty() => Vec::new(),
        None => config.committee.keys()?.into_iter().collect(),
    };
    keys.push(me.clone());
    Ok(Set::from_iter_dedup(keys))
}
