//! Show that a root commits to many leaves at once.
//!
//! A proof walks the tree from the top down, left before right: [`BRANCH`] where both sides follow, [`LEAF`] at one of the
//! leaves, and [`OTHER`] with the hash of a subtree that holds none of them.

use crate::tree::{Link, Node, branch_hash, hash, leaf_hash, split};
use candela_primitives::B256;

const OTHER: u8 = 0;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;

/// The path of a leaf and the SHA-256 of its value.
pub(crate) type Leaf = (B256, B256);

/// Appends the proof of `leaves`, sorted and all of them below `link`, to `proof`.
pub(crate) fn prove(link: &Link, leaves: &[Leaf], depth: usize, proof: &mut Vec<u8>) {
    match link.as_deref() {
        Some(Node::Leaf { .. }) if !leaves.is_empty() => proof.push(LEAF),
        Some(Node::Branch { left, right, .. }) if !leaves.is_empty() => {
            proof.push(BRANCH);
            let (low, high) = split(leaves, depth);
            prove(left, low, depth + 1, proof);
            prove(right, high, depth + 1, proof);
        }
        _ => {
            proof.push(OTHER);
            proof.extend_from_slice(hash(link).as_slice());
        }
    }
}

/// The root that `proof` leads to from `leaves`, which are sorted; `None` when it does not fit them.
pub(crate) fn root(leaves: &[Leaf], mut proof: &[u8]) -> Option<B256> {
    let root = subtree(leaves, 0, &mut proof)?;
    proof.is_empty().then_some(root)
}

fn subtree(leaves: &[Leaf], depth: usize, proof: &mut &[u8]) -> Option<B256> {
    let (kind, rest) = proof.split_first()?;
    *proof = rest;
    match (*kind, leaves) {
        (OTHER, []) => {
            let (hash, rest) = proof.split_first_chunk::<32>()?;
            *proof = rest;
            Some(B256::from(*hash))
        }
        (LEAF, [(path, value)]) => Some(leaf_hash(path, value)),
        (BRANCH, [_, ..]) if depth < 256 => {
            let (low, high) = split(leaves, depth);
            let left = subtree(low, depth + 1, proof)?;
            Some(branch_hash(&left, &subtree(high, depth + 1, proof)?))
        }
        _ => None,
    }
}
