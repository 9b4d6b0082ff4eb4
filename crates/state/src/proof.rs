//! Show that a root commits to a value, or to the absence of one.

use crate::{Key, key::sha256, tree};
use candela_primitives::B256;

/// The way from a root to where a key is, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Hashes beside the way, from the root down; at most 256.
    pub siblings: Vec<B256>,
    /// The leaf at the end of the way: its path and the SHA-256 of its value; `None` when nothing is there.
    pub leaf: Option<(B256, B256)>,
}

/// Why a proof shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It does not lead to the root.
    #[error("the proof does not lead to the state root")]
    Root,
    /// The leaf at its end can't be where the key's way ends.
    #[error("the proof is for another key")]
    Path,
    /// It is longer than a key has bits.
    #[error("the proof is too long")]
    Length,
    /// The leaf holds another value.
    #[error("the proof is for another value")]
    Value,
}

/// Checks that `root` commits to `value` under `key`; `None` stands for absence.
///
/// # Errors
/// When it does not.
pub fn verify(root: &B256, key: &Key, value: Option<&[u8]>, proof: &Proof) -> Result<(), ProofError> {
    let path = key.path();
    if proof.siblings.len() > 256 {
        return Err(ProofError::Length);
    }
    let mut hash = match &proof.leaf {
        None => B256::ZERO,
        Some((leaf, value)) => {
            let shares_the_way =
                (0..proof.siblings.len()).all(|depth| tree::bit(leaf, depth) == tree::bit(&path, depth));
            if !shares_the_way {
                return Err(ProofError::Path);
            }
            tree::leaf_hash(leaf, value)
        }
    };
    for (depth, sibling) in proof.siblings.iter().enumerate().rev() {
        hash =
            if tree::bit(&path, depth) { tree::branch_hash(sibling, &hash) } else { tree::branch_hash(&hash, sibling) };
    }
    if hash != *root {
        return Err(ProofError::Root);
    }
    let found = proof.leaf.filter(|(leaf, _)| *leaf == path).map(|(_, value)| value);
    if found == value.map(sha256) { Ok(()) } else { Err(ProofError::Value) }
}
