//! Ordered binary Merkle trees over SHA-256, for transactions and receipts.
//!
//! Leaf = SHA-256(0x00 | bytes), node = SHA-256(0x01 | left | right); a node without a right sibling is promoted
//! unchanged; the root of no leaves is SHA-256 of nothing. The shape is RFC 9162's, so a proof names its leaf's
//! position and cannot be replayed for another.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

/// Hash of one leaf.
#[must_use]
pub fn leaf(bytes: &[u8]) -> B256 {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(bytes);
    B256::from_slice(&hasher.finalize())
}

/// Hash of an inner node.
#[must_use]
pub fn node(left: &B256, right: &B256) -> B256 {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left);
    hasher.update(right);
    B256::from_slice(&hasher.finalize())
}

fn parent_level(level: &[B256]) -> Vec<B256> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node(left, right),
            alone => alone[0],
        })
        .collect()
}

/// Root over the leaf hashes, in order.
#[must_use]
pub fn root(leaves: &[B256]) -> B256 {
    if leaves.is_empty() {
        return B256::from_slice(&Sha256::digest([]));
    }
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = parent_level(&level);
    }
    level[0]
}

/// The siblings of leaf `index` from the bottom up, or `None` when there is no such leaf.
#[must_use]
pub fn prove(leaves: &[B256], index: usize) -> Option<Vec<B256>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut level, mut position, mut siblings) = (leaves.to_vec(), index, Vec::new());
    while level.len() > 1 {
        if let Some(sibling) = level.get(position ^ 1) {
            siblings.push(*sibling);
        }
        level = parent_level(&level);
        position /= 2;
    }
    Some(siblings)
}

/// Whether `siblings` lead from `leaf` at `index` of `count` leaves to `root`.
#[must_use]
pub fn verify(root: &B256, leaf: &B256, index: usize, count: usize, siblings: &[B256]) -> bool {
    if index >= count {
        return false;
    }
    let (mut hash, mut position, mut width, mut rest) = (*leaf, index, count, siblings.iter());
    while width > 1 {
        if position ^ 1 < width {
            let Some(sibling) = rest.next() else {
                return false;
            };
            hash = if position % 2 == 0 { node(&hash, sibling) } else { node(sibling, &hash) };
        }
        position /= 2;
        width = width.div_ceil(2);
    }
    rest.next().is_none() && hash == *root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_every_small_tree_proves_itself_and_nothing_else() {
        for count in 1..40 {
            let leaves: Vec<_> = (0u8..count).map(|value| leaf(&[value])).collect();
            let root = root(&leaves);
            for (index, hash) in leaves.iter().enumerate() {
                let siblings = prove(&leaves, index).unwrap_or_default();
                assert!(verify(&root, hash, index, leaves.len(), &siblings));
                assert!(!verify(&root, &leaf(b"other"), index, leaves.len(), &siblings));
                assert!(!verify(&root, hash, (index + 1) % leaves.len(), leaves.len(), &siblings) || leaves.len() == 1);
            }
            assert!(prove(&leaves, leaves.len()).is_none());
        }
    }
}
