//! Check single Ed25519 signatures on messages without a namespace.

use curve25519_dalek::{
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::IsIdentity,
};
use sha2::{Digest, Sha512};

/// Whether `signature` is `key`'s on `message`, by the rules of [ZIP 215](https://zips.z.cash/zip-0215): key and `R` may be
/// encoded in any way, `s` has one encoding, and the equation is multiplied by the cofactor.
///
/// commonware-cryptography judges alike, but puts a namespace and its length before every message.
#[must_use]
pub fn verify_ed25519(key: &[u8; 32], signature: &[u8; 64], message: &[u8]) -> bool {
    let (commitment, scalar) = signature.split_at(32);
    let (Ok(commitment), Ok(scalar)) = (<[u8; 32]>::try_from(commitment), <[u8; 32]>::try_from(scalar)) else {
        return false;
    };
    let point = |bytes: [u8; 32]| CompressedEdwardsY(bytes).decompress();
    let (Some(key_point), Some(commitment_point)) = (point(*key), point(commitment)) else { return false };
    let Some(scalar) = Option::<Scalar>::from(Scalar::from_canonical_bytes(scalar)) else { return false };
    let hash = Sha512::new().chain_update(commitment).chain_update(key).chain_update(message).finalize();
    let challenge = Scalar::from_bytes_mod_order_wide(&hash.into());
    let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&challenge, &-key_point, &scalar);
    (commitment_point - expected).mul_by_cofactor().is_identity()
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_codec::{Copying, DecodeExt};
    use commonware_cryptography::{
        Signer, Verifier,
        ed25519::{PrivateKey, PublicKey, Signature},
    };
    use proptest::prelude::*;

    fn framed(namespace: &[u8], message: &[u8]) -> Vec<u8> {
        [&[u8::try_from(namespace.len()).unwrap()], namespace, message].concat()
    }

    fn judged_alike(key: [u8; 32], signature: [u8; 64], namespace: &[u8], message: &[u8]) -> bool {
        let valid = verify_ed25519(&key, &signature, &framed(namespace, message));
        let theirs = PublicKey::decode(Copying(&key)).is_ok_and(|key| {
            let signature = Signature::decode(Copying(&signature)).unwrap();
            key.verify(namespace, message, &signature)
        });
        assert_eq!(valid, theirs, "key {key:02x?}, signature {signature:02x?}");
        valid
    }

    proptest! {
        #[test]
        fn commonware_judges_alike(
            seed: [u8; 32],
            namespace in proptest::collection::vec(any::<u8>(), 0..100),
            message in proptest::collection::vec(any::<u8>(), 0..200),
            place in 0..96usize,
            bit in 0..8u8,
        ) {
            let secret = PrivateKey::decode(Copying(&seed)).unwrap();
            let mut key = <[u8; 32]>::try_from(secret.public_key().as_ref()).unwrap();
            let mut signature = <[u8; 64]>::try_from(secret.sign(&namespace, &message).as_ref()).unwrap();
            prop_assert!(judged_alike(key, signature, &namespace, &message));
            let changed = if place < 32 { &mut key[place] } else { &mut signature[place - 32] };
            *changed ^= 1 << bit;
            judged_alike(key, signature, &namespace, &message);
        }

        #[test]
        fn commonware_judges_small_orders_alike(key in small(), commitment in small(), scalar in 0..3u8, message: [u8; 8]) {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&commitment);
            signature[32] = scalar;
            prop_assert_eq!(judged_alike(key, signature, b"Zcash", &message), scalar == 0);
        }
    }

    /// Encodings of points whose order divides 8, and some that are no points.
    fn small() -> impl Strategy<Value = [u8; 32]> {
        let modulus = |add: u8| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed + add, 0x7f);
            bytes
        };
        let number = |number: u8| {
            let mut bytes = [0; 32];
            bytes[0] = number;
            bytes
        };
        let mut minus_one = modulus(0);
        minus_one[0] = 0xec;
        let all = [number(0), number(1), minus_one, modulus(0), modulus(1)];
        (proptest::sample::select(all.to_vec()), any::<bool>()).prop_map(|(mut bytes, sign)| {
            bytes[31] |= u8::from(sign) << 7;
            bytes
        })
    }
}
