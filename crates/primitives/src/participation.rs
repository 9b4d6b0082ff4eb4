//! Say in a block's header who signed the certificate of an ancestor.

use crate::Header;
use alloy_primitives::{B256, keccak256};

/// Seats that a block can show the signatures of.
const SEAT_BYTES: usize = 16;
const CERTIFICATE_BYTES: usize = 15;

/// What a header shows of the finalisation certificate of an ancestor, which travels beside the block.
///
/// In `extra_data`: how far below the block the ancestor is, one byte; a bit for each seat of the epoch, in the order of
/// the seats, the least significant bit of a byte first, 16 bytes; the first 15 bytes of the certificate's Keccak-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Participation {
    /// Heights between the block and the ancestor, 1 to [`Self::MAX_DISTANCE`].
    pub distance: u8,
    /// Whose signatures the certificate has: seat `i` is bit `i`.
    pub signers: u128,
    /// The first bytes of the Keccak-256 of the certificate's encoding.
    pub certificate: [u8; CERTIFICATE_BYTES],
}

/// Why extra data shows no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("extra data of {length} bytes shows no certificate of an ancestor at most {max} below", max = Participation::MAX_DISTANCE)]
pub struct ParticipationError {
    /// Bytes of the extra data.
    pub length: usize,
}

impl Participation {
    /// Furthest that a block may be above the ancestor whose certificate it shows.
    pub const MAX_DISTANCE: u8 = 8;

    /// What names a certificate in a header.
    #[must_use]
    pub fn name_of(certificate: &[u8]) -> [u8; CERTIFICATE_BYTES] {
        let mut name = [0; CERTIFICATE_BYTES];
        name.copy_from_slice(&keccak256(certificate)[..CERTIFICATE_BYTES]);
        name
    }

    /// The extra data.
    #[must_use]
    pub fn encode(&self) -> [u8; Header::MAX_EXTRA_DATA_BYTES] {
        let mut bytes = [0; Header::MAX_EXTRA_DATA_BYTES];
        bytes[0] = self.distance;
        bytes[1..=SEAT_BYTES].copy_from_slice(&self.signers.to_le_bytes());
        bytes[1 + SEAT_BYTES..].copy_from_slice(&self.certificate);
        bytes
    }

    /// Reads extra data; `None` when it is empty, and so shows nothing.
    ///
    /// # Errors
    /// When it is neither empty nor what [`Self::encode`] makes.
    pub fn decode(extra_data: &[u8]) -> Result<Option<Self>, ParticipationError> {
        if extra_data.is_empty() {
            return Ok(None);
        }
        let wrong = ParticipationError { length: extra_data.len() };
        let bytes = B256::try_from(extra_data).map_err(|_| wrong)?;
        let (mut signers, mut certificate) = ([0; SEAT_BYTES], [0; CERTIFICATE_BYTES]);
        signers.copy_from_slice(&bytes[1..=SEAT_BYTES]);
        certificate.copy_from_slice(&bytes[1 + SEAT_BYTES..]);
        let found = Self { distance: bytes[0], signers: u128::from_le_bytes(signers), certificate };
        if (1..=Self::MAX_DISTANCE).contains(&found.distance) { Ok(Some(found)) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_data_reads_as_it_was_written_and_nothing_else_reads() {
        let shown = Participation { distance: 3, signers: 1 | 1 << 9 | 1 << 127, certificate: [7; CERTIFICATE_BYTES] };
        let bytes = shown.encode();
        assert_eq!(Participation::decode(&bytes), Ok(Some(shown)));
        assert_eq!((bytes[0], bytes[1], bytes[2], bytes[16]), (3, 1, 2, 0x80), "seat i is bit i % 8 of byte 1 + i / 8");
        assert_eq!(Participation::decode(&[]), Ok(None));
        for length in 1..bytes.len() {
            assert!(Participation::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(Participation::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
        for distance in [0, Participation::MAX_DISTANCE + 1] {
            assert!(Participation::decode(&Participation { distance, ..shown }.encode()).is_err());
        }
    }
}
