//! Know which keys sign in which epoch.

use crate::committee::private_key;
use crate::fault::Faults;
use crate::{Committee, Config, EngineError, Member};
use candela_ledger::{Seat, StateMachine};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::Epoch;
use commonware_cryptography::certificate::{Provider, Scoped};
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_utils::ordered::Set;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Epochs whose keys are kept at hand; others are asked of the ledger again.
const KEPT: usize = 8;

/// The signing scheme of every epoch that the ledger has elected: the validator's own where it has a seat, one that only
/// verifies where it has none.
#[derive(Clone)]
pub(crate) struct Schemes {
    machine: Arc<dyn StateMachine>,
    key: PrivateKey,
    namespace: Arc<[u8]>,
    /// Who agrees where nobody is elected.
    committee: Committee,
    known: Arc<Mutex<BTreeMap<u64, Arc<Scheme>>>>,
    faults: Faults,
}

impl Schemes {
    /// # Errors
    /// When the validator's secret key is none.
    pub(crate) fn new(config: &Config, machine: Arc<dyn StateMachine>, faults: Faults) -> Result<Self, EngineError> {
        Ok(Self {
            machine,
            key: private_key(&config.secret)?,
            namespace: format!("_CANDELA_{}", config.chain_id).into_bytes().into(),
            committee: config.committee.clone(),
            known: Arc::default(),
            faults,
        })
    }

    /// The scheme of an epoch; `None` when it is not elected yet or forgotten.
    ///
    /// # Errors
    /// When the ledger fails or names what are no keys, or when the configured committee lacks the validator.
    pub(crate) fn of(&self, epoch: u64) -> Result<Option<Arc<Scheme>>, EngineError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scheme) = known.get(&epoch) {
            return Ok(Some(scheme.clone()));
        }
        let Some(committee) = self.committee(epoch)? else { return Ok(None) };
        let keys = committee.keys()?;
        let scheme = Scheme::signer(&self.namespace, keys.clone(), self.key.clone());
        if scheme.is_none() && self.machine.epochs().is_none() {
            return Err(EngineError::Committee("the validator's own key has no seat"));
        }
        let scheme = Arc::new(scheme.unwrap_or_else(|| self.verifier(&keys)));
        known.insert(epoch, scheme.clone());
        if known.len() > KEPT {
            known.pop_first();
        }
        Ok(Some(scheme))
    }

    /// One that verifies what these sign.
    pub(crate) fn verifier(&self, keys: &Set<PublicKey>) -> Scheme {
        Scheme::verifier(&self.namespace, keys.clone())
    }

    /// Who has a seat in an epoch; `None` when it is not elected yet or forgotten.
    ///
    /// # Errors
    /// When the ledger fails.
    pub(crate) fn committee(&self, epoch: u64) -> Result<Option<Committee>, EngineError> {
        if self.machine.epochs().is_none() {
            return Ok((epoch == 0).then(|| self.committee.clone()));
        }
        let member = |seat: Seat| Member { public_key: seat.public_key, weight: seat.stake };
        let seats = self.machine.committee(epoch)?;
        Ok(seats.map(|seats| Committee { epoch, members: seats.into_iter().map(member).collect() }))
    }
}

impl Provider for Schemes {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        match self.of(epoch.get()) {
            Ok(scheme) => scheme.map(Scoped::scheme),
            Err(error) => {
                self.faults.report(error);
                None
            }
        }
    }
}
