//! Take many transactions out of one run of bytes.

use crate::SigningError;
use alloy_rlp::Header;
use candela_primitives::Bytes;

/// Splits concatenated RLP, as block bodies hold transactions: a legacy transaction is a list, any other a string that
/// wraps its EIP-2718 bytes. Nothing is copied and nothing inside of a transaction is looked at.
///
/// # Errors
/// When the bytes are not a run of RLP items, or hold more than `most` of them.
pub fn split_transactions(raw: &Bytes, most: usize) -> Result<Vec<Bytes>, SigningError> {
    let malformed = |error: alloy_rlp::Error| SigningError::Malformed(error.to_string());
    let (mut rest, mut transactions) = (raw.as_ref(), Vec::new());
    while !rest.is_empty() {
        if transactions.len() == most {
            return Err(SigningError::TooMany(most));
        }
        let start = raw.len() - rest.len();
        let header = Header::decode(&mut rest).map_err(malformed)?;
        let payload = raw.len() - rest.len();
        // The header has checked that the payload is there.
        let end = payload + header.payload_length;
        transactions.push(raw.slice(if header.list { start } else { payload }..end));
        rest = &raw[end..];
    }
    Ok(transactions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_rlp::Encodable;
    use proptest::prelude::*;

    #[test]
    fn lists_stay_whole_and_strings_are_unwrapped() {
        let (legacy, typed) = (vec![0xc2, 0x01, 0x02], Bytes::from_static(&[2, 0xc0]));
        let mut raw = legacy.clone();
        typed.encode(&mut raw);
        let split = split_transactions(&raw.clone().into(), 2).unwrap();
        assert_eq!(split, vec![Bytes::from(legacy), typed]);
        assert_eq!(split_transactions(&raw.into(), 1), Err(SigningError::TooMany(1)));
        assert_eq!(split_transactions(&Bytes::new(), 0), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn any_bytes_split_into_what_they_hold_or_are_refused(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(split) = split_transactions(&raw.clone().into(), 1_000) {
                prop_assert!(split.iter().map(|each| each.len()).sum::<usize>() <= raw.len());
            }
        }

        #[test]
        fn every_truncation_is_refused(payload in proptest::collection::vec(any::<u8>(), 2..80)) {
            let mut raw = Vec::new();
            Bytes::from(payload).encode(&mut raw);
            for end in 1..raw.len() {
                prop_assert!(split_transactions(&raw[..end].to_vec().into(), 9).is_err());
            }
        }
    }
}
