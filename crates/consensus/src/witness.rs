//! Keep the evidence that validators voted twice, for whoever hands it to the staking contract.
//!
//! Simplex reports votes that contradict each other before it has checked their signatures, so nothing counts here until
//! both are checked. One piece a key and epoch is kept: the contract punishes a validator once.

use crate::EngineError;
use crate::Progress;
use crate::block::Digest;
use crate::certificates::Certificates;
use crate::fault::Faults;
use crate::schemes::Schemes;
use crate::stack::Runtime;
use bytes::Bytes;
use commonware_actor::Feedback;
use commonware_codec::{Decode, Encode, RangeCfg};
use commonware_consensus::simplex::{scheme::ed25519::Scheme, types};
use commonware_consensus::{Epochable, Reporter, Viewable};
use commonware_cryptography::certificate::{Scheme as _, Verifier as _};
use commonware_parallel::Sequential;
use commonware_storage::metadata::{self, Metadata};
use commonware_utils::{Participant, sequence::FixedBytes};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Pieces of evidence that are kept; those of the oldest epochs go first.
const KEPT: usize = 1_024;
/// Reports that wait to be checked. Whoever contradicts itself loses its connection, so few come at a time.
const WAITING: usize = 64;
/// Bytes of the longest activity that is evidence (`MAX_ACTIVITY` of the contract `ConsensusKeys`).
const MAX_ACTIVITY_BYTES: usize = 263;
const EPOCH_BYTES: usize = 8;
const KEY_BYTES: usize = 32;
/// Epoch, big-endian, and public key. On-disk format: never change.
const NAME_BYTES: usize = EPOCH_BYTES + KEY_BYTES;

pub(crate) type Activity = types::Activity<Scheme, Digest>;
type Name = FixedBytes<NAME_BYTES>;
/// By epoch and public key.
type Known = BTreeMap<(u64, [u8; KEY_BYTES]), DoubleVote>;
type Store<E> = Metadata<E, Name, Vec<u8>>;

/// Two votes of one key in one view of which an honest validator signs at most one; both signatures are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoubleVote {
    /// The epoch of the votes.
    pub epoch: u64,
    /// The view of the votes.
    pub view: u64,
    /// The place of the key among those of the epoch.
    pub seat: u32,
    /// Whose votes they are.
    pub public_key: [u8; 32],
    /// The votes as the staking contract's `report` takes them: commonware's encoding of an `Activity`.
    pub activity: Bytes,
}

/// The double votes that a node knows of; clones share them. Bounded to one a key and epoch, and to 1,024 altogether.
#[derive(Clone, Default)]
pub struct Evidence(Arc<Mutex<Known>>);

impl Evidence {
    /// What is known, the oldest epoch first.
    #[must_use]
    pub fn list(&self) -> Vec<DoubleVote> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn has(&self, epoch: u64, public_key: &[u8; KEY_BYTES]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&(epoch, *public_key))
    }

    /// Takes a piece; returns the one that had to go for it.
    fn keep(&self, vote: DoubleVote) -> Option<DoubleVote> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((vote.epoch, vote.public_key), vote);
        if known.len() > KEPT { known.pop_first().map(|(_, oldest)| oldest) } else { None }
    }
}

/// Whom an activity accuses: the epoch, the view, and the place in its set; `None` when it is no accusation.
pub(crate) fn accused(activity: &Activity) -> Option<(u64, u64, Participant)> {
    use commonware_consensus::simplex::types::Attributable as _;
    let signer = match activity {
        Activity::ConflictingNotarize(votes) => votes.signer(),
        Activity::ConflictingFinalize(votes) => votes.signer(),
        Activity::NullifyFinalize(votes) => votes.signer(),
        _ => return None,
    };
    Some((activity.epoch().get(), activity.view().get(), signer))
}

/// Passes what simplex reports on, counts it, keeps votes, and sends accusations to a [`Witness`] as well.
#[derive(Clone)]
pub(crate) struct Observed<R> {
    inner: R,
    reports: mpsc::Sender<Activity>,
    certificates: Certificates,
    progress: Progress,
}

impl<R> Observed<R> {
    pub(crate) const fn new(
        inner: R,
        reports: mpsc::Sender<Activity>,
        certificates: Certificates,
        progress: Progress,
    ) -> Self {
        Self { inner, reports, certificates, progress }
    }
}

impl<R: Reporter<Activity = Activity>> Reporter for Observed<R> {
    type Activity = Activity;

    fn report(&mut self, activity: Activity) -> Feedback {
        if accused(&activity).is_some() && self.reports.try_send(activity.clone()).is_err() {
            tracing::warn!("votes that contradict each other were not looked at: too many reports of such wait");
        }
        self.certificates.heard(&activity);
        self.progress.note(&activity);
        self.inner.report(activity)
    }
}

/// Checks accusations and keeps those that hold, in memory and on disk.
pub(crate) struct Witness<E: Runtime> {
    context: E,
    schemes: Schemes,
    evidence: Evidence,
    store: Store<E>,
    reports: mpsc::Receiver<Activity>,
}

fn unusable(error: impl std::fmt::Display) -> EngineError {
    EngineError::Machine(format!("the evidence of double votes cannot be stored: {error}"))
}

fn name(vote: &DoubleVote) -> Name {
    let mut bytes = [0; NAME_BYTES];
    bytes[..EPOCH_BYTES].copy_from_slice(&vote.epoch.to_be_bytes());
    bytes[EPOCH_BYTES..].copy_from_slice(&vote.public_key);
    Name::new(bytes)
}

/// What was stored under `name`.
fn stored(name: &Name, activity: &[u8]) -> Result<DoubleVote, EngineError> {
    let damaged = || unusable("a stored piece is damaged; move the node's folder away and start with an empty one");
    let unbounded = Scheme::certificate_codec_config_unbounded();
    let activity = Bytes::copy_from_slice(activity);
    let decoded = Activity::decode_cfg(activity.clone(), &unbounded).map_err(|_| damaged())?;
    let (epoch, view, signer) = accused(&decoded).ok_or_else(damaged)?;
    let mut public_key = [0; KEY_BYTES];
    public_key.copy_from_slice(&name.as_ref()[EPOCH_BYTES..]);
    Ok(DoubleVote { epoch, view, seat: signer.get(), public_key, activity })
}

impl<E: Runtime> Witness<E> {
    /// Opens the store under names that begin with `prefix`, and tells `evidence` what is in it. Accusations are to be
    /// sent to the returned end.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) async fn open(
        context: E,
        prefix: &str,
        schemes: Schemes,
        evidence: Evidence,
    ) -> Result<(Self, mpsc::Sender<Activity>), EngineError> {
        let config = metadata::Config {
            partition: format!("{prefix}evidence"),
            codec_config: (RangeCfg::from(..=MAX_ACTIVITY_BYTES), ()),
        };
        let store = Store::init(context.child("evidence"), config).await.map_err(unusable)?;
        for name in store.keys() {
            let activity = store.get(name).map_or(&[][..], Vec::as_slice);
            evidence.keep(stored(name, activity)?);
        }
        let (sender, reports) = mpsc::channel(WAITING);
        Ok((Self { context, schemes, evidence, store, reports }, sender))
    }

    /// Runs until the store fails, which it reports.
    pub(crate) async fn run(mut self, faults: Faults) {
        while let Some(activity) = self.reports.recv().await {
            match self.take(&activity).await {
                Ok(witness) => self = witness,
                Err(error) => {
                    faults.report(error);
                    break;
                }
            }
        }
        std::future::pending().await
    }

    async fn take(mut self, activity: &Activity) -> Result<Self, EngineError> {
        let Some(vote) = self.judge(activity)? else { return Ok(self) };
        self.store.put(name(&vote), vote.activity.to_vec());
        let (epoch, view, seat) = (vote.epoch, vote.view, vote.seat);
        let key = alloy_primitives::hex::encode_prefixed(vote.public_key);
        if let Some(oldest) = self.evidence.keep(vote) {
            self.store.remove(&name(&oldest));
        }
        self.store = self.store.sync().await.map_err(unusable)?;
        tracing::warn!(
            epoch,
            view,
            seat,
            key,
            "a validator voted twice; candela validator report hands the evidence in"
        );
        Ok(self)
    }

    /// What an accusation proves; `None` when that is nothing, or known.
    fn judge(&mut self, activity: &Activity) -> Result<Option<DoubleVote>, EngineError> {
        let Some((epoch, view, signer)) = accused(activity) else { return Ok(None) };
        let Some(scheme) = self.schemes.of(epoch)? else { return Ok(None) };
        let Some(key) = scheme.participants().get(usize::from(signer)) else { return Ok(None) };
        let public_key = crate::committee::bytes_of(key)?;
        if self.evidence.has(epoch, &public_key) || !activity.verify(&mut self.context, scheme.as_ref(), &Sequential) {
            return Ok(None);
        }
        Ok(Some(DoubleVote { epoch, view, seat: signer.get(), public_key, activity: activity.encode() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committee::{Member, private_key, public_key};
    use crate::simulation::{config, runner};
    use crate::toy::Toy;
    use crate::{Committee, Config};
    use commonware_consensus::simplex::types::{
        ConflictingFinalize, ConflictingNotarize, Finalize, Notarize, Nullify, NullifyFinalize, Proposal,
    };
    use commonware_consensus::types::{Epoch, Round, View};
    use commonware_cryptography::Signer;
    use commonware_runtime::{Clock, Runner as _, Spawner, Supervisor, deterministic};
    use commonware_utils::ordered::Set;
    use std::time::Duration;

    const SEATS: u8 = 4;

    fn secret(seat: u8) -> [u8; 32] {
        [seat + 7; 32]
    }

    fn settings() -> Config {
        let member = |seat| Member { public_key: public_key(&secret(seat)).unwrap(), weight: 1 };
        Config { committee: Committee { epoch: 0, members: (0..SEATS).map(member).collect() }, ..config(&Toy::new()) }
    }

    /// The scheme that a validator of the committee signs with on a chain.
    fn signer(seat: u8, chain_id: u64) -> Scheme {
        let keys = Set::from_iter_dedup((0..SEATS).map(|seat| private_key(&secret(seat)).unwrap().public_key()));
        Scheme::signer(format!("_CANDELA_{chain_id}").as_bytes(), keys, private_key(&secret(seat)).unwrap()).unwrap()
    }

    /// The three kinds of double votes, each by another validator.
    fn double_votes(chain_id: u64, view: u64) -> [Activity; 3] {
        let round = Round::new(Epoch::new(0), View::new(view));
        let proposal = |payload| Proposal::new(round, View::new(view - 1), Digest::from([payload; 32]));
        let schemes = [0, 1, 2].map(|seat| signer(seat, chain_id));
        let notarize = |payload| Notarize::sign(&schemes[0], proposal(payload)).unwrap();
        let finalize = |seat: usize, payload| Finalize::sign(&schemes[seat], proposal(payload)).unwrap();
        let nullify = Nullify::sign::<Digest>(&schemes[2], round).unwrap();
        [
            Activity::ConflictingNotarize(ConflictingNotarize::new(notarize(1), notarize(2))),
            Activity::ConflictingFinalize(ConflictingFinalize::new(finalize(1, 1), finalize(1, 2))),
            Activity::NullifyFinalize(NullifyFinalize::new(nullify, finalize(2, 1))),
        ]
    }

    /// What a witness knows on `context` once it has seen `activities`.
    async fn knows(context: &deterministic::Context, activities: Vec<Activity>) -> Vec<DoubleVote> {
        let (config, faults) = (settings(), Faults::new());
        let schemes = Schemes::new(&config, Toy::new(), faults.clone()).unwrap();
        let (witness, reports) =
            Witness::open(context.child("witness"), "", schemes, config.evidence.clone()).await.unwrap();
        let running = context.child("run").spawn(move |_| witness.run(faults));
        for activity in activities {
            reports.send(activity).await.unwrap();
        }
        context.sleep(Duration::from_secs(1)).await;
        running.abort();
        config.evidence.list()
    }

    #[test]
    fn every_kind_of_double_vote_is_kept_once_and_survives_a_crash() {
        let activities = double_votes(1, 5);
        let reported = [&activities[..], &activities[..], &double_votes(1, 6)[..]].concat();
        let (known, saved) = runner(1).start_and_recover(|context| async move { knows(&context, reported).await });
        let mut keys: Vec<_> = (0..3).map(|seat| public_key(&secret(seat)).unwrap()).collect();
        keys.sort_unstable();
        assert_eq!(known.iter().map(|vote| vote.public_key).collect::<Vec<_>>(), keys);
        let bytes: Vec<_> = activities.iter().map(Encode::encode).collect();
        assert!(known.iter().all(|vote| vote.view == 5 && bytes.contains(&vote.activity)), "{known:?}");
        assert!(bytes.iter().all(|bytes| bytes.len() <= MAX_ACTIVITY_BYTES));
        let again = deterministic::Runner::from(saved).start(|context| async move { knows(&context, vec![]).await });
        assert_eq!(again, known);
    }

    #[test]
    fn votes_whose_signatures_are_not_of_this_chain_accuse_nobody() {
        let known = runner(2).start(|context| async move { knows(&context, double_votes(2, 5).to_vec()).await });
        assert_eq!(known, []);
    }

    #[test]
    fn the_oldest_evidence_goes_when_there_is_too_much() {
        let evidence = Evidence::default();
        let vote = |epoch| DoubleVote { epoch, view: 1, seat: 0, public_key: [1; 32], activity: Bytes::new() };
        let most = u64::try_from(KEPT).unwrap();
        assert!((1..=most).all(|epoch| evidence.keep(vote(epoch)).is_none()));
        assert_eq!(evidence.keep(vote(most + 1)), Some(vote(1)));
        assert_eq!(evidence.list().len(), KEPT);
    }
}
