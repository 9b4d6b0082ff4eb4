//! Carry the ledger's blocks through consensus.

use bytes::{BufMut, Bytes};
use candela_primitives::{B256, Block};
use commonware_codec::{Buf, EncodeSize, Error as CodecError, RangeCfg, Read, Write};
use commonware_consensus::{Heightable, types::Height};
use commonware_cryptography::{Digested, Digestible, sha256};
use std::sync::Arc;

/// 32 bytes that name a block. They are the block's Keccak-256; the type is only commonware's container for them.
pub(crate) type Digest = sha256::Digest;

/// A block with its encoding and hash, each made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainBlock {
    block: Arc<Block>,
    encoded: Bytes,
    hash: Digest,
}

impl ChainBlock {
    pub(crate) fn new(block: Arc<Block>) -> Self {
        let (encoded, hash) = (block.encode().into(), Digest::from(block.hash().0));
        Self { block, encoded, hash }
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
    }
}

impl EncodeSize for ChainBlock {
    fn encode_size(&self) -> usize {
        self.encoded.encode_size()
    }
}

impl Read for ChainBlock {
    /// Most bytes of an encoded block.
    type Cfg = usize;

    fn read_cfg(buffer: &mut impl Buf, max_bytes: &usize) -> Result<Self, CodecError> {
        let encoded = Bytes::read_cfg(buffer, &RangeCfg::from(..=*max_bytes))?;
        let block = Block::decode(&encoded)
            .map_err(|_| CodecError::Invalid("candela_consensus::ChainBlock", "not a canonical block"))?;
        let hash = Digest::from(block.hash().0);
        Ok(Self { block: Arc::new(block), encoded, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_codec::{Decode, Encode};

    #[test]
    fn a_block_survives_the_codec_and_too_large_ones_are_refused() {
        let transactions = vec![Bytes::from_static(b"one").into()];
        let block = ChainBlock::new(Arc::new(Block { transactions, ..Block::default() }));
        let bytes = block.encode();
        assert_eq!(ChainBlock::decode_cfg(bytes.clone(), &1_000).unwrap(), block);
        assert!(ChainBlock::decode_cfg(bytes, &10).is_err());
    }
}
