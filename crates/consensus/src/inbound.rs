//! Read what other members send, apart from a network: for fuzzers.
//!
//! Each function reads one kind of message as the engine does and gives the encoding of what it has read; `None` when
//! the engine would refuse it.

use crate::block::{ChainBlock, Digest};
use crate::{gossip, record, witness};
use bytes::Bytes;
use commonware_codec::{Decode, Encode, Read, Write};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Certificate, Finalization, Vote};
use commonware_cryptography::certificate::Verifier as _;
use commonware_p2p::utils::mux;
use commonware_runtime::IoBuf;

/// What follows the epoch in a message of a channel that is divided by epoch, with that epoch.
fn divided<T: Read + Write + Encode>(bytes: &[u8], config: &T::Cfg) -> Option<Vec<u8>> {
    let (epoch, payload) = mux::parse(IoBuf::from(bytes.to_vec())).ok()?;
    let value = T::decode_cfg(payload, config).ok()?;
    let epoch = commonware_codec::varint::UInt(epoch).encode();
    Some([epoch.as_ref(), value.encode().as_ref()].concat())
}

fn again<T: Encode>(value: &T) -> Vec<u8> {
    value.encode().to_vec()
}

/// A block of at most `max_block_bytes` with its proof.
#[must_use]
pub fn block(bytes: &[u8], max_block_bytes: usize) -> Option<Vec<u8>> {
    ChainBlock::decode_cfg(Bytes::copy_from_slice(bytes), &max_block_bytes).ok().as_ref().map(again)
}

/// A batch of transactions.
#[must_use]
pub fn transactions(bytes: &[u8]) -> Option<Vec<u8>> {
    gossip::decode(Bytes::copy_from_slice(bytes)).map(|batch| gossip::encode(&batch).to_vec())
}

/// A vote with its epoch.
#[must_use]
pub fn vote(bytes: &[u8]) -> Option<Vec<u8>> {
    divided::<Vote<Scheme, Digest>>(bytes, &())
}

/// A certificate of a committee of `seats`, with its epoch.
#[must_use]
pub fn certificate(bytes: &[u8], seats: usize) -> Option<Vec<u8>> {
    divided::<Certificate<Scheme, Digest>>(bytes, &seats)
}

/// The certificate of a final block.
#[must_use]
pub fn finalization(bytes: &[u8], seats: usize) -> Option<Vec<u8>> {
    Finalization::<Scheme, Digest>::decode_cfg(Bytes::copy_from_slice(bytes), &seats).ok().as_ref().map(again)
}

/// The evidence of a double vote.
#[must_use]
pub fn double_vote(bytes: &[u8]) -> Option<Vec<u8>> {
    let unbounded = Scheme::certificate_codec_config_unbounded();
    let activity = witness::Activity::decode_cfg(Bytes::copy_from_slice(bytes), &unbounded).ok()?;
    witness::accused(&activity).map(|_| again(&activity))
}

/// The record of votes of the key and chain that its header names; how many votes it holds.
#[must_use]
pub fn vote_record(bytes: &[u8]) -> Option<usize> {
    record::parse(bytes, bytes.get(..record::HEADER_BYTES)?).ok().map(|votes| votes.len())
}
