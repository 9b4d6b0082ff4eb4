//! Let simplex and marshal drive the state machine.

use crate::block::{ChainBlock, Digest, RandomnessProof, hash_of, randomness};
use crate::certificates::{self, Certificates, Shown};
use crate::fault::Faults;
use crate::mutation::{Rule, broken, clock_error_ms};
use crate::schemes::Schemes;
use crate::{EngineError, Timings, WorkSignal};
use bytes::Bytes;
use candela_ledger::{MachineError, Slot, StateMachine};
use candela_primitives::{Address, Block, Participation};
use commonware_codec::{DecodeExt, EncodeSize};
use commonware_consensus::Epochable;
use commonware_consensus::marshal::ancestry::Ancestry;
use commonware_consensus::simplex::{scheme::ed25519::Scheme, types::Context};
use commonware_cryptography::{Digested, Digestible, Signer, Verifier, ed25519};
use commonware_runtime::{Clock, Spawner};
use futures::StreamExt;
use rand_core::CryptoRng;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Separates randomness from votes under the same key.
const RANDOMNESS_NAMESPACE: &[u8] = b"_CANDELA_RANDOMNESS";

/// Blocks above the finalised head that a verdict may need; a node further behind catches up first.
const MAX_BRANCH: usize = 128;

/// How far a block's timestamp may be ahead of the local clock before verification waits.
pub(crate) const CLOCK_DRIFT: Duration = Duration::from_millis(500);

/// Proposes and verifies with a [`StateMachine`], never on a thread that drives actors.
#[derive(Clone)]
pub(crate) struct Application {
    pub(crate) machine: Arc<dyn StateMachine>,
    pub(crate) key: ed25519::PrivateKey,
    pub(crate) schemes: Schemes,
    pub(crate) certificates: Certificates,
    pub(crate) fee_recipient: Address,
    pub(crate) timings: Timings,
    pub(crate) work: WorkSignal,
    pub(crate) faults: Faults,
    /// Unix milliseconds; a heartbeat is due no earlier than one heartbeat after it.
    pub(crate) started_ms: u64,
}

/// Unix time of `clock` in milliseconds.
pub(crate) fn now_ms(clock: &impl Clock) -> u64 {
    clock.current().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Microseconds of `clock` since `began`.
pub(crate) fn elapsed_us(clock: &impl Clock, began: SystemTime) -> u64 {
    clock.current().duration_since(began).map_or(0, |passed| u64::try_from(passed.as_micros()).unwrap_or(u64::MAX))
}

/// Logs what became of a block, and how long it took, for those who measure the stages.
pub(crate) fn note(stage: &'static str, block: &ChainBlock, took_us: u64) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let (bytes, inner) = (block.encode_size(), block.block());
    let (number, transactions) = (inner.header.number, inner.transactions.len());
    tracing::debug!(number, transactions, bytes, took_us, hash = %hash_of(&block.digest()), "{stage}");
}

fn at(unix_ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(unix_ms)
}

/// What a proposer signs for the randomness of a child of `parent`: one signature for each chain and height.
fn randomness_message(parent: &Block) -> Vec<u8> {
    [parent.header.prevrandao.as_slice(), &(parent.header.number + 1).to_be_bytes()].concat()
}

/// The proof of the randomness of a child of `parent`. Ed25519 is deterministic, so an honest leader has only one.
pub(crate) fn prove_randomness(key: &ed25519::PrivateKey, parent: &Block) -> RandomnessProof {
    let mut proof = [0; 64];
    proof.copy_from_slice(key.sign(RANDOMNESS_NAMESPACE, &randomness_message(parent)).as_ref());
    proof
}

fn proves_randomness(block: &ChainBlock, parent: &Block, leader: &ed25519::PublicKey) -> bool {
    ed25519::Signature::decode(Bytes::copy_from_slice(block.proof()))
        .is_ok_and(|signature| leader.verify(RANDOMNESS_NAMESPACE, &randomness_message(parent), &signature))
}

impl Application {
    /// Unix time in milliseconds by this validator's clock.
    fn now_ms(&self, clock: &impl Clock) -> u64 {
        now_ms(clock).saturating_add_signed(clock_error_ms(&self.fee_recipient))
    }

    /// Waits until this validator's clock shows a time.
    async fn sleep_until(&self, clock: &impl Clock, unix_ms: u64) {
        let error_ms = clock_error_ms(&self.fee_recipient);
        clock.sleep_until(at(unix_ms.saturating_add_signed(error_ms.saturating_neg()))).await;
    }

    /// The blocks above the finalised head that lead to the next block of `ancestry`, oldest first, and that block.
    async fn branch(&self, mut ancestry: impl Ancestry<ChainBlock>) -> Option<(Arc<Block>, Vec<Arc<Block>>)> {
        let mut branch = Vec::new();
        let parent = ancestry.next().await?.inner().block().clone();
        let mut oldest = parent.clone();
        while oldest.header.number > self.machine.head().header.number {
            let number = oldest.header.number;
            branch.push(oldest);
            if branch.len() > MAX_BRANCH {
                return None;
            }
            if number <= self.machine.head().header.number + 1 {
                break;
            }
            oldest = ancestry.next().await?.inner().block().clone();
        }
        branch.reverse();
        Some((parent, branch))
    }

    /// Runs `call` on a blocking thread with the part of `branch` that is above the head at that moment.
    ///
    /// The head may advance in between; what the state machine then calls an unknown parent is tried again.
    async fn on_branch<E: Spawner, T: Send + 'static>(
        &self,
        context: &E,
        branch: &[Arc<Block>],
        call: impl Fn(&dyn StateMachine, &[Arc<Block>]) -> Result<T, MachineError> + Clone + Send + 'static,
    ) -> Result<T, MachineError> {
        loop {
            let (machine, branch, call) = (self.machine.clone(), branch.to_vec(), call.clone());
            let task = context.child("machine").shared(true).spawn(move |_| async move {
                let head = machine.head().header.number;
                let above = branch.iter().filter(|block| block.header.number > head).cloned().collect::<Vec<_>>();
                let result = call(machine.as_ref(), &above);
                (result, machine.head().header.number != head)
            });
            match task.await {
                Ok((Err(MachineError::UnknownParent(_) | MachineError::Invalid { .. }), true)) => {}
                Ok((result, _)) => return result,
                // The engine is stopping; the caller is about to be dropped.
                Err(_) => std::future::pending().await,
            }
        }
    }

    fn slot(&self, parent: &Block, now_ms: u64, shown: Option<&Shown>) -> (Slot, RandomnessProof) {
        let proof = prove_randomness(&self.key, parent);
        #[cfg(test)]
        let proof = match crate::mutation::forgery(&self.fee_recipient) {
            Some(crate::mutation::Forgery::Randomness) => [now_ms.to_le_bytes()[0]; 64],
            _ => proof,
        };
        let participation = shown.map(|shown| shown.participation);
        (Slot { now_ms, proposer: self.fee_recipient, randomness: randomness(&proof), participation }, proof)
    }

    /// The certificate that a child of `parent` may show.
    fn shown(&self, parent: &Block, epoch: u64, rng: &mut impl CryptoRng) -> Result<Option<Shown>, EngineError> {
        let Some(scheme) = self.schemes.of(epoch)? else { return Ok(None) };
        let place = (epoch, parent.header.number + 1);
        #[cfg(test)]
        if let Some(forgery) = crate::mutation::forgery(&self.fee_recipient) {
            return Ok(self.certificates.forged(forgery, place, &scheme));
        }
        Ok(self.certificates.newest(place, &scheme, rng))
    }

    /// What is wrong with the certificate that a block shows.
    fn objection(
        &self,
        candidate: &ChainBlock,
        epoch: u64,
        branch: &[Arc<Block>],
        rng: &mut impl CryptoRng,
    ) -> Result<Option<&'static str>, EngineError> {
        let header = &candidate.block().header;
        let shown = match Participation::decode(&header.extra_data) {
            Ok(None) => return Ok(None),
            Ok(Some(shown)) => shown,
            Err(_) => return Ok(Some("its header shows none")),
        };
        let Some(height) = header.number.checked_sub(shown.distance.into()) else {
            return Ok(Some("it is of a block before genesis"));
        };
        let ancestor = match branch.iter().find(|block| block.header.number == height) {
            Some(block) => Some(block.hash()),
            None => self.machine.hash(height)?,
        };
        let (Some(ancestor), Some(scheme)) = (ancestor, self.schemes.of(epoch)?) else {
            return Ok(Some("it is of an unknown block"));
        };
        let place = (epoch, Digest::from(ancestor.0));
        Ok(certificates::check(&shown, candidate.certificate(), place, &scheme, rng).err())
    }

    /// Holds until there is something to put into a child of `parent`, the parent waits too long to become final, or the
    /// heartbeat is due. `None` when the child can't become final any more.
    async fn build<E: Clock + CryptoRng + Spawner>(
        &self,
        context: &mut E,
        epoch: u64,
        parent: &Block,
        branch: &[Arc<Block>],
    ) -> Result<Option<ChainBlock>, EngineError> {
        let earliest_ms = parent.header.timestamp_ms.saturating_add(millis(self.timings.block_interval));
        let heartbeat_ms =
            parent.header.timestamp_ms.max(self.started_ms).saturating_add(millis(self.timings.heartbeat));
        // A parent that was notarized but not finalised becomes final with its child; nobody else may have work for one.
        let unfinished_ms = self.now_ms(context).saturating_add(millis(self.timings.leader / 2));
        let is_unfinished = || !broken(Rule::Finish) && parent.header.number > self.machine.head().header.number;
        // The view before may have timed out with our proposal in its hands.
        self.machine.begin(branch);
        loop {
            let announced = self.work.announced();
            let now = self.now_ms(context);
            let wake_ms = if is_unfinished() { heartbeat_ms.min(unfinished_ms) } else { heartbeat_ms };
            let due = now >= wake_ms;
            if due || self.machine.has_work() {
                if now < earliest_ms {
                    self.sleep_until(context, earliest_ms).await;
                    continue;
                }
                let began = context.current();
                let shown = self.shown(parent, epoch, context)?;
                let (slot, proof) = self.slot(parent, now, shown.as_ref());
                let proposed = self.on_branch(context, branch, move |machine, branch| machine.propose(branch, slot));
                let block = match proposed.await {
                    Ok(block) => block,
                    // Another child of the parent, or of one of its ancestors, became final meanwhile.
                    Err(MachineError::UnknownParent(_)) => return Ok(None),
                    Err(error) => return Err(error.into()),
                };
                // What is pending may all be in flight already: then wait, don't make an empty block.
                if due || !block.transactions.is_empty() {
                    let shown = shown.filter(|_| !block.header.extra_data.is_empty());
                    let block = ChainBlock::new(block, proof, shown.map_or_else(Bytes::new, |shown| shown.certificate));
                    note("block proposed", &block, elapsed_us(context, began));
                    return Ok(Some(block));
                }
            }
            tokio::select! {
                biased;
                () = announced => {}
                () = self.sleep_until(context, wake_ms) => {}
            }
        }
    }

    /// Stops the engine and never returns: there is no verdict to give.
    async fn fail<T>(&self, error: impl Into<EngineError>) -> T {
        self.faults.report(error.into());
        std::future::pending().await
    }
}

impl<E: Clock + CryptoRng + Spawner> commonware_consensus::Application<E> for Application {
    type SigningScheme = Scheme;
    type Context = Context<Digest, ed25519::PublicKey>;
    type Block = ChainBlock;
    type Input = ();

    async fn propose(
        &mut self,
        (mut context, consensus): (E, Self::Context),
        ancestry: impl Ancestry<ChainBlock>,
        (): (),
    ) -> Option<Digested<ChainBlock>> {
        let (parent, branch) = self.branch(ancestry).await?;
        match self.build(&mut context, consensus.epoch().get(), &parent, &branch).await {
            Ok(block) => block.map(ChainBlock::digested),
            Err(error) => self.fail(error).await,
        }
    }

    async fn verify(
        &mut self,
        (mut context, consensus): (E, Self::Context),
        mut ancestry: impl Ancestry<ChainBlock>,
    ) -> bool {
        let Some(candidate) = ancestry.next().await else { return false };
        // Without the ancestors there is no verdict; the view ends by its timeout.
        let Some((parent, branch)) = self.branch(ancestry).await else { return std::future::pending().await };
        let block = candidate.inner().block().clone();
        let number = block.header.number;
        if !broken(Rule::Randomness) && !proves_randomness(candidate.inner(), &parent, &consensus.leader) {
            tracing::warn!(number, "refused a proposed block: its prevrandao is not the leader's");
            return false;
        }
        match self.objection(candidate.inner(), consensus.epoch().get(), &branch, &mut context) {
            Ok(None) => {}
            Ok(Some(reason)) => {
                tracing::warn!(
                    number,
                    reason,
                    "refused a proposed block: the certificate that it shows counts nothing"
                );
                return false;
            }
            Err(error) => return self.fail(error).await,
        }
        let acceptable_ms = block.header.timestamp_ms.saturating_sub(millis(CLOCK_DRIFT));
        if !broken(Rule::Clock) && self.now_ms(&context) < acceptable_ms {
            self.sleep_until(&context, acceptable_ms).await;
        }
        let (began, now) = (context.current(), self.now_ms(&context));
        let verdict = self.on_branch(&context, &branch, move |machine, branch| {
            let head = machine.head();
            // Others have finalised this height while it waited.
            if block.header.number <= head.header.number {
                return Ok(block.hash() == head.hash());
            }
            machine.verify(branch, &block, now).map(|()| true)
        });
        match verdict.await {
            Ok(verdict) => {
                note("block verified", candidate.inner(), elapsed_us(&context, began));
                verdict
            }
            Err(error @ (MachineError::Invalid { .. } | MachineError::UnknownParent(_))) => {
                tracing::warn!(number, %error, "refused a proposed block");
                false
            }
            Err(error) => self.fail(error).await,
        }
    }
}
