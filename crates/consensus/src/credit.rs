//! Limit the work that a validator can cause with the transactions it sends.

use crate::mutation::{Rule, broken};
use commonware_cryptography::ed25519::PublicKey;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// What a transaction costs that the pool takes.
pub(crate) const TAKEN: u64 = 1;
/// What one costs that is known, late or too cheap: honest validators send such ones too.
pub(crate) const UNWANTED: u64 = 16;
/// What one costs that no honest validator sends: about 390 a second are checked, 1 % of a core.
pub(crate) const INVALID: u64 = 256;
/// What a message costs that is no batch.
pub(crate) const MALFORMED: u64 = 200_000;
/// Credit that a validator gets back in a second, and the most it can have.
const PER_SECOND: i64 = 100_000;
const MOST: i64 = 2 * PER_SECOND;
/// The most that it can owe: what a batch of invalid ones costs, and more.
const MOST_OWED: i64 = 10 * PER_SECOND;

/// Time after which nothing is owed any more.
const LONG: Duration = Duration::from_secs(60);

/// Each validator's credit. Only members of the committee connect, so there are not many.
#[derive(Default)]
pub(crate) struct Credits(HashMap<PublicKey, (i64, SystemTime)>);

impl Credits {
    /// Takes `amount` when the peer has it.
    pub(crate) fn take(&mut self, peer: &PublicKey, amount: u64, now: SystemTime) -> bool {
        let left = self.refilled(peer, now);
        let enough = i64::try_from(amount).is_ok_and(|amount| *left >= amount) || broken(Rule::Credit);
        if enough {
            *left -= i64::try_from(amount).unwrap_or(0);
        }
        enough
    }

    /// Takes `amount`; the peer owes what it does not have.
    pub(crate) fn charge(&mut self, peer: &PublicKey, amount: u64, now: SystemTime) {
        let left = self.refilled(peer, now);
        *left = left.saturating_sub_unsigned(amount).max(-MOST_OWED);
    }

    fn refilled(&mut self, peer: &PublicKey, now: SystemTime) -> &mut i64 {
        let (left, since) = self.0.entry(peer.clone()).or_insert((MOST, now));
        let passed = now.duration_since(*since).unwrap_or(Duration::ZERO).min(LONG);
        let earned = i64::try_from(passed.as_millis()).unwrap_or(0) * PER_SECOND / 1_000;
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
        let most = u64::try_from(MOST).unwrap();
        assert!(credits.take(&peer, most, now));
        assert!(!credits.take(&peer, 1, now));
        assert!(credits.take(&other, 1, now));
        assert!(credits.take(&peer, 100, now + Duration::from_millis(1)));
        assert!(!credits.take(&peer, 1, now + Duration::from_millis(1)));
        assert!(!credits.take(&peer, most + 1, now + Duration::from_secs(1_000)), "credit grows without bound");
        assert!(credits.take(&peer, most, now + Duration::from_secs(1_000)));
    }

    #[test]
    fn what_a_large_batch_costs_is_paid_back_before_the_next_one() {
        let peer = private_key(&[1; 32]).unwrap().public_key();
        let (mut credits, begin, batch) = (Credits::default(), SystemTime::UNIX_EPOCH, 2_048);
        let seconds = 100;
        let checked = (0..seconds * 100).filter(|hundredth| {
            let now = begin + Duration::from_millis(10 * hundredth);
            let taken = credits.take(&peer, batch, now);
            credits.charge(&peer, if taken { batch * INVALID } else { 0 }, now);
            taken
        });
        let checked = checked.count() as u64 * batch;
        assert!((300 * seconds..=400 * seconds + 2 * batch).contains(&checked), "{checked} in {seconds} s");
    }
}
