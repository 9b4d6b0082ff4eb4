//! Execute blocks of Ethereum's public chain (`candela-blocktest PATH...`).

use candela_conformance::{blocktest, report};
use std::process::ExitCode;

fn main() -> ExitCode {
    report::main(blocktest::FORMAT, "usage: candela-blocktest PATH...  (folders with block.json and pre_state.json)")
}
