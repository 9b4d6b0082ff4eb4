//! Feed damaged bytes to every decoder of what peers and users send.
//!
//! # Design
//!
//! A [`Target`] gives bytes to one decoder and says what it made of them. A [`Fuzzer`] changes the encodings in the
//! target's corpus, a folder of small files made from real values, by a seed; what the decoder accepts is changed again.
//! No decoder may panic, take more memory than its input justifies, or accept bytes that are not the encoding of what it
//! read. `make fuzz-decoders SEED=1 SECONDS=600` runs long, `cargo test` runs briefly; bytes that break a rule are written
//! to `failures/TARGET`, which every later run tries first.

mod mutate;
mod target;

pub use mutate::Mutator;
pub use target::{Outcome, TARGETS, Target};

use candela_memory::peak_bytes;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// Bytes of memory that any decoder may take, and how many more for each byte of input: an element of a byte on the wire
/// is a few dozen bytes in memory, and a growing list holds it twice.
const FREE_BYTES: usize = 64 << 10;
const BYTES_A_BYTE: usize = 400;
/// Accepted inputs that are kept to be changed again.
const KEPT: usize = 512;

/// A folder of this crate that belongs to a target.
#[must_use]
pub fn folder(kind: &str, target: &Target) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), kind, target.name].iter().collect()
}

/// The files of a folder, in order of their names; none when there is no folder.
///
/// # Errors
/// When a file can't be read.
pub fn files(path: &PathBuf) -> std::io::Result<Vec<Vec<u8>>> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(Vec::new()) };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    paths.iter().map(fs::read).collect()
}

/// What is wrong with how a target takes `bytes`; `None` when nothing is.
#[must_use]
pub fn violation(target: &Target, bytes: &[u8]) -> Option<String> {
    judge(target, bytes).err()
}

/// Whether a target accepts `bytes`.
fn judge(target: &Target, bytes: &[u8]) -> Result<bool, String> {
    let (outcome, peak) = peak_bytes(|| catch_unwind(AssertUnwindSafe(|| (target.decode)(bytes))));
    let outcome = outcome.map_err(|_| "a panic; its text is above")?;
    let most = FREE_BYTES + BYTES_A_BYTE * bytes.len();
    if peak > most {
        return Err(format!("{peak} bytes of memory for {} bytes of input", bytes.len()));
    }
    match outcome {
        Outcome::Refused => Ok(false),
        Outcome::Accepted => Ok(true),
        Outcome::Read(again) if again == bytes => Ok(true),
        Outcome::Read(again) => Err(format!("{} other bytes are the encoding of what was read", again.len())),
    }
}

/// Changes the corpus of one target.
pub struct Fuzzer<'a> {
    target: &'a Target,
    mutator: Mutator,
    pool: Vec<Vec<u8>>,
    corpus: usize,
}

impl<'a> Fuzzer<'a> {
    /// # Errors
    /// When the corpus can't be read.
    pub fn new(target: &'a Target, seed: u64) -> std::io::Result<Self> {
        let mut pool = files(&folder("failures", target))?;
        pool.extend(files(&folder("corpus", target))?);
        Ok(Self { target, mutator: Mutator::new(seed), corpus: pool.len(), pool })
    }

    /// Tries the corpus and the failures of earlier runs as they are.
    ///
    /// # Errors
    /// The bytes that break a rule, and the rule.
    pub fn replay(&self) -> Result<(), (Vec<u8>, String)> {
        let broken = |bytes: &Vec<u8>| violation(self.target, bytes).map(|rule| (bytes.clone(), rule));
        self.pool.iter().find_map(broken).map_or(Ok(()), Err)
    }

    /// Tries one changed input; whether it was accepted.
    ///
    /// # Errors
    /// The bytes that break a rule, and the rule.
    pub fn step(&mut self) -> Result<bool, (Vec<u8>, String)> {
        let bytes = self.mutator.change(&self.pool);
        let accepted = judge(self.target, &bytes).map_err(|rule| (bytes.clone(), rule))?;
        if accepted && self.pool.len() < self.corpus + KEPT {
            self.pool.push(bytes);
        } else if accepted {
            let place = self.mutator.place(self.corpus..self.pool.len());
            self.pool[place] = bytes;
        }
        Ok(accepted)
    }
}
