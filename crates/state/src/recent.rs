//! Keep the trees of the last committed versions, bounded in number and in memory.

use crate::{Key, Proof, tree::Tree};
use candela_primitives::B256;
use std::{collections::VecDeque, ops::RangeInclusive};

/// The tree of one committed version: it gives proofs and holds nothing open in the store.
#[derive(Clone, Debug)]
pub struct Prover {
    tree: Tree,
}

impl Prover {
    /// The state root that the proofs lead to.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.tree.root()
    }

    /// Proof for `key` against [`Self::root`].
    #[must_use]
    pub fn prove(&self, key: &Key) -> Proof {
        let (siblings, leaf) = self.tree.walk(&key.path());
        Proof { siblings, leaf }
    }
}

/// The tree of a height is not kept, or not there yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state of block {height} can't be proved: proofs are kept for {}", range(.provable.as_ref()))]
pub struct Unprovable {
    /// The height that was asked for.
    pub height: u64,
    /// The heights that can be proved; `None` before genesis.
    pub provable: Option<RangeInclusive<u64>>,
}

fn range(heights: Option<&RangeInclusive<u64>>) -> String {
    match heights {
        Some(heights) => format!("blocks {} to {}", heights.start(), heights.end()),
        None => "no block".to_owned(),
    }
}

/// How many versions are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) versions: usize,
    /// For all versions but the head.
    pub(crate) bytes: usize,
}

/// The trees of consecutive heights; the last one is the head's and always kept.
#[derive(Debug)]
pub(crate) struct Recent {
    limits: Limits,
    head: Option<u64>,
    trees: VecDeque<Tree>,
    /// What the trees before the last one hold at most.
    bytes: usize,
}

impl Recent {
    pub(crate) fn new(limits: Limits, height: Option<u64>, tree: Tree) -> Self {
        Self { limits, head: height, trees: height.map(|_| tree).into_iter().collect(), bytes: 0 }
    }

    /// Adds the next height and returns the trees that are no longer kept, to be dropped where nobody waits.
    pub(crate) fn push(&mut self, height: u64, tree: Tree) -> Vec<Tree> {
        if !self.trees.is_empty() {
            self.bytes += tree.replaced_bytes();
        }
        self.head = Some(height);
        self.trees.push_back(tree);
        let mut dropped = Vec::new();
        while self.trees.len() > 1 && (self.trees.len() > self.limits.versions || self.bytes > self.limits.bytes) {
            dropped.extend(self.trees.pop_front());
            self.bytes -= self.trees.front().map_or(0, Tree::replaced_bytes);
        }
        dropped
    }

    pub(crate) fn prover(&self, height: u64) -> Result<Prover, Unprovable> {
        let provable = self.heights();
        let oldest = provable.as_ref().map(|heights| *heights.start());
        let index = oldest.and_then(|oldest| usize::try_from(height.checked_sub(oldest)?).ok());
        let tree = index.and_then(|index| self.trees.get(index)).cloned();
        tree.map(|tree| Prover { tree }).ok_or(Unprovable { height, provable })
    }

    fn heights(&self) -> Option<RangeInclusive<u64>> {
        self.head.map(|head| head + 1 - self.trees.len() as u64..=head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::sha256;

    fn filled(count: u32) -> Tree {
        let leaf = |index: u32| (sha256(&index.to_be_bytes()), Some(B256::ZERO));
        Tree::default().updated((0..count).map(leaf).collect())
    }

    fn changed(tree: &Tree, height: u64, count: u32) -> Tree {
        let value = sha256(&height.to_be_bytes());
        tree.updated((0..count).map(|index| (sha256(&index.to_be_bytes()), Some(value))).collect())
    }

    #[test]
    fn the_oldest_versions_go_when_there_are_too_many() {
        let mut tree = filled(10);
        let mut recent = Recent::new(Limits { versions: 3, bytes: usize::MAX }, Some(5), tree.clone());
        for height in 6..20 {
            tree = changed(&tree, height, 1);
            recent.push(height, tree.clone());
            assert_eq!(recent.prover(height).unwrap().root(), tree.root());
        }
        assert_eq!(recent.heights(), Some(17..=19));
        assert!(recent.prover(17).is_ok());
        for height in [0, 16, 20, u64::MAX] {
            let refused = recent.prover(height).unwrap_err().to_string();
            assert!(refused.ends_with("proofs are kept for blocks 17 to 19"), "{refused}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_head_always_kept() {
        let mut tree = filled(1_000);
        let limit = crate::tree::NODE_BYTES * 5_000;
        let mut recent = Recent::new(Limits { versions: 1_000, bytes: limit }, Some(0), tree.clone());
        for height in 1..50 {
            tree = changed(&tree, height, 1_000);
            recent.push(height, tree.clone());
            assert!(recent.bytes <= limit);
        }
        assert!((3..=5).contains(&recent.trees.len()), "{} versions of about 2,000 nodes each", recent.trees.len());
        let mut recent = Recent::new(Limits { versions: 1_000, bytes: 0 }, Some(49), tree.clone());
        recent.push(50, changed(&tree, 50, 1_000));
        assert_eq!((recent.heights(), recent.bytes), (Some(50..=50), 0));
    }

    #[test]
    fn nothing_can_be_proved_before_genesis() {
        let mut recent = Recent::new(Limits { versions: 2, bytes: usize::MAX }, None, Tree::default());
        assert_eq!(recent.prover(0).unwrap_err().provable, None);
        recent.push(0, filled(3));
        assert_eq!(recent.heights(), Some(0..=0));
    }
}
