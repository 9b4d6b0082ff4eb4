//! Transactions of type 0x50 are the committed bytes.

#![allow(clippy::unwrap_used, missing_docs)]

use candela_primitives::{B256, Bytes, CandelaTransaction, Envelope};
use candela_signing::{SessionKey, decode, decode_batch, sign_session};
use serde_json::Value;

fn vectors(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../../vectors/session_transactions.json")).unwrap();
    all[part].as_array().unwrap().clone()
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().unwrap()
}

#[test]
fn valid_vectors_decode_and_are_signed_again_alike() {
    for vector in vectors("valid") {
        let raw: Bytes = text(&vector, "raw").parse().unwrap();
        let key = SessionKey::from_seed(*text(&vector, "seed").parse::<B256>().unwrap());
        let decoded = decode(raw).unwrap();
        assert_eq!(decoded.hash().to_string(), text(&vector, "hash"));
        assert_eq!(decoded.session_key().unwrap().to_string(), text(&vector, "session_key"));
        let Envelope::Candela(inner) = decoded.envelope() else { panic!("type 0x50") };
        assert_eq!(inner.signing_hash().to_string(), text(&vector, "signing_hash"));
        let unsigned = CandelaTransaction { signature: Bytes::new(), ..inner.inner().clone() };
        assert_eq!(sign_session(unsigned, &key), decoded);
    }
}

#[test]
fn refused_vectors_are_refused_in_the_same_words_singly_and_in_a_batch() {
    let vectors = vectors("refused");
    let raw: Vec<Bytes> = vectors.iter().map(|vector| text(vector, "raw").parse().unwrap()).collect();
    let batch = decode_batch(raw.clone(), 1);
    for ((vector, raw), verdict) in vectors.iter().zip(raw).zip(batch) {
        assert_eq!(decode(raw).unwrap_err().to_string(), text(vector, "error"));
        assert_eq!(verdict.unwrap_err().to_string(), text(vector, "error"));
    }
}
