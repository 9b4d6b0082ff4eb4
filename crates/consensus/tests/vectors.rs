//! What simplex encodes and signs, for the contract that judges double votes and for light clients: vectors/simplex.json.
//!
//! A difference means that commonware's bytes have changed, and with them ConsensusKeys.vy and candela/chain/certificate.py.
//! `CANDELA_WRITE_VECTORS=1` writes the file.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use bytes::Bytes;
use commonware_codec::{DecodeExt, Encode};
use commonware_consensus::simplex::{
    scheme::ed25519::Scheme,
    types::{
        Activity, ConflictingFinalize, ConflictingNotarize, Finalization, Finalize, Notarize, Nullify, NullifyFinalize,
        Proposal,
    },
};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::{Signer, ed25519::PrivateKey, sha256};
use commonware_parallel::Sequential;
use commonware_utils::{iter::NonEmpty, ordered::Set};
use serde_json::{Value, json};

const CHAIN_ID: u64 = 4_410_948;
const SEATS: u8 = 4;
/// Tests run in the directory of their package.
const VECTORS: &str = "../../vectors/simplex.json";

type Digest = sha256::Digest;

fn hex(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode_prefixed(bytes)
}

fn schemes() -> Vec<(Scheme, [u8; 32])> {
    let secrets: Vec<_> = (1..=SEATS).map(|seed| PrivateKey::decode(Bytes::from(vec![seed; 32])).unwrap()).collect();
    let members: Set<_> = Set::from_iter_dedup(secrets.iter().map(Signer::public_key));
    // The namespace of crates/consensus, stack.rs.
    let namespace = format!("_CANDELA_{CHAIN_ID}");
    let mut schemes: Vec<_> = secrets
        .into_iter()
        .map(|secret| {
            let key = <[u8; 32]>::try_from(secret.public_key().as_ref()).unwrap();
            (Scheme::signer(namespace.as_bytes(), members.clone(), secret).unwrap(), key)
        })
        .collect();
    schemes.sort_by_key(|(_, key)| *key);
    schemes
}

fn proposal(epoch: u64, view: u64, payload: u8) -> Proposal<Digest> {
    let round = Round::new(Epoch::new(epoch), View::new(view));
    Proposal::new(round, View::new(view - 1), Digest::from([payload; 32]))
}

fn activities(scheme: &Scheme, epoch: u64, view: u64) -> [(&'static str, Activity<Scheme, Digest>); 3] {
    let (one, other) = (proposal(epoch, view, 1), proposal(epoch, view, 2));
    let notarize = |proposal: &Proposal<Digest>| Notarize::sign(scheme, proposal.clone()).unwrap();
    let finalize = |proposal: &Proposal<Digest>| Finalize::sign(scheme, proposal.clone()).unwrap();
    let nullify = Nullify::sign::<Digest>(scheme, one.round).unwrap();
    [
        (
            "conflicting notarize",
            Activity::ConflictingNotarize(ConflictingNotarize::new(notarize(&one), notarize(&other))),
        ),
        (
            "conflicting finalize",
            Activity::ConflictingFinalize(ConflictingFinalize::new(finalize(&one), finalize(&other))),
        ),
        ("nullify and finalize", Activity::NullifyFinalize(NullifyFinalize::new(nullify, finalize(&one)))),
    ]
}

fn document() -> Value {
    let schemes = schemes();
    let mut evidence = Vec::new();
    for (seat, (scheme, _)) in schemes.iter().enumerate() {
        for (epoch, view) in [(0, 1), (127, 128), (u64::MAX, u64::MAX)] {
            for (kind, activity) in activities(scheme, epoch, view) {
                let (seat, activity) = (seat, hex(&activity.encode()));
                evidence.push(json!({
                    "kind": kind, "epoch": format!("{epoch:#x}"), "view": format!("{view:#x}"), "seat": seat,
                    "activity": activity,
                }));
            }
        }
    }
    let mut finalizations = Vec::new();
    for (epoch, view, count) in [(0, 1, 3), (128, 16_384, 4), (7, u64::MAX, 3)] {
        let votes: Vec<_> = schemes
            .iter()
            .rev()
            .take(count)
            .map(|(scheme, _)| Finalize::sign(scheme, proposal(epoch, view, 9)).unwrap())
            .collect();
        let mut votes = votes.into_iter();
        let first = votes.next().unwrap();
        let finalization =
            Finalization::from_owned_finalizes(&schemes[0].0, NonEmpty::new(first, votes), &Sequential).unwrap();
        finalizations.push(json!({
            "epoch": format!("{epoch:#x}"), "view": format!("{view:#x}"), "blockHash": hex(&[9; 32]),
            "signers": count, "certificate": hex(&finalization.encode()),
        }));
    }
    let keys: Vec<_> = schemes.iter().map(|(_, key)| hex(key)).collect();
    json!({ "chainId": CHAIN_ID, "keys": keys, "evidence": evidence, "finalizations": finalizations })
}

#[test]
fn simplex_encodes_what_the_contract_and_light_clients_read() {
    let made = document();
    if std::env::var_os("CANDELA_WRITE_VECTORS").is_some() {
        std::fs::write(VECTORS, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let committed: Value = serde_json::from_slice(&std::fs::read(VECTORS).unwrap()).unwrap();
    assert!(committed == made, "vectors/simplex.json is not what simplex encodes");
}
