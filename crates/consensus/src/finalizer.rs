//! Hand finalised blocks to the state machine, in order, each durable before it is acknowledged.

use crate::application::{elapsed_us, note};
use crate::block::{ChainBlock, Digest, hash_of};
use crate::certificates::Certificates;
use crate::fault::Faults;
use crate::mutation::{Rule, broken};
use crate::{EngineError, WorkSignal};
use candela_ledger::StateMachine;
use commonware_actor::Feedback;
use commonware_codec::Encode;
use commonware_consensus::marshal::{Update, core::Mailbox, standard::Standard};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::{Heightable, Reporter, types::Height};
use commonware_cryptography::{Digested, Digestible};
use commonware_runtime::{Clock, Spawner};
use commonware_utils::{Acknowledgement, acknowledgement::Exact};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Finalised blocks that marshal keeps besides the archive's copy, for peers that lag.
const RETAINED_BLOCKS: u64 = 1_024;

/// Blocks between two prunings.
const PRUNE_EVERY: u64 = 256;

/// Time until a certificate that is not there yet is looked for again.
const CERTIFICATE_RETRY: Duration = Duration::from_millis(20);

/// Finalised blocks on their way to a [`Finalizer`]. Marshal bounds how many wait.
#[derive(Clone)]
pub(crate) struct Inbox(mpsc::UnboundedSender<(Digested<ChainBlock>, Exact)>);

impl Reporter for Inbox {
    type Activity = Update<ChainBlock>;

    fn report(&mut self, update: Self::Activity) -> Feedback {
        match update {
            Update::Tip(..) => Feedback::Ok,
            Update::Block(block, acknowledgement) => match self.0.send((block, acknowledgement)) {
                Ok(()) => Feedback::Ok,
                Err(_) => Feedback::Closed,
            },
        }
    }
}

/// Applies finalised blocks.
pub(crate) struct Finalizer {
    machine: Arc<dyn StateMachine>,
    work: WorkSignal,
    faults: Faults,
    blocks: mpsc::UnboundedReceiver<(Digested<ChainBlock>, Exact)>,
    /// Whether old blocks may go: nobody asks a committee of one for them.
    prune: bool,
    /// Tells the height of the last block that the state machine has.
    finalized: watch::Sender<u64>,
    /// Is told the certificates, for proposers.
    certificates: Certificates,
    /// The last certificate and the height that it is for; it also covers the heights before that have none.
    certificate: Option<(Height, bytes::Bytes)>,
}

impl Finalizer {
    pub(crate) fn new(
        machine: Arc<dyn StateMachine>,
        work: WorkSignal,
        faults: Faults,
        certificates: Certificates,
        prune: bool,
    ) -> (Self, Inbox) {
        let (sender, blocks) = mpsc::unbounded_channel();
        let finalized = watch::Sender::new(machine.head().header.number);
        (Self { machine, work, faults, blocks, prune, finalized, certificates, certificate: None }, Inbox(sender))
    }

    /// The height of the last block that the state machine has.
    pub(crate) fn finalized(&self) -> watch::Receiver<u64> {
        self.finalized.subscribe()
    }

    /// Runs until marshal is gone or the state machine fails.
    pub(crate) async fn run<E: Clock + Spawner>(mut self, context: E, marshal: Mailbox<Scheme, Standard<ChainBlock>>) {
        while let Some((block, acknowledgement)) = self.blocks.recv().await {
            let acknowledgement = if broken(Rule::Durability) {
                acknowledgement.acknowledge();
                // The simulator's ledger stores at once; a real one takes its time.
                context.sleep(Duration::from_millis(5)).await;
                Exact::handle().0
            } else {
                acknowledgement
            };
            note("block certified", block.inner(), 0);
            let began = context.current();
            if let Err(error) = self.apply(&context, &marshal, &block).await {
                self.faults.report(error);
                // Keep the acknowledgement: dropping it would make marshal's end look like the cause.
                std::mem::forget(acknowledgement);
                return std::future::pending().await;
            }
            acknowledgement.acknowledge();
            note("block stored", block.inner(), elapsed_us(&context, began));
            self.work.notify();
            let height = block.height().get();
            self.finalized.send_replace(self.machine.head().header.number);
            if self.prune && height.is_multiple_of(PRUNE_EVERY) && height > RETAINED_BLOCKS {
                marshal.prune(Height::new(height - RETAINED_BLOCKS));
            }
        }
    }

    async fn apply<E: Clock + Spawner>(
        &mut self,
        context: &E,
        marshal: &Mailbox<Scheme, Standard<ChainBlock>>,
        block: &Digested<ChainBlock>,
    ) -> Result<(), EngineError> {
        if block.height() == Height::zero() {
            return self.check_genesis(&block.digest());
        }
        let mut certificate = self.certificate(marshal, block.height()).await;
        if certificate.is_none() {
            // A crash may leave a block whose certificate was not written yet.
            tracing::warn!(
                number = block.height().get(),
                "a final block has no certificate: it waits until simplex or a peer brings it, or that of a descendant"
            );
        }
        let certificate = loop {
            match certificate {
                Some(certificate) => break certificate,
                None => context.sleep(CERTIFICATE_RETRY).await,
            }
            certificate = self.certificate(marshal, block.height()).await;
        };
        let (machine, block) = (self.machine.clone(), block.inner().block().clone());
        let task = context
            .child("finalize")
            .shared(true)
            .spawn(move |_| async move { machine.finalize(&block, &certificate) });
        match task.await {
            Ok(result) => result.map_err(EngineError::from),
            Err(_) => Err(EngineError::Actor("finalizer")),
        }
    }

    /// The encoded finalisation of the block at `height`, or of its nearest descendant that has one of its own: simplex
    /// may finalise several blocks with one certificate. `None` when marshal has none yet.
    async fn certificate(
        &mut self,
        marshal: &Mailbox<Scheme, Standard<ChainBlock>>,
        height: Height,
    ) -> Option<bytes::Bytes> {
        if let Some((covered, certificate)) = &self.certificate
            && height <= *covered
        {
            return Some(certificate.clone());
        }
        let (tip, _) = marshal.get_info(commonware_consensus::marshal::Identifier::Latest).await?;
        let mut at = height;
        while at <= tip {
            if let Some(finalization) = marshal.get_finalization(at).await {
                let certificate = finalization.encode();
                self.certificate = Some((at, certificate.clone()));
                self.certificates.finalized(at.get(), finalization);
                return Some(certificate);
            }
            at = at.next();
        }
        None
    }

    fn check_genesis(&self, digest: &Digest) -> Result<(), EngineError> {
        if self.machine.genesis().hash() == hash_of(digest) {
            return Ok(());
        }
        Err(EngineError::Machine("consensus was started from another genesis block".to_owned()))
    }
}
