//! The public fixtures pass, where they are present.

use candela_conformance::{
    blocktest,
    report::{self, Format, Verdict},
    rpctest, statetest,
};
use std::path::PathBuf;

fn fixtures(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CANDELA_FIXTURES").map_or_else(|| "../../../shared/fixtures".into(), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there are no fixtures at {}", folder.display());
    None
}

/// Runs every test of a folder; all must pass.
fn all_pass(format: Format, name: &str) {
    let Some(folder) = fixtures(name) else { return };
    let mut out = Vec::new();
    let tally = report::run(format, &[folder], &mut out);
    let out = String::from_utf8_lossy(&out);
    assert!(tally.passed > 0, "nothing ran");
    assert_eq!((tally.failed, tally.skipped), (0, 0), "{out}");
}

#[test]
fn state_tests_pass() {
    all_pass(statetest::FORMAT, "state_tests");
}

#[test]
fn public_blocks_pass() {
    all_pass(blocktest::FORMAT, "mainnet_blocks");
}

#[test]
fn a_bad_file_is_one_failure() {
    let path = std::env::temp_dir().join(format!("candela-conformance-{}.json", std::process::id()));
    std::fs::write(&path, "{\"test\": {\"env\": 1}}").ok();
    let tally = report::run(statetest::FORMAT, &[path.clone(), path.with_extension("missing")], &mut Vec::new());
    std::fs::remove_file(&path).ok();
    assert_eq!((tally.passed, tally.failed, tally.skipped), (0, 2, 0));
}

#[test]
fn json_rpc_examples_are_answered() {
    let Some(folder) = fixtures("execution_apis") else { return };
    let cases = rpctest::run(&folder);
    let wrong: Vec<_> = cases.iter().filter(|case| matches!(case.verdict, Verdict::Failed(_))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(cases.iter().any(|case| matches!(case.verdict, Verdict::Passed)), "nothing ran");
}
