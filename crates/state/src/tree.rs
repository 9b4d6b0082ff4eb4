//! A persistent binary radix tree: an update copies the paths that it changes and shares the rest.

use crate::key::sha256;
use candela_primitives::B256;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) enum Node {
    Leaf { path: B256, value: B256, hash: B256 },
    Branch { left: Link, right: Link, hash: B256 },
}

pub(crate) type Link = Option<Arc<Node>>;

/// One version of the tree; cloning is free.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    top: Link,
    /// Nodes of the version before that this one does not share; at most this many die with that one.
    replaced: usize,
}

/// Memory of one node at most: the counts of its `Arc`, and what an allocator rounds up to.
pub(crate) const NODE_BYTES: usize = (size_of::<Node>() + 2 * size_of::<usize>()).next_multiple_of(16) + 16;

/// A leaf to set (hash of its value) or to remove.
pub(crate) type Change = (B256, Option<B256>);

pub(crate) fn leaf_hash(path: &B256, value: &B256) -> B256 {
    let mut bytes = [0; 65];
    bytes[1..33].copy_from_slice(path.as_slice());
    bytes[33..].copy_from_slice(value.as_slice());
    sha256(&bytes)
}

pub(crate) fn branch_hash(left: &B256, right: &B256) -> B256 {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left);
    hasher.update(right);
    B256::from_slice(&hasher.finalize())
}

pub(crate) fn bit(path: &B256, depth: usize) -> bool {
    path[depth / 8] & (0x80 >> (depth % 8)) != 0
}

pub(crate) fn hash(link: &Link) -> B256 {
    match link.as_deref() {
        None => B256::ZERO,
        Some(Node::Leaf { hash, .. } | Node::Branch { hash, .. }) => *hash,
    }
}

fn leaf(path: B256, value: B256) -> Link {
    Some(Arc::new(Node::Leaf { path, value, hash: leaf_hash(&path, &value) }))
}

/// Joins two subtrees; a lone leaf moves up, so that the shape depends on the content alone.
fn join(left: Link, right: Link) -> Link {
    match (left.as_deref(), right.as_deref()) {
        (None, None) => None,
        (Some(Node::Leaf { .. }), None) => left,
        (None, Some(Node::Leaf { .. })) => right,
        _ => {
            let hash = branch_hash(&hash(&left), &hash(&right));
            Some(Arc::new(Node::Branch { left, right, hash }))
        }
    }
}

/// Paths, each with what belongs to its leaf, in order.
type Leaves<'a, T> = &'a [(B256, T)];

/// Those of `leaves` that are left and right of a branch.
pub(crate) fn split<T>(leaves: Leaves<'_, T>, depth: usize) -> (Leaves<'_, T>, Leaves<'_, T>) {
    leaves.split_at(leaves.partition_point(|(path, _)| !bit(path, depth)))
}

/// Changes below which dividing the work among threads costs more than it saves.
const WORTH_DIVIDING: usize = 256;

/// Does both, side by side if `changes` make enough work.
fn both<T: Send>(changes: usize, left: impl FnOnce() -> T + Send, right: impl FnOnce() -> T + Send) -> (T, T) {
    if changes < WORTH_DIVIDING { (left(), right()) } else { rayon::join(left, right) }
}

fn build(changes: &[Change], depth: usize) -> Link {
    match changes {
        [] => None,
        [(path, Some(value))] => leaf(*path, *value),
        [(_, None)] => None,
        many => {
            let (low, high) = split(many, depth);
            let (left, right) = both(many.len(), || build(low, depth + 1), || build(high, depth + 1));
            join(left, right)
        }
    }
}

/// The subtree with `changes` applied, and how many of its nodes that replaces.
fn update(link: &Link, changes: &[Change], depth: usize) -> (Link, usize) {
    if changes.is_empty() {
        return (link.clone(), 0);
    }
    match link.as_deref() {
        None => (build(changes, depth), 0),
        Some(Node::Leaf { path, value, .. }) => match changes.binary_search_by(|(changed, _)| changed.cmp(path)) {
            Ok(_) => (build(changes, depth), 1),
            Err(position) => {
                let mut all = changes.to_vec();
                all.insert(position, (*path, Some(*value)));
                (build(&all, depth), 1)
            }
        },
        Some(Node::Branch { left, right, .. }) => {
            let (low, high) = split(changes, depth);
            let (left, right) = both(changes.len(), || update(left, low, depth + 1), || update(right, high, depth + 1));
            (join(left.0, right.0), left.1 + right.1 + 1)
        }
    }
}

impl Tree {
    pub(crate) const fn top(&self) -> &Link {
        &self.top
    }

    /// Root hash; zero for an empty tree.
    pub(crate) fn root(&self) -> B256 {
        hash(&self.top)
    }

    /// The tree with `changes` applied; of several changes to one path the last counts. Many are divided among the threads
    /// of the pool that this runs on.
    pub(crate) fn updated(&self, mut changes: Vec<Change>) -> Self {
        changes.par_sort_by_key(|(path, _)| *path);
        changes.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1 = later.1;
            }
            same
        });
        let (top, replaced) = update(&self.top, &changes, 0);
        Self { top, replaced }
    }

    /// Memory that the version before keeps from being freed as long as it lives, at most.
    pub(crate) const fn replaced_bytes(&self) -> usize {
        self.replaced * NODE_BYTES
    }

    /// The way to `path`: siblings from the top down, and the leaf at the end of it, if any.
    pub(crate) fn walk(&self, path: &B256) -> (Vec<B256>, Option<(B256, B256)>) {
        let (mut link, mut siblings) = (&self.top, Vec::new());
        loop {
            match link.as_deref() {
                None => return (siblings, None),
                Some(Node::Leaf { path, value, .. }) => return (siblings, Some((*path, *value))),
                Some(Node::Branch { left, right, .. }) => {
                    let (next, other) = if bit(path, siblings.len()) { (right, left) } else { (left, right) };
                    siblings.push(hash(other));
                    link = next;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_root_depends_on_the_content_alone(
            rounds in proptest::collection::vec(
                proptest::collection::vec((0u8..40, proptest::option::of(any::<u8>())), 0..20), 0..12)
        ) {
            let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
            for round in rounds {
                let changes: Vec<_> = round
                    .into_iter()
                    .map(|(key, value)| (sha256(&[key]), value.map(|value| sha256(&[value]))))
                    .collect();
                for (path, value) in &changes {
                    match value {
                        Some(value) => model.insert(*path, *value),
                        None => model.remove(path),
                    };
                }
                tree = tree.updated(changes);
                let fresh = Tree::default().updated(model.iter().map(|(path, value)| (*path, Some(*value))).collect());
                prop_assert_eq!(tree.root(), fresh.root());
            }
        }
    }
}
