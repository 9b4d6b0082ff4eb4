//! Contracts that do what is hard to get right in parallel, as EVM assembly.

use crate::state::MemoryState;
use candela_evm::{BlockEnvironment, install};
use candela_primitives::{Address, Bytes, SESSION_KEYS};

/// Opcodes by name, as far as they are used here.
fn opcode(name: &str) -> u8 {
    match name {
        "stop" => 0x00,
        "add" => 0x01,
        "mul" => 0x02,
        "sub" => 0x03,
        "iszero" => 0x15,
        "and" => 0x16,
        "sha3" => 0x20,
        "address" => 0x30,
        "balance" => 0x31,
        "caller" => 0x33,
        "callvalue" => 0x34,
        "calldataload" => 0x35,
        "codecopy" => 0x39,
        "extcodesize" => 0x3b,
        "extcodehash" => 0x3f,
        "coinbase" => 0x41,
        "selfbalance" => 0x47,
        "pop" => 0x50,
        "mload" => 0x51,
        "mstore" => 0x52,
        "mstore8" => 0x53,
        "sload" => 0x54,
        "sstore" => 0x55,
        "jump" => 0x56,
        "jumpi" => 0x57,
        "gas" => 0x5a,
        "jumpdest" => 0x5b,
        "dup1" => 0x80,
        "dup2" => 0x81,
        "swap1" => 0x90,
        "log1" => 0xa1,
        "create2" => 0xf5,
        "call" => 0xf1,
        "return" => 0xf3,
        "delegatecall" => 0xf4,
        "revert" => 0xfd,
        "selfdestruct" => 0xff,
        other => panic!("unknown opcode {other}"),
    }
}

/// Numbers become the shortest push; everything else is an opcode.
pub(crate) fn assemble(source: &str) -> Bytes {
    let mut code = Vec::new();
    for word in source.split_whitespace() {
        match word.strip_prefix("0x") {
            Some(digits) => {
                let value = u128::from_str_radix(digits, 16).unwrap();
                let bytes = value.to_be_bytes();
                let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(15);
                code.push(0x5f + u8::try_from(16 - start).unwrap());
                code.extend_from_slice(&bytes[start..]);
            }
            None => code.push(opcode(word)),
        }
    }
    code.into()
}

/// The contract of session keys as genesis installs it.
pub(crate) fn session_keys() -> Bytes {
    let artefact: serde_json::Value =
        serde_json::from_str(include_str!("../../../../candela/network/contracts/SessionKeys.json")).unwrap();
    let code: Bytes = artefact["bytecode"].as_str().unwrap().parse().unwrap();
    let environment = BlockEnvironment::candela(7, 0, 0, 30_000_000, 0);
    let mut changes = install(&MemoryState::default(), &environment, SESSION_KEYS, code).unwrap();
    let installed = changes.accounts.remove(&SESSION_KEYS).and_then(|change| change.account).unwrap();
    changes.codes.remove(&installed.code_hash).unwrap()
}

/// The first argument, an address or a number.
const ARGUMENT: &str = "0x4 calldataload";

/// Contracts by what they do; each takes one word after four bytes of selector.
pub(crate) fn all() -> Vec<(Address, Bytes)> {
    let sources = [
        // Everybody's counter.
        "0x0 sload 0x1 add 0x0 sstore".to_owned(),
        // The caller's counter.
        "caller sload 0x1 add caller sstore".to_owned(),
        // A token: from the caller's slot to the argument's, with an event.
        format!("caller sload 0x1 sub caller sstore {ARGUMENT} sload 0x1 add {ARGUMENT} sstore caller 0x0 0x0 log1"),
        // Remembers the argument's balance.
        format!("{ARGUMENT} balance caller sstore"),
        // Remembers a balance that no argument names.
        "0x7777 balance caller sstore".to_owned(),
        // Remembers the beneficiary's balance.
        "coinbase balance caller sstore".to_owned(),
        // Passes its value on.
        format!("0x0 0x0 0x0 0x0 callvalue {ARGUMENT} gas call caller sstore"),
        // Writes, then reverts.
        "0x1 caller sstore 0x0 0x0 revert".to_owned(),
        // Remembers what the argument looks like.
        format!("{ARGUMENT} extcodehash {ARGUMENT} extcodesize add caller sstore"),
        // Runs out of gas.
        "jumpdest 0x0 jump".to_owned(),
        // Calls the identity and SHA-256 precompiles.
        "0x20 0x0 0x20 0x0 0x0 0x2 gas call 0x0 mload add caller sstore".to_owned(),
        // Calls the Ed25519 precompile: the neutral point as key and R makes s = 0 a signature of every message.
        format!(
            "0x1 0x0 mstore8 0x1 0x20 mstore8 {ARGUMENT} 0x60 mstore 0x20 0x80 0x80 0x0 0x0 0xced gas call \
             0x80 mload add caller sstore"
        ),
        // Sends all it has to the argument.
        format!("{ARGUMENT} selfdestruct"),
        // Sets the slot named by the argument to a value that depends on everybody's slot.
        format!("0x0 sload 0x1 add {ARGUMENT} sstore"),
        // Its own balance, into the caller's slot.
        "selfbalance caller sstore".to_owned(),
        // Makes a child whose salt is the argument; the child's constructor pays it away and destroys itself
        // (init code: `caller selfdestruct`).
        format!("0x33ff 0x0 mstore {ARGUMENT} 0x2 0x1e callvalue create2 caller sstore"),
        // Makes a child whose salt is the argument and that stays: it returns one byte of code and sets a slot
        // (init code: 0x7 0x1 sstore 0x1 0x0 return, in 10 bytes).
        format!("0x600760015560016000f3 0x0 mstore {ARGUMENT} 0x9 0x17 callvalue create2 caller sstore"),
        // Both: a slot, then destruction (init code: 0x7 0x1 sstore caller selfdestruct).
        format!("0x6007600155{} 0x0 mstore {ARGUMENT} 0x7 0x19 0x0 create2 0x5 sload 0x1 add 0x5 sstore", "33ff"),
        // Zeroes a slot that was set in the beginning, or sets it again.
        "0x1 sload iszero 0x1 sstore".to_owned(),
        // Runs the caller's own code in another context: delegates to the argument.
        format!("0x0 0x0 0x0 0x0 {ARGUMENT} gas delegatecall caller sstore"),
    ];
    let at = |index: u8| Address::with_last_byte(0x80 + index).create(1);
    (0..).zip(sources).map(|(index, source)| (at(index), assemble(&source))).collect()
}
