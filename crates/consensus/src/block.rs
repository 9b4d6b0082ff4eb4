//! Carry the ledger's blocks through consensus.

use crate::certificates::max_certificate_bytes;
use bytes::{BufMut, Bytes};
use candela_primitives::{B256, Block, Participation, keccak256};
use commonware_codec::{Buf, EncodeSize, Error as CodecError, RangeCfg, Read, Write};
use commonware_consensus::{BoundedBlock, Heightable, types::Height};
use commonware_cryptography::{Digested, Digestible, sha256};
use std::sync::Arc;

/// Most bytes of the length before a block's encoding.
const MAX_LENGTH_PREFIX: usize = 10;

/// 32 bytes that name a block. They are the block's Keccak-256; the type is only commonware's container for them.
pub(crate) type Digest = sha256::Digest;

/// The proposer's Ed25519 signature behind a block's `prevrandao`; zeros for genesis.
pub(crate) type RandomnessProof = [u8; 64];

/// A block with its encoding and hash, each made once, the proof of its randomness, and the certificate that it shows.
///
/// The hash covers the proof and the certificate too, because the header has their hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainBlock {
    block: Arc<Block>,
    proof: RandomnessProof,
    /// Of an ancestor; empty when the block shows none.
    certificate: Bytes,
    encoded: Bytes,
    hash: Digest,
}

/// The `prevrandao` of a block with this proof.
pub(crate) fn randomness(proof: &RandomnessProof) -> B256 {
    keccak256(proof)
}

impl ChainBlock {
    pub(crate) fn new(block: Arc<Block>, proof: RandomnessProof, certificate: Bytes) -> Self {
        let (encoded, hash) = (block.encode().into(), Digest::from(block.hash().0));
        Self { block, proof, certificate, encoded, hash }
    }

    pub(crate) fn genesis(block: Arc<Block>) -> Self {
        Self::new(block, [0; 64], Bytes::new())
    }

    pub(crate) const fn certificate(&self) -> &Bytes {
        &self.certificate
    }

    pub(crate) const fn proof(&self) -> &RandomnessProof {
        &self.proof
    }

    pub(crate) const fn block(&self) -> &Arc<Block> {
        &self.block
    }

    pub(crate) fn digested(self) -> Digested<Self> {
        let hash = self.hash;
        Digested::precomputed(self, hash)
    }
}

/// The ledger's form of a digest.
pub(crate) fn hash_of(digest: &Digest) -> B256 {
    B256::from(digest.0)
}

/// Whether the header commits to the transactions and the access list: a peer that serves a known hash must not be able to
/// serve another body under it.
fn has_its_body(block: &Block) -> bool {
    let Some(shard) = block.header.shards.first() else { return block.transactions.is_empty() };
    let listed = block.access_list.is_empty() || shard.access_list_hash == keccak256(&block.access_list);
    listed && shard.transactions_root == block.transactions_root()
}

/// Whether the certificate is the one that the header shows.
fn has_its_certificate(block: &Block, certificate: &Bytes) -> bool {
    if block.header.number == 0 {
        return certificate.is_empty();
    }
    match Participation::decode(&block.header.extra_data) {
        Ok(None) => certificate.is_empty(),
        Ok(Some(shown)) => Participation::name_of(certificate) == shown.certificate,
        Err(_) => false,
    }
}

impl Heightable for ChainBlock {
    fn height(&self) -> Height {
        Height::new(self.block.header.number)
    }
}

impl Digestible for ChainBlock {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        self.hash
    }
}

impl commonware_consensus::Block for ChainBlock {
    fn parent(&self) -> Digest {
        Digest::from(self.block.header.parent_hash.0)
    }
}

impl Write for ChainBlock {
    fn write(&self, buffer: &mut impl BufMut) {
        self.encoded.write(buffer);
        self.proof.write(buffer);
        self.certificate.write(buffer);
    }
}

impl EncodeSize for ChainBlock {
    fn encode_size(&self) -> usize {
        self.encoded.encode_size() + self.proof.len() + self.certificate.encode_size()
    }
}

impl BoundedBlock for ChainBlock {
    fn max_encode_size(max_bytes: &usize) -> usize {
        max_bytes + max_certificate_bytes() + 2 * MAX_LENGTH_PREFIX + size_of::<RandomnessProof>()
    }
}

impl Read for ChainBlock {
    /// Most bytes of an encoded block.
    type Cfg = usize;

    fn read_cfg(buffer: &mut impl Buf, max_bytes: &usize) -> Result<Self, CodecError> {
        let encoded = Bytes::read_cfg(buffer, &RangeCfg::from(..=*max_bytes))?;
        let block = Block::decode(&encoded)
            .map_err(|_| CodecError::Invalid("candela_consensus::ChainBlock", "not a canonical block"))?;
        if !has_its_body(&block) {
            return Err(CodecError::Invalid("candela_consensus::ChainBlock", "the header is of another body"));
        }
        let proof = RandomnessProof::read_cfg(buffer, &())?;
        let proven =
            if block.header.number == 0 { proof == [0; 64] } else { block.header.prevrandao == randomness(&proof) };
        if !proven {
            return Err(CodecError::Invalid(
                "candela_consensus::ChainBlock",
                "prevrandao is not the hash of the proof",
            ));
        }
        let certificate = Bytes::read_cfg(buffer, &RangeCfg::from(..=max_certificate_bytes()))?;
        if !has_its_certificate(&block, &certificate) {
            return Err(CodecError::Invalid("candela_consensus::ChainBlock", "the header shows another certificate"));
        }
        let hash = Digest::from(block.hash().0);
        Ok(Self { block: Arc::new(block), proof, certificate, encoded, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candela_primitives::{Header, ShardHeader};
    use commonware_codec::{Decode, Encode};

    fn block(proof: RandomnessProof, certificate: &'static [u8]) -> ChainBlock {
        let transactions = vec![Bytes::from_static(b"one").into()];
        let shown = Participation { distance: 1, signers: 7, certificate: Participation::name_of(b"certificate") };
        let extra_data = shown.encode().into();
        let header = Header { number: 1, prevrandao: randomness(&[7; 64]), extra_data, ..Header::default() };
        let mut block = Block { header, transactions, access_list: Bytes::from_static(&[0xc0]).into() };
        let transactions_root = block.transactions_root();
        let access_list_hash = keccak256(&block.access_list);
        block.header.shards = vec![ShardHeader { transactions_root, access_list_hash, ..ShardHeader::default() }];
        ChainBlock::new(Arc::new(block), proof, Bytes::from_static(certificate))
    }

    #[test]
    fn a_block_survives_the_codec_and_too_large_ones_are_refused() {
        let block = block([7; 64], b"certificate");
        let bytes = block.encode();
        assert!(bytes.len() <= ChainBlock::max_encode_size(&1_000));
        assert_eq!(ChainBlock::decode_cfg(bytes.clone(), &1_000).unwrap(), block);
        assert!(ChainBlock::decode_cfg(bytes, &10).is_err());
    }

    #[test]
    fn a_block_with_another_proof_or_certificate_is_refused() {
        assert!(ChainBlock::decode_cfg(block([8; 64], b"certificate").encode(), &1_000).is_err());
        for other in [&b""[..], b"certificat", b"certificates"] {
            assert!(ChainBlock::decode_cfg(block([7; 64], other).encode(), &1_000).is_err());
        }
    }

    #[test]
    fn a_block_that_shows_nothing_has_no_certificate_beside_it() {
        let plain = |certificate: &'static [u8]| {
            let mut inner = (**block([7; 64], b"").block()).clone();
            inner.header.extra_data = <_>::default();
            ChainBlock::new(Arc::new(inner), [7; 64], Bytes::from_static(certificate)).encode()
        };
        assert!(ChainBlock::decode_cfg(plain(b""), &1_000).is_ok());
        assert!(ChainBlock::decode_cfg(plain(b"certificate"), &1_000).is_err());
    }

    #[test]
    fn changed_and_cut_bytes_never_decode_to_another_block_of_the_same_hash() {
        let block = block([7; 64], b"certificate");
        let bytes = block.encode().to_vec();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x41;
            if let Ok(other) = ChainBlock::decode_cfg(Bytes::from(changed), &1_000) {
                assert_ne!(other.digest(), block.digest(), "byte {place}");
            }
            assert!(ChainBlock::decode_cfg(Bytes::from(bytes[..place].to_vec()), &1_000).is_err(), "cut at {place}");
        }
    }
}
