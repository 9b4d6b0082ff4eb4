//! Replay the Ethereum JSON-RPC specification's examples (`candela-rpctest FOLDER`).

use candela_conformance::{report::Verdict, rpctest};
use std::{io::Write, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: candela-rpctest FOLDER  (with genesis.json, chain.rlp and .io files)");
        return ExitCode::from(2);
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut out = std::io::stdout().lock();
    for case in rpctest::run(Path::new(&folder)) {
        let line = match &case.verdict {
            Verdict::Passed => {
                passed += 1;
                continue;
            }
            Verdict::Failed(reason) => {
                failed += 1;
                format!("FAILED  {}: {reason}", case.name)
            }
            Verdict::Skipped(reason) => {
                skipped += 1;
                format!("skipped {}: {reason}", case.name)
            }
        };
        if writeln!(out, "{line}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    let _ = writeln!(out, "{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
