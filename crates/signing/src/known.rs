//! Remember the points of keys that signed lately: finding one costs as much as checking a signature in a batch.

use crate::session::public_key;
use candela_primitives::B256;
use commonware_cryptography::ed25519::PublicKey;
use parking_lot::RwLock;
use std::{collections::HashMap, mem, sync::LazyLock};

/// Keys in one generation at most; two are kept.
const GENERATION: usize = 1 << 15;

static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);

/// Keys that were used since the last change of generations, and those from before it.
#[derive(Default)]
struct Known {
    recent: HashMap<B256, PublicKey>,
    older: HashMap<B256, PublicKey>,
}

impl Known {
    fn get(&self, key: &B256) -> Option<&PublicKey> {
        self.recent.get(key).or_else(|| self.older.get(key))
    }

    fn insert(&mut self, key: B256, point: PublicKey) {
        if self.recent.len() >= GENERATION {
            self.older = mem::take(&mut self.recent);
        }
        self.recent.insert(key, point);
    }
}

/// The points of keys; `None` for what is no key.
pub(crate) fn points(keys: impl Iterator<Item = B256> + Clone) -> HashMap<B256, Option<PublicKey>> {
    let mut points: HashMap<_, _> = {
        let known = KNOWN.read();
        keys.clone().filter_map(|key| Some((key, Some(known.get(&key)?.clone())))).collect()
    };
    for key in keys {
        points.entry(key).or_insert_with(|| public_key(&key));
    }
    points
}

/// Remembers keys that have made valid signatures.
pub(crate) fn remember(points: impl Iterator<Item = (B256, PublicKey)>) {
    let fresh: Vec<_> = {
        let known = KNOWN.read();
        points.filter(|(key, _)| !known.recent.contains_key(key)).collect()
    };
    if !fresh.is_empty() {
        let mut known = KNOWN.write();
        fresh.into_iter().for_each(|(key, point)| known.insert(key, point));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionKey;

    #[test]
    fn only_what_was_used_lately_is_kept() {
        let point = |seed: u8| {
            let key = SessionKey::from_seed([seed; 32]).public();
            (key, public_key(&key).unwrap())
        };
        let (first, some) = (point(0), point(1));
        let mut known = Known::default();
        known.insert(first.0, first.1.clone());
        for number in 0..GENERATION as u64 * 3 {
            known.insert(B256::from(alloy_primitives::U256::from(number)), some.1.clone());
            assert!(known.recent.len() + known.older.len() <= 2 * GENERATION);
        }
        assert!(known.get(&first.0).is_none());
        assert!(known.get(&B256::from(alloy_primitives::U256::from(GENERATION as u64 * 3 - 1))).is_some());
    }

    #[test]
    fn a_known_key_has_the_point_of_an_unknown_one() {
        let keys: Vec<_> = (0..50u8).map(|seed| SessionKey::from_seed([seed; 32]).public()).collect();
        let fresh = points(keys.iter().copied().chain([B256::repeat_byte(2)]));
        remember(fresh.iter().filter_map(|(key, point)| Some((*key, point.clone()?))));
        assert_eq!(points(keys.iter().copied().chain([B256::repeat_byte(2)])), fresh);
        assert!(keys.iter().all(|key| fresh[key] == public_key(key)));
    }
}
