//! Run Ethereum state tests (`candela-statetest PATH...`).

use candela_conformance::{report, statetest};
use std::process::ExitCode;

fn main() -> ExitCode {
    report::main(statetest::FORMAT, "usage: candela-statetest PATH...  (files or folders of GeneralStateTests JSON)")
}
