//! The decoders.

use alloy_rlp::{Decodable, Encodable};
use candela_archive::ArchivedHeader;
use candela_consensus::inbound;
use candela_evm::AccountChanges;
use candela_primitives::{Address, B256, Block, Bytes, CandelaTransaction, Envelope, Genesis, Header, Receipt};
use candela_rpc::Limits;
use candela_signing::split_transactions;
use candela_state::{Key, Proof};

/// What a decoder made of its input.
pub enum Outcome {
    /// It refused.
    Refused,
    /// It accepted; the encoding of what it read may differ.
    Accepted,
    /// It accepted, and this is the encoding of what it read: the input, if the encoding is canonical.
    Read(Vec<u8>),
}

impl Outcome {
    fn accepted<T>(value: Option<T>) -> Self {
        value.map_or(Self::Refused, |_| Self::Accepted)
    }

    fn read(bytes: Option<impl Into<Vec<u8>>>) -> Self {
        bytes.map_or(Self::Refused, |bytes| Self::Read(bytes.into()))
    }
}

/// A decoder of what somebody else sends.
pub struct Target {
    /// Its name, and that of its folder in `corpus`.
    pub name: &'static str,
    /// Decodes.
    pub decode: fn(&[u8]) -> Outcome,
}

/// Members of the committee whose certificates are read.
const SEATS: usize = 4;
const BLOCK_BYTES: usize = 1 << 20;
const TRANSACTIONS: usize = 1_000;

/// RLP of exactly one value, encoded again.
fn rlp<T: Decodable + Encodable>(mut bytes: &[u8]) -> Outcome {
    let value = T::decode(&mut bytes).ok().filter(|_| bytes.is_empty());
    Outcome::read(value.map(alloy_rlp::encode))
}

/// A key, a value and a proof from the bytes of one, checked against a root that none of them leads to.
fn proof(bytes: &[u8]) -> Outcome {
    let Some((address, rest)) = bytes.split_first_chunk::<20>() else { return Outcome::Refused };
    let (hashes, value) = rest.as_chunks::<32>();
    let mut siblings: Vec<_> = hashes.iter().map(|hash| B256::new(*hash)).collect();
    let leaf = siblings.pop().zip(siblings.pop());
    let proof = Proof { siblings, leaf };
    let verdict = candela_state::verify(&B256::ZERO, &Key::Account(Address::new(*address)), Some(value), &proof);
    assert!(verdict.is_err(), "a proof leads to a root that nothing hashes to");
    Outcome::Refused
}

/// Every decoder.
pub const TARGETS: [Target; 20] = [
    Target { name: "block", decode: |bytes| Outcome::read(Block::decode(bytes).ok().map(|block| block.encode())) },
    Target { name: "header", decode: rlp::<Header> },
    // No contract may be left out or written as empty; receipts are read from one's own archive alone.
    Target { name: "receipt", decode: |mut bytes| Outcome::accepted(Receipt::decode(&mut bytes).ok()) },
    Target { name: "archived-header", decode: rlp::<ArchivedHeader> },
    Target { name: "block-access-list", decode: rlp::<Vec<AccountChanges>> },
    Target {
        name: "candela-transaction",
        decode: |bytes| Outcome::read(CandelaTransaction::decode_exact(bytes).ok().map(|each| each.encoded())),
    },
    Target { name: "envelope", decode: |bytes| Outcome::accepted(Envelope::decode_exact(bytes).ok()) },
    Target {
        name: "transaction",
        decode: |bytes| {
            let transaction = candela_signing::decode(Bytes::copy_from_slice(bytes)).ok();
            Outcome::read(transaction.map(|each| each.encoded().to_vec()))
        },
    },
    Target {
        name: "binary-batch",
        decode: |bytes| Outcome::accepted(split_transactions(&Bytes::copy_from_slice(bytes), TRANSACTIONS).ok()),
    },
    Target {
        name: "rpc-request",
        decode: |bytes| Outcome::accepted(candela_rpc::count_requests(bytes, &Limits::default()).ok()),
    },
    Target { name: "state-proof", decode: proof },
    Target { name: "peer-block", decode: |bytes| Outcome::read(inbound::block(bytes, BLOCK_BYTES)) },
    Target { name: "peer-transactions", decode: |bytes| Outcome::read(inbound::transactions(bytes)) },
    Target { name: "peer-vote", decode: |bytes| Outcome::read(inbound::vote(bytes)) },
    Target { name: "peer-certificate", decode: |bytes| Outcome::read(inbound::certificate(bytes, SEATS)) },
    Target { name: "finalization", decode: |bytes| Outcome::read(inbound::finalization(bytes, SEATS)) },
    Target { name: "double-vote", decode: |bytes| Outcome::read(inbound::double_vote(bytes)) },
    Target { name: "vote-record", decode: |bytes| Outcome::accepted(inbound::vote_record(bytes)) },
    Target { name: "genesis", decode: genesis },
    Target { name: "node-configuration", decode: configuration },
];

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn configuration(bytes: &[u8]) -> Outcome {
    Outcome::accepted(text(bytes).and_then(|text| candela_node::Config::from_json(text).ok()))
}

fn genesis(bytes: &[u8]) -> Outcome {
    // The genesis file alone, as `candela genesis show` reads it.
    Outcome::accepted(text(bytes).and_then(|text| serde_json::from_str::<Genesis>(text).ok()))
}
