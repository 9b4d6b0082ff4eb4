//! What the executor lets through, what it charges and what it leaves behind.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use alloy_consensus::{Signed, TxEip1559, TxEip7702, TxEnvelope};
use alloy_primitives::{Signature, TxKind, bytes};
use candela_evm::{
    BlockEnvironment, CallRequest, CallResult, Executor, InvalidTransaction, NoBlockHashes, SkipReason, StateOverrides,
    call, estimate_gas, install,
};
use candela_primitives::{
    Account, Address, B256, Bytes, KECCAK256_EMPTY, StateError, StateReader, Transaction, U256, keccak256,
};
use std::collections::BTreeMap;

const SENDER: Address = Address::repeat_byte(0xaa);
const OTHER: Address = Address::repeat_byte(0xbb);
const CODE: Address = Address::repeat_byte(0xcc);
const BASE_FEE: u64 = 1_000;
const GAS: u64 = 100_000;

#[derive(Default)]
struct Accounts(BTreeMap<Address, (Account, Bytes)>);

impl Accounts {
    fn with(mut self, address: Address, balance: u64, code: Bytes) -> Self {
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        self.0.insert(address, (Account { nonce: 0, balance: U256::from(balance), code_hash }, code));
        self
    }
}

impl StateReader for Accounts {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        Ok(self.0.get(address).map(|(account, _)| *account))
    }

    fn storage(&self, _: &Address, _: &U256) -> Result<U256, StateError> {
        Ok(U256::ZERO)
    }

    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        Ok(self.0.values().find(|(account, _)| account.code_hash == *hash).map(|(_, code)| code.clone()).unwrap())
    }
}

fn environment() -> BlockEnvironment {
    BlockEnvironment::candela(7, 1, 1_700_000_000, 30_000_000, BASE_FEE)
}

fn fields() -> TxEip1559 {
    TxEip1559 {
        chain_id: 7,
        gas_limit: GAS,
        max_fee_per_gas: 2_000,
        max_priority_fee_per_gas: 10,
        to: TxKind::Call(OTHER),
        value: U256::from(5),
        ..TxEip1559::default()
    }
}

fn sent(fields: TxEip1559) -> Transaction {
    let signed = Signed::new_unchecked(fields, Signature::test_signature(), B256::ZERO);
    Transaction::new_unchecked(TxEnvelope::from(signed), Bytes::new(), SENDER)
}

fn skipped(state: &Accounts, fields: TxEip1559) -> SkipReason {
    let environment = environment();
    let mut executor = Executor::new(state, &NoBlockHashes, &environment);
    let reason = executor.transact(&sent(fields)).unwrap().unwrap_err();
    assert!(executor.finish().unwrap().changes.accounts.is_empty(), "a skipped transaction changed the state");
    reason
}

#[test]
fn invalid_transactions_are_skipped_with_their_reason() {
    use InvalidTransaction as I;
    let rich = Accounts::default().with(SENDER, u64::MAX, Bytes::new());
    let is = |fields: TxEip1559, check: fn(&I) -> bool| match skipped(&rich, fields) {
        SkipReason::Invalid(reason) => assert!(check(&reason), "{reason}"),
        reason => panic!("{reason}"),
    };
    is(TxEip1559 { nonce: 1, ..fields() }, |reason| matches!(reason, I::NonceTooHigh { .. }));
    is(TxEip1559 { chain_id: 8, ..fields() }, |reason| matches!(reason, I::InvalidChainId));
    is(TxEip1559 { max_fee_per_gas: 999, ..fields() }, |reason| matches!(reason, I::GasPriceLessThanBasefee));
    is(TxEip1559 { max_priority_fee_per_gas: 2_001, ..fields() }, |reason| {
        matches!(reason, I::PriorityFeeGreaterThanMaxFee)
    });
    is(TxEip1559 { gas_limit: 20_999, ..fields() }, |reason| matches!(reason, I::CallGasCostMoreThanGasLimit { .. }));
    is(TxEip1559 { gas_limit: (1 << 24) + 1, ..fields() }, |reason| {
        matches!(reason, I::TxGasLimitGreaterThanCap { .. })
    });
    is(TxEip1559 { gas_limit: 50_000, input: vec![1; 1_000].into(), ..fields() }, |reason| {
        matches!(reason, I::GasFloorMoreThanGasLimit { .. })
    });
    let large = TxEip1559 { to: TxKind::Create, gas_limit: 1 << 24, input: vec![0; 49_153].into(), ..fields() };
    is(large, |reason| matches!(reason, I::CreateInitCodeSizeLimit));
    let full = skipped(&rich, TxEip1559 { gas_limit: 30_000_001, ..fields() });
    assert!(matches!(full, SkipReason::BlockFull { left: 30_000_000, .. }));
    // One nit short of value + gas * max fee.
    let poor = Accounts::default().with(SENDER, GAS * 2_000 + 4, Bytes::new());
    assert!(matches!(skipped(&poor, fields()), SkipReason::Invalid(I::LackOfFundForMaxFee { .. })));
    let contract = Accounts::default().with(SENDER, u64::MAX, bytes!("00"));
    assert_eq!(skipped(&contract, fields()), SkipReason::Invalid(I::RejectCallerWithCode));
}

#[test]
fn balances_fall_by_exactly_what_is_burned() {
    let state = Accounts::default().with(SENDER, 1_000_000_000, Bytes::new());
    for value in [0, 1, 5, 1_000_000] {
        let environment = environment();
        let mut executor = Executor::new(&state, &NoBlockHashes, &environment);
        executor.transact(&sent(TxEip1559 { value: U256::from(value), ..fields() })).unwrap().unwrap();
        let execution = executor.finish().unwrap();
        let after: U256 =
            execution.changes.accounts.values().filter_map(|change| change.account).map(|a| a.balance).sum();
        assert_eq!(execution.burned, U256::from(21_000 * BASE_FEE));
        assert_eq!(U256::from(1_000_000_000) - after, execution.burned);
    }
}

#[test]
fn an_empty_authorization_list_is_refused() {
    let state = Accounts::default().with(SENDER, u64::MAX, Bytes::new());
    let fields = TxEip7702 { chain_id: 7, gas_limit: GAS, max_fee_per_gas: 2_000, to: OTHER, ..TxEip7702::default() };
    let signed = Signed::new_unchecked(fields, Signature::test_signature(), B256::ZERO);
    let environment = environment();
    let mut executor = Executor::new(&state, &NoBlockHashes, &environment);
    let outcome =
        executor.transact(&Transaction::new_unchecked(TxEnvelope::from(signed), Bytes::new(), SENDER)).unwrap();
    assert_eq!(outcome.unwrap_err(), SkipReason::Invalid(InvalidTransaction::EmptyAuthorizationList));
}

#[test]
fn install_keeps_what_the_creation_code_returns() {
    // Returns its last 32 bytes, as a constructor argument that becomes an immutable.
    let init_code =
        bytes!("602080380360003960206000f300000000000000000000000000000000000000000000000000000000000000ff");
    let changes = install(&Accounts::default(), &environment(), CODE, init_code.clone()).unwrap();
    let account = changes.accounts[&CODE].account.unwrap();
    assert_eq!(changes.codes[&account.code_hash], init_code.slice(init_code.len() - 32..));
    assert_eq!(account.nonce, 1);
    let taken = Accounts::default().with(CODE, 1, Bytes::new());
    assert!(install(&taken, &environment(), CODE, init_code).is_err());
}

#[test]
fn calls_return_revert_data_and_estimates_suffice() {
    let state = Accounts::default()
        .with(SENDER, u64::MAX, Bytes::new())
        .with(CODE, 0, bytes!("602a60005260206000fd"))
        .with(OTHER, 0, bytes!("602a600055"));
    let request = |to| CallRequest { from: Some(SENDER), to: Some(to), gas: 1_000_000, ..CallRequest::default() };
    let none = StateOverrides::new();
    let outcome = call(&state, &NoBlockHashes, &environment(), &request(CODE), &none).unwrap();
    assert_eq!((outcome.result, U256::from_be_slice(&outcome.output)), (CallResult::Revert, U256::from(42)));
    let gas = estimate_gas(&state, &NoBlockHashes, &environment(), &request(OTHER), &none, 30_000_000).unwrap();
    let with =
        |gas| call(&state, &NoBlockHashes, &environment(), &CallRequest { gas, ..request(OTHER) }, &none).unwrap();
    assert_eq!(with(gas).result, CallResult::Success);
    assert!(gas - with(gas).gas_used <= gas * 15 / 1000, "{gas} is far from {}", with(gas).gas_used);
}
