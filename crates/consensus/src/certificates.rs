//! Show in a block who signed the certificate of an ancestor, and check what others show.
//!
//! Any votes of more than two thirds make a certificate, so a validator whose votes take longest would be in none. Votes
//! that come after a certificate is made are therefore kept, and added when it is shown.

use crate::block::Digest;
use crate::committee::MAX_MEMBERS;
#[cfg(test)]
use crate::mutation::Forgery;
use crate::mutation::{Rule, broken};
use bytes::Bytes;
use candela_primitives::Participation;
use commonware_codec::{Decode, Encode};
use commonware_consensus::Epochable;
use commonware_consensus::simplex::{scheme::ed25519::Scheme, types};
use commonware_consensus::types::Round;
use commonware_cryptography::certificate::{Scheme as _, Signers, Verifier as _};
use commonware_cryptography::ed25519::certificate::Certificate;
use commonware_parallel::Sequential;
use commonware_utils::Participant;
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

/// Rounds whose votes are kept: some more than the blocks that may show them.
const KEPT_ROUNDS: usize = 32;

pub(crate) type Finalization = types::Finalization<Scheme, Digest>;
type Finalize = types::Finalize<Scheme, Digest>;
type Activity = types::Activity<Scheme, Digest>;

/// Most bytes of a certificate beside a block.
pub(crate) fn max_certificate_bytes() -> usize {
    Finalization::max_encode_size(u32::try_from(MAX_MEMBERS).unwrap_or(u32::MAX))
}

/// A certificate, and what the header of the block that shows it says of it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) participation: Participation,
    pub(crate) certificate: Bytes,
}

impl Shown {
    /// Shows `finalization`, of the block at `height`, in block `number`.
    pub(crate) fn new(finalization: &Finalization, height: u64, number: u64) -> Option<Self> {
        let certificate = finalization.encode();
        let participation = Participation {
            distance: u8::try_from(number.checked_sub(height)?).ok()?,
            signers: bits(&finalization.certificate.signers),
            certificate: Participation::name_of(&certificate),
        };
        Some(Self { participation, certificate })
    }
}

/// Seat `i` is bit `i`.
fn bits(signers: &Signers) -> u128 {
    signers.iter().fold(0, |bits, seat| bits | 1_u128.checked_shl(seat.get()).unwrap_or(0))
}

/// Whether `certificate` is what a header says of it: a valid one of `ancestor` in its epoch.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(
    shown: &Participation,
    certificate: &Bytes,
    (epoch, ancestor): (u64, Digest),
    scheme: &Scheme,
    rng: &mut impl CryptoRng,
) -> Result<(), &'static str> {
    let finalization = Finalization::decode_cfg(certificate.clone(), &scheme.certificate_codec_config())
        .map_err(|_| "it can't be read")?;
    if !broken(Rule::Ancestor) && (finalization.epoch().get() != epoch || finalization.proposal.payload != ancestor) {
        return Err("it is not of the ancestor");
    }
    if bits(&finalization.certificate.signers) != shown.signers {
        return Err("its signers are not the ones that the header names");
    }
    if !broken(Rule::Signatures) && !finalization.verify(rng, scheme, &Sequential) {
        return Err("its signatures are not valid");
    }
    Ok(())
}

/// The certificates that a proposer may show, and the votes that came too late for them; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Certificates(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// By the height of their blocks.
    finalizations: BTreeMap<u64, Finalization>,
    /// Votes that nobody has checked, one a round and seat.
    votes: BTreeMap<Round, BTreeMap<Participant, Finalize>>,
}

impl Certificates {
    /// Keeps a vote, to be checked when it is needed.
    pub(crate) fn heard(&self, activity: &Activity) {
        let Activity::Finalize(vote) = activity else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.votes.entry(vote.round()).or_default().entry(vote.attestation.signer).or_insert_with(|| vote.clone());
        if known.votes.len() > KEPT_ROUNDS {
            known.votes.pop_first();
        }
    }

    /// Keeps the certificate of the block at `height`.
    pub(crate) fn finalized(&self, height: u64, finalization: Finalization) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.finalizations.insert(height, finalization);
        if known.finalizations.len() > usize::from(Participation::MAX_DISTANCE) {
            known.finalizations.pop_first();
        }
    }

    /// The certificates that block `number` of an epoch may show, by height.
    fn candidates(&self, epoch: u64, number: u64) -> Vec<(u64, Finalization)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reach: RangeInclusive<u64> =
            number.saturating_sub(Participation::MAX_DISTANCE.into())..=number.saturating_sub(1);
        let found = known.finalizations.range(reach).filter(|(_, found)| found.epoch().get() == epoch);
        found.map(|(height, found)| (*height, found.clone())).collect()
    }

    /// The newest certificate that block `number` of an epoch may show, with all valid votes for its block.
    pub(crate) fn newest(
        &self,
        (epoch, number): (u64, u64),
        scheme: &Scheme,
        rng: &mut impl CryptoRng,
    ) -> Option<Shown> {
        let (height, found) = self.candidates(epoch, number).pop()?;
        Shown::new(&self.complete(found, scheme, rng), height, number)
    }

    /// What a liar shows instead.
    #[cfg(test)]
    pub(crate) fn forged(&self, how: Forgery, (epoch, number): (u64, u64), scheme: &Scheme) -> Option<Shown> {
        let mut candidates = self.candidates(epoch, number);
        match how {
            Forgery::Randomness => None,
            // The oldest has been shown already.
            Forgery::Twice => candidates.first().and_then(|(height, found)| Shown::new(found, *height, number)),
            Forgery::Ancestor => {
                let (height, _) = candidates.pop()?;
                Shown::new(&candidates.pop()?.1, height, number)
            }
            Forgery::Signatures => {
                let (height, mut found) = candidates.pop()?;
                let seats = u32::try_from(scheme.participants().len()).unwrap();
                let copied = found.certificate.signatures[0].clone();
                found.certificate.signers = Signers::new(seats, (0..seats).map(Participant::new)).unwrap();
                found.certificate.signatures.resize(scheme.participants().len(), copied);
                Shown::new(&found, height, number)
            }
        }
    }

    /// Adds the votes that came late.
    fn complete(&self, found: Finalization, scheme: &Scheme, rng: &mut impl CryptoRng) -> Finalization {
        if broken(Rule::Latecomers) {
            return found;
        }
        let certificate = &found.certificate;
        let mut signatures: BTreeMap<_, _> = certificate.signers.iter().zip(certificate.signatures.clone()).collect();
        let late: Vec<_> = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let votes = known.votes.get(&found.round()).into_iter().flat_map(BTreeMap::values);
            votes.filter(|vote| vote.proposal == found.proposal).cloned().collect()
        };
        for vote in late {
            let signer = vote.attestation.signer;
            if !signatures.contains_key(&signer) && vote.verify(rng, scheme, &Sequential) {
                signatures.insert(signer, vote.attestation.signature);
            }
        }
        let participants = u32::try_from(scheme.participants().len()).unwrap_or(u32::MAX);
        match Signers::new(participants, signatures.keys().copied()) {
            Ok(signers) => Finalization {
                proposal: found.proposal,
                certificate: Certificate { signers, signatures: signatures.into_values().collect() },
            },
            // A signer that is no participant: the certificate is shown as it was found.
            Err(_) => found,
        }
    }
}
