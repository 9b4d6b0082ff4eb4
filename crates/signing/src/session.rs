//! Session keys: Ed25519 signatures on transactions of type 0x50, checked one by one or many at once.
//!
//! What is signed is 48 bytes: `0x0f || "candela/session" || signing hash`, the first byte being the length of the
//! name. Ed25519 is RFC 8032's; a signature is valid by the rules of ZIP 215, under which a batch and single checks
//! always agree.

use crate::{SigningError, known};
use candela_primitives::{B256, Bytes, CandelaTransaction, Envelope, Transaction, keccak256};
use commonware_codec::{Copying, DecodeExt};
use commonware_cryptography::{
    BatchEntry, BatchVerifier, Signer, Verifier,
    ed25519::{PrivateKey, PublicKey, Signature},
    transcript::{Transcript, Version},
};
use commonware_parallel::Sequential;

/// Keeps session signatures apart from all others that the same key may make.
const NAMESPACE: &[u8] = b"candela/session";

/// Signatures that are checked at once.
const BATCH: usize = 1024;

/// How often, on average, a signature may be checked in a batch before it is checked by itself.
const PATIENCE: usize = 4;

/// An Ed25519 secret key that signs in an account's place; it appears in no `Debug` output.
#[derive(Clone)]
pub struct SessionKey(PrivateKey);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SessionKey({})", self.public())
    }
}

impl SessionKey {
    /// The key of a seed (RFC 8032, section 5.1.5); any 32 bytes are one.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let key = PrivateKey::decode(Copying(&seed));
        Self(key.unwrap_or_else(|_| unreachable!("any 32 bytes are a seed")))
    }

    /// The public key, which the account authorizes.
    #[must_use]
    pub fn public(&self) -> B256 {
        B256::from_slice(&self.0.public_key())
    }
}

/// Signs `fields` with `key` in the name of `fields.sender`; scheme and signature are filled in.
#[must_use]
pub fn sign_session(mut fields: CandelaTransaction, key: &SessionKey) -> Transaction {
    fields.scheme = CandelaTransaction::SESSION_SCHEME;
    let signature = key.0.sign(NAMESPACE, fields.signing_hash().as_slice());
    fields.signature = [key.public().as_slice(), &signature].concat().into();
    let (sender, encoded) = (fields.sender, fields.encoded().into());
    Transaction::new_unchecked(fields, encoded, sender)
}

/// A transaction whose session signature has not been checked yet.
pub(crate) struct Unchecked {
    transaction: CandelaTransaction,
    encoded: Bytes,
    key: B256,
    signature: Signature,
    message: B256,
}

impl Unchecked {
    /// Reads the bytes of a transaction of type 0x50.
    pub(crate) fn read(encoded: Bytes) -> Result<Self, SigningError> {
        let transaction = CandelaTransaction::decode_exact(&encoded).map_err(|error| match error {
            alloy_rlp::Error::NonCanonicalSize => SigningError::NonCanonical,
            alloy_rlp::Error::UnexpectedLength => SigningError::Trailing,
            error => SigningError::Malformed(error.to_string()),
        })?;
        if transaction.scheme != CandelaTransaction::SESSION_SCHEME {
            return Err(SigningError::Scheme(transaction.scheme));
        }
        let bytes = transaction.signature.len();
        let (key, signature) = transaction.session().ok_or(SigningError::SessionLength(bytes))?;
        let signature = Signature::decode(Copying(signature)).map_err(|_| SigningError::Session)?;
        let message = transaction.signing_hash();
        Ok(Self { transaction, encoded, key, signature, message })
    }

    /// Checks the signature.
    pub(crate) fn check(self) -> Result<Transaction, SigningError> {
        let key = public_key(&self.key).ok_or(SigningError::Session)?;
        if self.is_signed_by(&key) { Ok(self.checked()) } else { Err(SigningError::Session) }
    }

    fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verify(NAMESPACE, self.message.as_slice(), &self.signature)
    }

    fn checked(self) -> Transaction {
        let (sender, hash) = (self.transaction.sender, keccak256(&self.encoded));
        Transaction::new_unchecked(Envelope::candela(self.transaction, hash), self.encoded, sender)
    }
}

pub(crate) fn public_key(bytes: &B256) -> Option<PublicKey> {
    PublicKey::decode(Copying(bytes.as_slice())).ok()
}

/// [`Unchecked::check`] for many; the results keep their order.
pub(crate) fn check_all(unchecked: Vec<Unchecked>) -> Vec<Result<Transaction, SigningError>> {
    let points = known::points(unchecked.iter().map(|each| each.key));
    let signed: Vec<Signed<'_>> = unchecked
        .iter()
        .zip(&points)
        .enumerate()
        .filter_map(|(index, (each, point))| point.as_ref().map(|point| Signed { index, each, key: &point.key }))
        .collect();
    let mut valid = vec![false; unchecked.len()];
    for batch in signed.chunks(BATCH) {
        mark(batch, false, PATIENCE * batch.len(), &mut valid);
    }
    let signers = unchecked.iter().zip(points).zip(&valid).filter(|(_, valid)| **valid);
    known::remember(signers.filter_map(|((each, point), _)| Some((each.key, point?))));
    let verdict =
        |(each, valid): (Unchecked, bool)| if valid { Ok(each.checked()) } else { Err(SigningError::Session) };
    unchecked.into_iter().zip(valid).map(verdict).collect()
}

/// A signature with the point of its key, and where its verdict belongs.
struct Signed<'a> {
    index: usize,
    each: &'a Unchecked,
    key: &'a PublicKey,
}

impl Signed<'_> {
    fn entry(&self) -> BatchEntry<'_, PublicKey> {
        BatchEntry {
            namespace: NAMESPACE,
            message: self.each.message.as_slice(),
            public_key: self.key,
            signature: &self.each.signature,
        }
    }
}

/// Marks the valid ones of `signed` by halving what fails, and one by one when too many do; returns the patience left.
///
/// `fails` says that `signed` is known to hold a bad one, so that the whole of it need not be checked.
fn mark(signed: &[Signed<'_>], fails: bool, mut patience: usize, valid: &mut [bool]) -> usize {
    const WORTH_A_BATCH: usize = 4;
    if signed.len() < WORTH_A_BATCH || patience < signed.len() {
        for each in signed {
            valid[each.index] = each.each.is_signed_by(each.key);
        }
        return patience;
    }
    if !fails {
        patience -= signed.len();
        if verify(signed) {
            signed.iter().for_each(|each| valid[each.index] = true);
            return patience;
        }
    }
    let (left, right) = signed.split_at(signed.len() / 2);
    patience = mark(left, false, patience, valid);
    let left_holds = left.iter().all(|each| valid[each.index]);
    mark(right, left_holds, patience, valid)
}

fn verify(signed: &[Signed<'_>]) -> bool {
    // The randomizers follow from everything that is checked, so that equal input takes equal steps everywhere and
    // nobody can choose a signature after them.
    let mut transcript = Transcript::new(NAMESPACE, Version::V1);
    for Signed { each, .. } in signed {
        transcript.append(each.key.as_slice()).append(each.signature.as_ref()).commit(each.message.as_slice());
    }
    PublicKey::verify_batch(&mut transcript.noise(b"batch"), signed, |_, signed| signed.entry(), &Sequential)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, decode_batch};
    use alloy_primitives::{Address, U256, hex};
    use proptest::prelude::*;

    /// Encodings of the points of small order: the eight canonical ones, then those that ZIP 215 accepts besides.
    const SMALL_ORDER: [[u8; 32]; 14] = [
        hex!("0100000000000000000000000000000000000000000000000000000000000000"),
        hex!("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        hex!("0000000000000000000000000000000000000000000000000000000000000080"),
        hex!("0000000000000000000000000000000000000000000000000000000000000000"),
        hex!("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        hex!("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
        hex!("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        hex!("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
        hex!("0100000000000000000000000000000000000000000000000000000000000080"),
        hex!("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
        hex!("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        hex!("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
        hex!("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        hex!("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
    ];

    /// The order of the base point, little-endian.
    const ORDER: [u8; 32] = hex!("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");

    fn fields(nonce: u64) -> CandelaTransaction {
        CandelaTransaction {
            chain_id: 4_410_948,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 10,
            max_priority_fee_per_gas: 1,
            to: Address::repeat_byte(9).into(),
            value: U256::from(5),
            sender: Address::repeat_byte(3),
            ..CandelaTransaction::default()
        }
    }

    fn signed(nonce: u64, key: u8) -> Bytes {
        sign_session(fields(nonce), &SessionKey::from_seed([key; 32])).encoded().clone()
    }

    /// The transaction with any signature.
    fn forged(nonce: u64, parts: [&[u8]; 3]) -> Bytes {
        let scheme = CandelaTransaction::SESSION_SCHEME;
        CandelaTransaction { scheme, signature: parts.concat().into(), ..fields(nonce) }.encoded().into()
    }

    fn assert_batch_equals_single(raw: Vec<Bytes>) -> usize {
        let single: Vec<_> = raw.iter().cloned().map(decode).collect();
        for threads in [1, 3] {
            assert_eq!(decode_batch(raw.clone(), threads), single);
        }
        single.iter().filter(|verdict| verdict.is_ok()).count()
    }

    #[test]
    fn decoding_gives_the_named_sender_and_the_session_key() {
        let key = SessionKey::from_seed([7; 32]);
        let transaction = sign_session(fields(3), &key);
        let decoded = decode(transaction.encoded().clone()).unwrap();
        assert_eq!(decoded, transaction);
        assert_eq!(decoded.sender(), Address::repeat_byte(3));
        assert_eq!(decoded.session_key(), Some(key.public()));
        assert_eq!(decoded.hash(), keccak256(transaction.encoded()));
        assert!(!format!("{key:?}").contains("0707"));
    }

    #[test]
    fn other_schemes_and_lengths_are_refused_in_words() {
        let scheme = |scheme| CandelaTransaction { scheme, ..fields(0) }.encoded().into();
        assert_eq!(decode(scheme(1)), Err(SigningError::Scheme(1)));
        assert!(decode(scheme(1)).unwrap_err().to_string().contains("signature scheme 1 is not supported"));
        assert_eq!(decode(forged(0, [&[0; 32], &[0; 32], &[0; 31]])), Err(SigningError::SessionLength(95)));
    }

    #[test]
    fn every_truncation_and_any_trailing_byte_is_refused() {
        let raw = signed(0, 1).to_vec();
        for end in 0..raw.len() {
            assert!(decode(raw[..end].to_vec().into()).is_err(), "accepted {end} bytes");
        }
        assert_eq!(decode([raw, vec![0]].concat().into()), Err(SigningError::Trailing));
    }

    #[test]
    fn a_batch_names_exactly_the_bad_ones() {
        for bad in [vec![], vec![0], vec![499], vec![3, 4, 250, 251], (0..500).step_by(2).collect(), (0..500).collect()]
        {
            let mut raw: Vec<_> = (0..500).map(|nonce| signed(nonce, (nonce % 7) as u8)).collect();
            for at in &bad {
                let mut changed = raw[*at].to_vec();
                changed[10] ^= 1;
                raw[*at] = changed.into();
            }
            assert_eq!(assert_batch_equals_single(raw), 500 - bad.len(), "{bad:?}");
        }
    }

    #[test]
    fn swapped_signatures_fail_singly_and_in_a_batch() {
        let mut raw: Vec<_> = (0..64).map(|nonce| signed(nonce, 1)).collect();
        let part = |raw: &Bytes| raw[raw.len() - 96..].to_vec();
        let (first, second) = (part(&raw[20]), part(&raw[40]));
        raw[20] = forged(20, [&second, &[], &[]]);
        raw[40] = forged(40, [&first, &[], &[]]);
        assert_eq!(assert_batch_equals_single(raw), 62);
    }

    #[test]
    fn a_batch_agrees_on_small_orders_and_encodings_that_are_not_canonical() {
        let mut raw: Vec<Bytes> = (0..50).map(|nonce| signed(nonce, 1)).collect();
        for key in &SMALL_ORDER {
            raw.extend(SMALL_ORDER.iter().map(|point| forged(7, [key, point, &[0; 32]])));
        }
        let valid = raw.len();
        raw.push(forged(7, [&SMALL_ORDER[0], &SMALL_ORDER[0], &ORDER]));
        // No point has this y.
        raw.push(forged(7, [&[2; 32], &SMALL_ORDER[0], &[0; 32]]));
        raw.push(forged(7, [&SMALL_ORDER[0], &[2; 32], &[0; 32]]));
        assert_eq!(assert_batch_equals_single(raw), valid);
    }

    #[test]
    fn s_above_the_order_is_refused() {
        let raw = signed(0, 1);
        let (key, rest) = raw[raw.len() - 96..].split_at(32);
        let (point, s) = rest.split_at(32);
        let above = (U256::from_le_slice(s) + U256::from_le_bytes(ORDER)).to_le_bytes::<32>();
        assert_eq!(decode(forged(0, [key, point, &above])), Err(SigningError::Session));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_always_refused(position in 0usize..200, bit in 0u8..8) {
            let mut raw = signed(1, 1).to_vec();
            let position = position % raw.len();
            raw[position] ^= 1 << bit;
            prop_assert!(decode(raw.into()).is_err());
        }

        #[test]
        fn what_decodes_is_canonical(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let raw = [vec![CandelaTransaction::TYPE], raw].concat();
            if let Ok(transaction) = CandelaTransaction::decode_exact(&raw) {
                prop_assert_eq!(transaction.encoded(), raw);
            }
        }

        #[test]
        fn changed_batches_are_judged_like_single_ones(
            changes in proptest::collection::vec((0usize..40, 0usize..196, any::<u8>()), 0..12)
        ) {
            let mut raw: Vec<_> = (0..40).map(|nonce| signed(nonce, (nonce % 3) as u8).to_vec()).collect();
            for (at, position, value) in changes {
                let position = position % raw[at].len();
                raw[at][position] = value;
            }
            assert_batch_equals_single(raw.into_iter().map(Bytes::from).collect());
        }
    }
}
