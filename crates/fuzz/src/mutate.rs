//! Change bytes the way that breaks decoders.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::ops::Range;

/// Most bytes of an input.
const MOST_BYTES: usize = 16 << 10;
const MOST_CHANGES: u32 = 5;
/// Bytes that begin lengths or end ranges in RLP, varints, JSON and msgpack.
const TELLING: [u8; 20] = [
    0x00, 0x01, 0x02, 0x04, 0x50, 0x7f, 0x80, 0x81, 0xb7, 0xb8, 0xbb, 0xbf, 0xc0, 0xc1, 0xf7, 0xf8, 0xfb, 0xff, b'"',
    b'[',
];

/// Changes inputs by a seed.
pub struct Mutator(StdRng);

impl Mutator {
    /// Equal seeds make equal inputs of equal pools.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A random place in `range`; its start when there is none.
    pub fn place(&mut self, range: Range<usize>) -> usize {
        if range.is_empty() { range.start } else { self.0.random_range(range) }
    }

    /// An input that is a few changes away from one of `pool`, or noise when there is none.
    pub fn change(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        if pool.is_empty() || self.0.random_ratio(1, 64) {
            let length = self.place(0..300);
            return (0..length).map(|_| self.0.random()).collect();
        }
        let mut bytes = pool[self.place(0..pool.len())].clone();
        for _ in 0..self.0.random_range(1..=MOST_CHANGES) {
            let other = &pool[self.place(0..pool.len())];
            self.once(&mut bytes, other);
        }
        bytes.truncate(MOST_BYTES);
        bytes
    }

    fn part(&mut self, length: usize) -> Range<usize> {
        let start = self.place(0..length);
        start..start + self.place(0..(length - start).min(64) + 1)
    }

    fn once(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let length = bytes.len();
        let at = self.place(0..length);
        match self.0.random_range(0..9) {
            0 if length > 0 => bytes[at] ^= 1 << self.0.random_range(0..8),
            1 if length > 0 => bytes[at] = TELLING[self.place(0..TELLING.len())],
            2 if length > 0 => bytes[at] = bytes[at].wrapping_add([1, 0xff][self.place(0..2)]),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(self.part(length))),
            5 => {
                let copy = bytes[self.part(length)].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            6 => {
                let piece = other[self.part(other.len())].to_vec();
                let end = (at + piece.len() * self.place(0..2)).min(length);
                drop(bytes.splice(at..end, piece));
            }
            7 => bytes.insert(at, TELLING[self.place(0..TELLING.len())]),
            _ => {
                let end = (at + self.place(1..9)).min(length);
                let filling = [0, 0xff, 0x7f, 0x80][self.place(0..4)];
                bytes[at..end].fill(filling);
            }
        }
    }
}
