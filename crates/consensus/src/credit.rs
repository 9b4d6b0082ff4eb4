//! Limit the work that a validator can cause with the transactions it sends.

use commonware_cryptography::ed25519::PublicKey;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// What a transaction costs that the pool takes.
pub(crate) const TAKEN: u64 = 1;
/// What one costs that is known, late or too cheap: honest validators send such ones too.
pub(crate) const UNWANTED: u64 = 16;
/// What one costs that no honest validator sends: about 390 a second are checked, 1 % of a core.
pub(crate) const INVALID: u64 = 256;
/// Credit that a validator gets back in a second, and the most it can have.
const PER_SECOND: u64 = 100_000;
const MOST: u64 = 2 * PER_SECOND;

/// Each validator's credit. Only members of the committee connect, so there are not many.
#[derive(Default)]
pub(crate) struct Credits(HashMap<PublicKey, (u64, SystemTime)>);

impl Credits {
    /// Takes `amount` when the peer has it.
    pub(crate) fn take(&mut self, peer: &PublicKey, amount: u64, now: SystemTime) -> bool {
        let left = self.refilled(peer, now);
        let enough = *left >= amount;
        if enough {
            *left -= amount;
        }
        enough
    }

    /// Takes `amount`, or all there is.
    pub(crate) fn charge(&mut self, peer: &PublicKey, amount: u64, now: SystemTime) {
        let left = self.refilled(peer, now);
        *left = left.saturating_sub(amount);
    }

    fn refilled(&mut self, peer: &PublicKey, now: SystemTime) -> &mut u64 {
        let (left, since) = self.0.entry(peer.clone()).or_insert((MOST, now));
        let passed = now.duration_since(*since).unwrap_or(Duration::ZERO).min(Duration::from_secs(2));
        let earned = u64::try_from(passed.as_millis()).unwrap_or(0) * PER_SECOND / 1_000;
        if earned > 0 {
            (*left, *since) = ((*left + earned).min(MOST), now);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committee::private_key;
    use commonware_cryptography::Signer;

    #[test]
    fn credit_runs_out_for_one_peer_alone_and_comes_back() {
        let [peer, other] = [1, 2].map(|byte| private_key(&[byte; 32]).unwrap().public_key());
        let (mut credits, now) = (Credits::default(), SystemTime::UNIX_EPOCH);
        assert!(credits.take(&peer, MOST, now));
        assert!(!credits.take(&peer, 1, now));
        assert!(credits.take(&other, 1, now));
        assert!(credits.take(&peer, 100, now + Duration::from_millis(1)));
        assert!(!credits.take(&peer, 1, now + Duration::from_millis(1)));
        assert!(!credits.take(&peer, MOST + 1, now + Duration::from_secs(1_000)), "credit grows without bound");
        assert!(credits.take(&peer, MOST, now + Duration::from_secs(1_000)));
    }
}
