//! Say who agrees on blocks during an epoch.

use crate::EngineError;
use bytes::Bytes;
use commonware_codec::DecodeExt;
use commonware_cryptography::{Signer, ed25519};
use commonware_utils::ordered::Set;

/// Most members of a committee; every message limit grows with it.
pub const MAX_MEMBERS: usize = 128;

/// A validator with a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Ed25519 public key that its votes verify under and that its connections are authenticated with.
    pub public_key: [u8; 32],
    /// Its stake relative to the others': how often it leads. Votes are equal.
    pub weight: u128,
}

/// The validators of one epoch: the same value on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    /// The epoch.
    pub epoch: u64,
    /// Who has a seat, in any order.
    pub members: Vec<Member>,
}

/// The Ed25519 public key of a secret key.
///
/// # Errors
/// When the bytes are no secret key.
pub fn public_key(secret: &[u8; 32]) -> Result<[u8; 32], EngineError> {
    bytes_of(&private_key(secret)?.public_key())
}

pub(crate) fn private_key(secret: &[u8; 32]) -> Result<ed25519::PrivateKey, EngineError> {
    ed25519::PrivateKey::decode(Bytes::copy_from_slice(secret)).map_err(|_| EngineError::Key)
}

pub(crate) fn decode_key(bytes: &[u8; 32]) -> Result<ed25519::PublicKey, EngineError> {
    ed25519::PublicKey::decode(Bytes::copy_from_slice(bytes))
        .map_err(|_| EngineError::Committee("a public key is not an Ed25519 key"))
}

pub(crate) fn bytes_of(key: &ed25519::PublicKey) -> Result<[u8; 32], EngineError> {
    <[u8; 32]>::try_from(key.as_ref()).map_err(|_| EngineError::Key)
}

impl Committee {
    /// The committee of one.
    ///
    /// # Errors
    /// When the bytes are no secret key.
    pub fn solitary(secret: &[u8; 32]) -> Result<Self, EngineError> {
        Ok(Self { epoch: 0, members: vec![Member { public_key: public_key(secret)?, weight: 1 }] })
    }

    /// Most members that may be faulty while the chain stays safe: less than a third.
    #[must_use]
    pub const fn tolerated_faults(&self) -> usize {
        self.members.len().saturating_sub(1) / 3
    }

    /// # Errors
    /// When it is empty, too large, names a key twice, or names what is no key.
    pub(crate) fn keys(&self) -> Result<Set<ed25519::PublicKey>, EngineError> {
        if self.members.is_empty() || self.members.len() > MAX_MEMBERS {
            return Err(EngineError::Committee("it must have 1 to 128 members"));
        }
        if self.members.iter().any(|member| member.weight == 0) {
            return Err(EngineError::Committee("a member has the weight 0"));
        }
        let keys = self.members.iter().map(|member| decode_key(&member.public_key)).collect::<Result<Vec<_>, _>>()?;
        let set = Set::from_iter_dedup(keys);
        if set.len() != self.members.len() {
            return Err(EngineError::Committee("a public key is named twice"));
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_distinct_valid_and_weighted() {
        let good = Committee::solitary(&[1; 32]).unwrap();
        assert_eq!(good.keys().unwrap().len(), 1);
        let twice = Committee { epoch: 0, members: [good.members.clone(), good.members.clone()].concat() };
        assert!(matches!(twice.keys(), Err(EngineError::Committee("a public key is named twice"))));
        let weightless = Member { weight: 0, ..good.members[0].clone() };
        assert!(Committee { epoch: 0, members: vec![weightless] }.keys().is_err());
        assert!(Committee { epoch: 0, members: Vec::new() }.keys().is_err());
    }

    #[test]
    fn fewer_than_a_third_may_be_faulty() {
        let of = |count| Committee { epoch: 0, members: vec![Member { public_key: [0; 32], weight: 1 }; count] };
        assert_eq!([1, 3, 4, 6, 7, 100].map(|count| of(count).tolerated_faults()), [0, 0, 1, 1, 2, 33]);
    }
}
