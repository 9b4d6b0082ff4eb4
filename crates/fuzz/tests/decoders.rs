//! Every decoder takes damaged bytes without a panic, in little memory, and accepts canonical encodings alone.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use candela_fuzz::{Fuzzer, Outcome, TARGETS, Target, files, folder, violation};
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: candela_memory::Counted = candela_memory::Counted;

/// Inputs of each decoder where no time is asked for.
const STEPS: u64 = 20_000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse().expect(name))
}

/// Writes what breaks a rule where every later run finds it.
fn keep(target: &Target, bytes: &[u8]) -> String {
    let path = folder("failures", target).join(format!("{:x}", candela_primitives::keccak256(bytes)));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// What breaks a rule within a time, or within [`STEPS`]; and how many inputs were tried and accepted.
fn fuzz(target: &Target, seed: u64, time: Option<Duration>) -> (Option<String>, u64, u64) {
    let (mut fuzzer, end) = (Fuzzer::new(target, seed).unwrap(), time.map(|time| Instant::now() + time));
    let (mut tried, mut accepted) = (0, 0);
    let mut found = fuzzer.replay();
    while found.is_ok() && end.map_or(tried < STEPS, |end| Instant::now() < end) {
        tried += 1;
        found = fuzzer.step().map(|each| accepted += u64::from(each));
    }
    let failure = found.err().map(|(bytes, rule)| format!("{}: {rule}: {}", target.name, keep(target, &bytes)));
    (failure, tried, accepted)
}

#[test]
fn no_decoder_breaks_on_damaged_bytes() {
    let (seed, seconds) = (variable("SEED").unwrap_or(1), variable("CANDELA_FUZZ_SECONDS"));
    let share = seconds.map(|seconds| Duration::from_secs(seconds) / u32::try_from(TARGETS.len()).unwrap());
    let mut failures = String::new();
    for target in &TARGETS {
        let (failure, tried, accepted) = fuzz(target, seed, share);
        println!("{:24}{tried:>10} inputs, {accepted} accepted", target.name);
        if let Some(failure) = failure {
            writeln!(failures, "{failure}").unwrap();
        }
    }
    assert!(failures.is_empty(), "seed {seed}:\n{failures}make fuzz-decoders tries these inputs again, first of all");
}

#[test]
fn every_decoder_has_a_corpus_of_small_encodings_that_it_accepts() {
    for target in &TARGETS {
        let corpus = files(&folder("corpus", target)).unwrap();
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        for bytes in corpus {
            assert!(bytes.len() <= 8 << 10, "{}: a file of {} bytes", target.name, bytes.len());
            let refused = matches!((target.decode)(&bytes), Outcome::Refused);
            assert!(!refused || target.name == "state-proof", "{} refuses its own corpus", target.name);
        }
    }
}

#[test]
fn a_decoder_that_panics_or_takes_too_much_or_reads_two_encodings_as_one_is_noticed() {
    let panics = Target { name: "panics", decode: |_| panic!("on purpose") };
    let grows = Target {
        name: "grows",
        decode: |_| {
            drop(Vec::<u8>::with_capacity(1 << 20));
            Outcome::Refused
        },
    };
    let lenient = Target { name: "lenient", decode: |_| Outcome::Read(vec![0]) };
    let sound = Target { name: "sound", decode: |bytes| Outcome::Read(bytes.to_vec()) };
    assert!(violation(&panics, b"x").unwrap().contains("panic"));
    assert!(violation(&grows, b"x").unwrap().contains("memory"));
    assert!(violation(&lenient, b"x").unwrap().contains("encoding"));
    assert_eq!(violation(&sound, b"x"), None);
}

#[test]
fn equal_seeds_try_equal_inputs() {
    let target = &TARGETS[0];
    let run = |seed| {
        let mut fuzzer = Fuzzer::new(target, seed).unwrap();
        (0..500).map(|_| fuzzer.step().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
