//! Ed25519 verification in contracts: the vectors, and the same answer and gas from every executor.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use alloy_consensus::{Signed, TxEip1559, TxEnvelope};
use alloy_primitives::{Signature, TxKind, bytes};
use candela_evm::{
    BlockEnvironment, CallOutcome, CallRequest, CallResult, ED25519, Execution, NoBlockHashes, ParallelExecutor,
    SpecId, StateOverrides, Workers, call, create_access_list, estimate_gas, execute, replay,
};
use candela_primitives::{
    Account, Address, B256, Bytes, KECCAK256_EMPTY, StateError, StateReader, Transaction, U256, keccak256,
};
use serde_json::Value;

/// Hands its input to the precompile and stores the word that it returned, and 1, in the slot of its success.
const CODE: Bytes = bytes!("365f5f375f5f365f610ced5afa5f5f523d5f5f3e5f51600101905500");
const CONTRACT: Address = Address::repeat_byte(0xcc);
const SENDER: Address = Address::repeat_byte(0xaa);
const SUCCESS: U256 = U256::ONE;
const VALID: u64 = 2;
const INVALID: u64 = 1;
const CALL_GAS: u64 = 21_000;

struct Contract;

impl StateReader for Contract {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        let balance = U256::from(u64::MAX);
        Ok(match *address {
            CONTRACT => Some(Account { code_hash: keccak256(CODE), ..Account::default() }),
            SENDER => Some(Account { nonce: 0, balance, code_hash: KECCAK256_EMPTY }),
            _ => None,
        })
    }

    fn storage(&self, _: &Address, _: &U256) -> Result<U256, StateError> {
        Ok(U256::ZERO)
    }

    fn code(&self, _: &B256) -> Result<Bytes, StateError> {
        Ok(CODE)
    }
}

struct Case {
    name: String,
    input: Bytes,
    valid: bool,
}

fn cases() -> Vec<Case> {
    let document: Value = serde_json::from_slice(&std::fs::read("../../vectors/ed25519.json").unwrap()).unwrap();
    let read = |case: &Value| {
        let field = |name: &str| case[name].as_str().unwrap().parse::<Bytes>().unwrap();
        let input = [field("key"), field("signature"), field("message")].concat().into();
        Case { name: case["name"].as_str().unwrap().to_owned(), input, valid: case["valid"].as_bool().unwrap() }
    };
    document["cases"].as_array().unwrap().iter().map(read).collect()
}

fn environment() -> BlockEnvironment {
    BlockEnvironment::candela(7, 1, 1_700_000_000, 30_000_000, 1)
}

fn request(to: Address, data: Bytes, gas: u64) -> CallRequest {
    CallRequest { from: Some(SENDER), to: Some(to), data, gas, ..CallRequest::default() }
}

fn ask(to: Address, data: &Bytes, gas: u64, spec: SpecId) -> CallOutcome {
    let environment = BlockEnvironment { spec, ..environment() };
    call(&Contract, &NoBlockHashes, &environment, &request(to, data.clone(), gas), &StateOverrides::new()).unwrap()
}

/// EIP-2028 and EIP-7623: what calldata costs.
fn calldata_gas(data: &[u8], used: u64) -> u64 {
    let tokens: u64 = data.iter().map(|byte| if *byte == 0 { 1 } else { 4 }).sum();
    CALL_GAS + (4 * tokens + used).max(10 * tokens)
}

fn transactions(inputs: &[Bytes]) -> Vec<Transaction> {
    let sent = |(nonce, input): (u64, &Bytes)| {
        let fields = TxEip1559 {
            chain_id: 7,
            nonce,
            gas_limit: 200_000,
            max_fee_per_gas: 1,
            to: TxKind::Call(CONTRACT),
            input: input.clone(),
            ..TxEip1559::default()
        };
        let signed = Signed::new_unchecked(fields, Signature::test_signature(), B256::ZERO);
        Transaction::new_unchecked(TxEnvelope::from(signed), Bytes::new(), SENDER)
    };
    (0..).zip(inputs).map(sent).collect()
}

fn in_order(transactions: &[Transaction]) -> Execution {
    execute(&Contract, &NoBlockHashes, &environment(), transactions).unwrap()
}

fn stored(execution: &Execution) -> Option<U256> {
    execution.changes.accounts[&CONTRACT].storage.get(&SUCCESS).copied()
}

#[test]
fn vectors_are_judged_as_they_say_and_cost_what_the_rule_says() {
    let cases = cases();
    assert_eq!(cases.len(), 226);
    for Case { name, input, valid } in cases {
        let outcome = ask(ED25519, &input, 100_000, SpecId::OSAKA);
        let word = if valid { B256::with_last_byte(1).to_vec() } else { Vec::new() };
        assert_eq!((outcome.result, outcome.output.to_vec()), (CallResult::Success, word), "{name}");
        let gas = 2_000 + 12 * input.len().div_ceil(32) as u64;
        assert_eq!(outcome.gas_used, calldata_gas(&input, gas), "{name}");
    }
}

#[test]
fn short_inputs_prove_nothing() {
    let whole = &cases()[0].input;
    for end in 0..96 {
        let outcome = ask(ED25519, &whole.slice(..end), 100_000, SpecId::OSAKA);
        assert_eq!((outcome.result, outcome.output.len()), (CallResult::Success, 0), "{end} bytes");
    }
}

#[test]
fn too_little_gas_halts() {
    // Mostly zeros, whose calldata is cheap.
    let small = cases()[30].input.clone();
    let least = calldata_gas(&small, 2_000 + 12 * 4) - 1;
    assert!(matches!(ask(ED25519, &small, least, SpecId::OSAKA).result, CallResult::Halt(_)));
    assert_eq!(ask(ED25519, &small, least + 1, SpecId::OSAKA).result, CallResult::Success);
}

#[test]
fn other_forks_have_no_such_contract() {
    let outcome = ask(ED25519, &cases()[0].input, 100_000, SpecId::PRAGUE);
    assert_eq!((outcome.result, outcome.output.len()), (CallResult::Success, 0));
}

#[test]
fn every_executor_gives_the_same() {
    let cases = cases();
    let workers = Workers::new(2).unwrap();
    for chosen in [&cases[0], &cases[1], cases.last().unwrap()] {
        let block = transactions(std::slice::from_ref(&chosen.input));
        let expected = in_order(&block);
        assert_eq!(stored(&expected), Some(U256::from(if chosen.valid { VALID } else { INVALID })), "{}", chosen.name);
    }
    let inputs: Vec<_> = cases.iter().step_by(7).map(|case| case.input.clone()).collect();
    let block = transactions(&inputs);
    let expected = in_order(&block);
    let mut executor = ParallelExecutor::new(&workers, &Contract, &NoBlockHashes, &environment());
    let found = executor.transact(&block.iter().collect::<Vec<_>>()).unwrap();
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(executor.finish().unwrap(), expected);
    let list = expected.access_list.clone();
    assert_eq!(replay(&workers, &Contract, &NoBlockHashes, &environment(), &block, list).unwrap(), expected);
}

#[test]
fn estimates_suffice_and_lists_leave_it_out() {
    let input = cases()[0].input.clone();
    let none = StateOverrides::new();
    let request = request(CONTRACT, input.clone(), 1_000_000);
    let gas = estimate_gas(&Contract, &NoBlockHashes, &environment(), &request, &none, 30_000_000).unwrap();
    let outcome = ask(CONTRACT, &input, gas, SpecId::OSAKA);
    assert_eq!(outcome.result, CallResult::Success);
    let (list, _) = create_access_list(&Contract, &NoBlockHashes, &environment(), &request, &none).unwrap();
    assert!(list.0.iter().all(|item| item.address != ED25519), "{list:?}");
}
