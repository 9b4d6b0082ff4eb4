//! Decode EIP-2718 bytes, recover their sender, and check session keys' signatures.

use crate::session::{Unchecked, check_all};
use alloy_consensus::{TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::eip2718::{Decodable2718, Eip2718Error, Encodable2718};
use candela_primitives::{Bytes, CandelaTransaction, Transaction};

/// EIP-2718 type of blob transactions, which Candela does not carry.
const BLOB_TYPE: u8 = 3;

/// A legacy transaction is an RLP list, whose first byte is at least this.
const FIRST_LIST: u8 = 0xc0;

/// Why bytes are not a transaction that Candela can carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// There is a type byte at most.
    #[error("typed transaction too short")]
    Empty,
    /// Not the encoding of any known transaction type.
    #[error("rlp: {0}")]
    Malformed(String),
    /// A batch is larger than it may be.
    #[error("rlp: more than {0} transactions")]
    TooMany(usize),
    /// Bytes follow the transaction.
    #[error("rlp: input contains more than one value")]
    Trailing,
    /// The bytes decode but are not how the transaction would be encoded.
    #[error("rlp: non-canonical encoding")]
    NonCanonical,
    /// A type that is none of 0, 1, 2, 3, 4 (EIP-2718) and 0x50.
    #[error("transaction type not supported")]
    UnknownType,
    /// Type 3.
    #[error("transaction type not supported: blob transactions (type 3) are not carried by this chain")]
    Blob,
    /// The signature belongs to nobody, or its s is in the upper half of the curve order (EIP-2).
    #[error("invalid sender: invalid transaction v, r, s values")]
    Signature,
    /// Type 0x50 with a scheme that is not 16.
    #[error("signature scheme {0} is not supported: use 16, an Ed25519 session key")]
    Scheme(u8),
    /// Scheme 16 without exactly one public key and one signature.
    #[error("invalid session signature: expected 96 bytes (public key and signature), found {0}")]
    SessionLength(usize),
    /// The signature is not the session key's, or the key is no point of the curve.
    #[error("invalid session signature")]
    Session,
}

/// Decodes one transaction of type 0, 1, 2, 4 or 0x50 and checks who signed it.
///
/// The chain id is not compared with anything here; a legacy transaction without one is accepted. A session key's
/// signature is checked, but not whether the key may act for the sender: that is in the state.
///
/// # Errors
/// When the bytes are not exactly one canonical transaction with a valid signature (ECDSA: of low s).
pub fn decode(raw: Bytes) -> Result<Transaction, SigningError> {
    match read(raw)? {
        Read::Recovered(transaction) => Ok(transaction),
        Read::Unchecked(unchecked) => unchecked.check(),
    }
}

enum Read {
    Recovered(Transaction),
    Unchecked(Unchecked),
}

fn read(raw: Bytes) -> Result<Read, SigningError> {
    match raw.as_ref() {
        [] | [0..FIRST_LIST] => return Err(SigningError::Empty),
        [BLOB_TYPE, ..] => return Err(SigningError::Blob),
        [CandelaTransaction::TYPE, ..] => return Unchecked::read(raw).map(Read::Unchecked),
        [1 | 2 | 4 | FIRST_LIST.., ..] => {}
        _ => return Err(SigningError::UnknownType),
    }
    let mut rest = raw.as_ref();
    let envelope = TxEnvelope::decode_2718(&mut rest).map_err(|error| match error {
        Eip2718Error::RlpError(error) => SigningError::Malformed(error.to_string()),
        _ => SigningError::Malformed("not the fields of a legacy transaction".to_owned()),
    })?;
    if !rest.is_empty() {
        return Err(SigningError::Trailing);
    }
    if envelope.encode_2718_len() != raw.len() || envelope.is_eip4844() {
        return Err(SigningError::NonCanonical);
    }
    let sender = envelope.recover_signer().map_err(|_| SigningError::Signature)?;
    Ok(Read::Recovered(Transaction::new_unchecked(envelope, raw, sender)))
}

/// Decodes many transactions over at most `threads` threads; the results keep the order of `raw`.
///
/// Gives what [`decode`] gives for each, but session keys' signatures are checked many at once.
#[must_use]
pub fn decode_batch(raw: Vec<Bytes>, threads: usize) -> Vec<Result<Transaction, SigningError>> {
    const WORTH_A_THREAD: usize = 16;
    let workers = threads.min(raw.len() / WORTH_A_THREAD).max(1);
    if workers == 1 {
        return decode_share(raw.into_iter());
    }
    let share = raw.len().div_ceil(workers);
    std::thread::scope(|scope| {
        let handles: Vec<_> =
            raw.chunks(share).map(|chunk| scope.spawn(move || decode_share(chunk.iter().cloned()))).collect();
        handles
            .into_iter()
            .flat_map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn decode_share(raw: impl ExactSizeIterator<Item = Bytes>) -> Vec<Result<Transaction, SigningError>> {
    let (mut decoded, mut places, mut unchecked) = (Vec::with_capacity(raw.len()), Vec::new(), Vec::new());
    for bytes in raw {
        decoded.push(match read(bytes) {
            Ok(Read::Recovered(transaction)) => Ok(transaction),
            Ok(Read::Unchecked(each)) => {
                places.push(decoded.len());
                unchecked.push(each);
                Err(SigningError::Session)
            }
            Err(error) => Err(error),
        });
    }
    for (place, verdict) in places.into_iter().zip(check_all(unchecked)) {
        decoded[place] = verdict;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SecretKey, sign_transaction};
    use alloy_consensus::{Transaction as _, TxEip1559, TxLegacy, TypedTransaction};
    use alloy_primitives::{Address, TxKind, U256};
    use candela_primitives::Envelope;
    use proptest::prelude::*;

    fn key() -> SecretKey {
        SecretKey::from_bytes(&[7; 32]).unwrap()
    }

    fn transfer(nonce: u64) -> Transaction {
        let fields = TxEip1559 {
            chain_id: 4_410_948,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 10,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(Address::repeat_byte(9)),
            value: U256::from(5),
            ..TxEip1559::default()
        };
        sign_transaction(TypedTransaction::Eip1559(fields), &key()).unwrap()
    }

    #[test]
    fn decoding_recovers_the_signer() {
        let signed = transfer(3);
        let decoded = decode(signed.encoded().clone()).unwrap();
        assert_eq!(decoded, signed);
        assert_eq!(decoded.sender(), key().address());
        assert_eq!(decoded.nonce(), 3);
    }

    #[test]
    fn legacy_transactions_without_chain_id_decode() {
        let fields = TxLegacy { gas_limit: 21_000, to: TxKind::Create, ..TxLegacy::default() };
        let signed = sign_transaction(TypedTransaction::Legacy(fields), &key()).unwrap();
        assert_eq!(decode(signed.encoded().clone()).unwrap().chain_id(), None);
    }

    #[test]
    fn every_truncation_and_any_trailing_byte_is_refused() {
        let raw = transfer(0).encoded().to_vec();
        for end in 0..raw.len() {
            assert!(decode(raw[..end].to_vec().into()).is_err(), "accepted {end} bytes");
        }
        assert_eq!(decode([raw, vec![0]].concat().into()), Err(SigningError::Trailing));
    }

    #[test]
    fn blob_transactions_are_refused_in_words() {
        let error = decode(Bytes::from_static(&[3, 0xc0])).unwrap_err();
        assert!(error.to_string().contains("blob transactions"));
    }

    #[test]
    fn high_s_is_refused() {
        use alloy_consensus::SignableTransaction;
        use alloy_primitives::{Signature, uint};
        const ORDER: U256 = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
        let Envelope::Ethereum(TxEnvelope::Eip1559(signed)) = transfer(0).envelope().clone() else { panic!("type 2") };
        let low = *signed.signature();
        let high = Signature::new(low.r(), ORDER - low.s(), !low.v());
        let forged = TxEnvelope::Eip1559(signed.strip_signature().into_signed(high));
        assert_eq!(decode(forged.encoded_2718().into()), Err(SigningError::Signature));
    }

    #[test]
    fn a_batch_gives_what_single_calls_give_in_order() {
        let mut raw: Vec<_> = (0..100).map(|nonce| transfer(nonce).encoded().clone()).collect();
        raw[50] = Bytes::from_static(b"nonsense");
        let single: Vec<_> = raw.iter().cloned().map(decode).collect();
        assert_eq!(decode_batch(raw, 4), single);
    }

    proptest! {
        #[test]
        fn a_flipped_bit_never_keeps_both_sender_and_payload(position in 0usize..100, bit in 0u8..8) {
            let original = transfer(1);
            let mut raw = original.encoded().to_vec();
            let position = position % raw.len();
            raw[position] ^= 1 << bit;
            if let Ok(changed) = decode(raw.into()) {
                prop_assert_ne!(changed.sender(), original.sender());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(raw.into());
        }
    }
}
