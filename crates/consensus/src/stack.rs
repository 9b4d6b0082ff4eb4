//! Assemble simplex, marshal and the application on any commonware runtime.

use crate::application::{Application, now_ms};
use crate::block::{ChainBlock, Digest};
use crate::fault::Faults;
use crate::finalizer::{Finalizer, Inbox};
use crate::solitary::{NoSource, Nobody};
use crate::{Config, EngineError, Timings};
use bytes::Bytes;
use candela_ledger::StateMachine;
use commonware_codec::DecodeExt;
use commonware_consensus::marshal::{
    self,
    core::Mailbox,
    core::Processed,
    resolver::handler,
    standard::{Inline, Standard},
};
use commonware_consensus::simplex::{self, elector::RoundRobin, scheme::ed25519::Scheme};
use commonware_consensus::simplex::{Floor, ForwardPolicy, SkipBudget, SkipPolicy, types::Finalization};
use commonware_consensus::types::{Epoch, FixedEpocher, ViewDelta};
use commonware_cryptography::certificate::{ConstantProvider, Verifier};
use commonware_cryptography::{Signer, ed25519};
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
const BUFFER_BYTES: NonZeroUsize = NZUsize!(1 << 18);
const MAILBOX: NonZeroUsize = NZUsize!(1_024);
/// Finalised blocks that may wait for the state machine.
const PENDING_BLOCKS: NonZeroUsize = NZUsize!(16);
const RETAINED_VIEWS: ViewDelta = ViewDelta::new(64);
/// Epochs arrive with elections; until then the chain is one epoch.
const EPOCH: Epoch = Epoch::zero();
const EPOCH_LENGTH: NonZeroU64 = NonZeroU64::MAX;

/// What commonware asks of a runtime.
pub(crate) trait Runtime: Clock + CryptoRng + Spawner + Storage + Metrics {}

impl<E: Clock + CryptoRng + Spawner + Storage + Metrics> Runtime for E {}

type BlockArchive<E> = prunable::Archive<EightCap, E, Digest, Arc<ChainBlock>>;
type FinalizationArchive<E> = prunable::Archive<EightCap, E, Digest, Finalization<Scheme, Digest>>;

/// The running actors.
pub(crate) struct Stack {
    marshal: Handle<()>,
    simplex: Handle<()>,
    finalizer: Handle<()>,
    faults: Faults,
}

impl Stack {
    /// Waits for a failure; actors never end by themselves.
    pub(crate) async fn failed(self) -> EngineError {
        tokio::select! {
            biased;
            error = self.faults.first() => error,
            _ = self.finalizer => EngineError::Actor("finalizer"),
            _ = self.marshal => EngineError::Actor("marshal"),
            _ = self.simplex => EngineError::Actor("simplex engine"),
        }
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
    max_block_bytes: usize,
    pages: &CacheRef,
) -> Result<(FinalizationArchive<E>, BlockArchive<E>), EngineError> {
    let failed = |error| EngineError::Machine(format!("consensus archive cannot be opened: {error}"));
    let unbounded = Scheme::certificate_codec_config_unbounded();
    let finalizations = archive_config("finalizations", unbounded, pages);
    let blocks = archive_config("blocks", max_block_bytes, pages);
    Ok((
        prunable::Archive::init(context.child("finalizations"), finalizations).await.map_err(failed)?,
        prunable::Archive::init(context.child("blocks"), blocks).await.map_err(failed)?,
    ))
}

fn simplex_config<A>(
    scheme: Scheme,
    automaton: A,
    genesis: Digest,
    timings: &Timings,
    pages: CacheRef,
) -> simplex::Config<Scheme, RoundRobin, Nobody, Digest, A, A, A, Sequential>
where
    A: commonware_consensus::CertifiableAutomaton<
            Context = simplex::types::Context<Digest, ed25519::PublicKey>,
            Digest = Digest,
        > + commonware_consensus::Relay
        + commonware_consensus::Reporter<Activity = simplex::types::Activity<Scheme, Digest>>,
{
    simplex::Config {
        scheme,
        elector: RoundRobin::default(),
        blocker: Nobody,
        automaton: automaton.clone(),
        relay: automaton.clone(),
        reporter: automaton,
        track_historical_votes: false,
        strategy: Sequential,
        partition: "simplex".to_owned(),
        mailbox_size: MAILBOX,
        epoch: EPOCH,
        floor: Floor::Genesis(genesis),
        replay_buffer: BUFFER_BYTES,
        write_buffer: BUFFER_BYTES,
        page_cache: pages,
        leader_timeout: timings.leader,
        certification_timeout: timings.certification,
        timeout_retry: timings.retry,
        view_retention: RETAINED_VIEWS,
        skip: SkipPolicy::Enabled { timeout: timings.skip, budget: SkipBudget::Participants },
        fetch_timeout: NZDuration!(Duration::from_secs(1)),
        fetch_retry_delay: Duration::from_secs(1),
        forward: ForwardPolicy::Disabled,
    }
}

/// Opens marshal, starts it and returns its mailbox.
async fn start_marshal<E: Runtime>(
    context: &E,
    scheme: &Scheme,
    genesis: ChainBlock,
    head: u64,
    max_block_bytes: usize,
    pages: &CacheRef,
    inbox: Inbox,
) -> Result<(Handle<()>, Mailbox<Scheme, Standard<ChainBlock>>), EngineError> {
    let (finalizations, blocks) = archives(context, max_block_bytes, pages).await?;
    let config = marshal::Config {
        provider: ConstantProvider::new(scheme.clone()),
        epocher: FixedEpocher::new(EPOCH_LENGTH),
        start: marshal::Start::Genesis(genesis.digested()),
        partition_prefix: "marshal".to_owned(),
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
    };
    let (actor, mailbox, floor) =
        marshal::core::Actor::init(context.child("marshal"), finalizations, blocks, config).await;
    let consensus = floor.processed().map_or(0, |processed: Processed| processed.height().get());
    if consensus > head {
        return Err(EngineError::Behind { consensus, ledger: head });
    }
    let (receiver, handler) = handler::init(context.child("resolver"), MAILBOX);
    Ok((actor.start_unbuffered(inbox, (receiver, NoSource(handler))), mailbox))
}

/// Starts every actor on `context`.
///
/// # Errors
/// When the configuration is wrong or the stores can't be opened. Damaged storage panics inside commonware.
pub(crate) async fn start<E: Runtime>(
    context: &E,
    config: &Config,
    machine: Arc<dyn StateMachine>,
) -> Result<Stack, EngineError> {
    config.timings.check()?;
    let key = ed25519::PrivateKey::decode(Bytes::copy_from_slice(&config.secret)).map_err(|_| EngineError::Key)?;
    let committee = Set::from_iter_dedup([key.public_key()]);
    let namespace = format!("_CANDELA_{}", config.chain_id);
    let scheme = Scheme::signer(namespace.as_bytes(), committee, key.clone()).ok_or(EngineError::Key)?;
    let pages = CacheRef::new(PAGE_BYTES, CACHED_PAGES);
    let genesis = ChainBlock::new(machine.genesis());
    let genesis_digest = commonware_cryptography::Digestible::digest(&genesis);

    let faults = Faults::new();
    let (finalizer, inbox) = Finalizer::new(machine.clone(), config.work.clone(), faults.clone());
    let head = machine.head().header.number;
    let (marshal, mailbox) =
        start_marshal(context, &scheme, genesis, head, config.max_block_bytes, &pages, inbox).await?;
    let finalizations = mailbox.clone();
    let finalizer = context.child("finalizer").spawn(move |context| finalizer.run(context, finalizations));

    let application = Application {
        machine,
        key,
        fee_recipient: config.fee_recipient,
        timings: config.timings.clone(),
        work: config.work.clone(),
        faults: faults.clone(),
        started_ms: now_ms(context),
    };
    let inline = Inline::new(context.child("application"), application, mailbox, FixedEpocher::new(EPOCH_LENGTH));
    let engine = simplex::Engine::new(
        context.child("simplex"),
        simplex_config(scheme, inline, genesis_digest, &config.timings, pages),
    );
    let simplex = engine.start((Nobody, Nobody), (Nobody, Nobody), (Nobody, Nobody));
    Ok(Stack { marshal, simplex, finalizer, faults })
}
