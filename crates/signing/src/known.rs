//! Remember the points of keys that signed lately: finding one costs as much as checking a signature in a batch.

use crate::session::public_key;
use candela_primitives::B256;
use commonware_cryptography::ed25519::PublicKey;
use foldhash::fast::RandomState;
use parking_lot::RwLock;
use std::{
    collections::HashMap,
    mem,
    sync::{Arc, LazyLock},
};

/// Keys in one generation at most; two are kept.
const GENERATION: usize = 1 << 15;

static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);

type Points = HashMap<B256, Arc<PublicKey>, RandomState>;

/// Keys that were used since the last change of generations, and those from before it.
#[derive(Default)]
struct Known {
    recent: Points,
    older: Points,
}

/// A key's point.
#[derive(Clone)]
pub(crate) struct Point {
    pub(crate) key: Arc<PublicKey>,
    /// Whether it is among those of this generation.
    recent: bool,
}

impl Known {
    fn get(&self, key: &B256) -> Option<Point> {
        let point = |recent| move |key: &Arc<PublicKey>| Point { key: key.clone(), recent };
        self.recent.get(key).map(point(true)).or_else(|| self.older.get(key).map(point(false)))
    }

    fn insert(&mut self, key: B256, point: Arc<PublicKey>) {
        if self.recent.len() >= GENERATION {
            self.older = mem::take(&mut self.recent);
        }
        self.recent.insert(key, point);
    }
}

/// The points of keys, in their order; `None` for what is no key.
pub(crate) fn points(keys: impl Iterator<Item = B256> + Clone) -> Vec<Option<Point>> {
    let mut points: Vec<_> = {
        let known = KNOWN.read();
        keys.clone().map(|key| known.get(&key)).collect()
    };
    let mut fresh = HashMap::<_, _, RandomState>::default();
    for (key, point) in keys.zip(&mut points).filter(|(_, point)| point.is_none()) {
        let decode = || public_key(&key).map(|point| Point { key: Arc::new(point), recent: false });
        point.clone_from(fresh.entry(key).or_insert_with(decode));
    }
    points
}

/// Remembers keys that have made valid signatures.
pub(crate) fn remember(points: impl Iterator<Item = (B256, Point)>) {
    let fresh: Vec<_> = points.filter(|(_, point)| !point.recent).collect();
    if !fresh.is_empty() {
        let mut known = KNOWN.write();
        fresh.into_iter().for_each(|(key, point)| known.insert(key, point.key));
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
            (key, Arc::new(public_key(&key).unwrap()))
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
        let with_another = || keys.iter().copied().chain([B256::repeat_byte(2)]);
        let decoded: Vec<_> = with_another().map(|key| public_key(&key)).collect();
        for known in [false, true] {
            let points = points(with_another());
            let found: Vec<_> = points.iter().map(|point| point.as_ref().map(|point| (*point.key).clone())).collect();
            assert_eq!(found, decoded);
            assert!(!known || points.iter().flatten().all(|point| point.recent));
            remember(with_another().zip(points).filter_map(|(key, point)| Some((key, point?))));
        }
    }
}
