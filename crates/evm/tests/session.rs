//! Session keys do what their owner authorized, and no more.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use alloy_consensus::{Signed, TxEip1559, TxEnvelope};
use alloy_primitives::{Signature, TxKind, bytes};
use candela_evm::{BlockEnvironment, Execution, Executor, NoBlockHashes, SessionError, SkipReason, install, session};
use candela_primitives::{
    Account, Address, B256, Bytes, CandelaTransaction, SESSION_KEYS, StateChanges, StateError, StateReader,
    Transaction, U256, keccak256,
};
use candela_signing::{SessionKey, sign_session};

const OWNER: Address = Address::repeat_byte(0xaa);
const PAYEE: Address = Address::repeat_byte(0xbb);
/// Reverts whatever it is asked.
const REVERTS: Address = Address::repeat_byte(0xcc);
const NOW: u64 = 1_700_000_000;
const BASE_FEE: u64 = 1_000;
const PRICE: u64 = BASE_FEE + 10;
const LIMIT: u64 = 10_000_000_000;
const GAS: u64 = 50_000;
const FEE_CAP: u64 = 2_000;

/// What was written last.
struct Memory(StateChanges);

impl StateReader for Memory {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        Ok(self.0.accounts.get(address).and_then(|change| change.account))
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        Ok(self.0.accounts.get(address).and_then(|change| change.storage.get(slot)).copied().unwrap_or_default())
    }

    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        Ok(self.0.codes[hash].clone())
    }
}

fn environment() -> BlockEnvironment {
    BlockEnvironment::candela(7, 1, NOW, 30_000_000, BASE_FEE)
}

fn genesis() -> Memory {
    let artefact: serde_json::Value =
        serde_json::from_str(include_str!("../../../candela/network/contracts/SessionKeys.json")).unwrap();
    let code: Bytes = artefact["bytecode"].as_str().unwrap().parse().unwrap();
    let changes = install(&Memory(StateChanges::default()), &environment(), SESSION_KEYS, code).unwrap();
    let mut state = Memory(changes);
    state.fund(OWNER, Bytes::new());
    state.fund(REVERTS, bytes!("5f5ffd"));
    state
}

impl Memory {
    fn fund(&mut self, address: Address, code: Bytes) {
        let account = Account { balance: U256::from(u64::MAX), code_hash: keccak256(&code), ..Account::default() };
        self.0.codes.insert(account.code_hash, code);
        self.0.accounts.entry(address).or_default().account = Some(account);
    }

    fn run(&self, transactions: &[Transaction]) -> Execution {
        let environment = environment();
        candela_evm::execute(self, &NoBlockHashes, &environment, transactions).unwrap()
    }

    /// The state after `transactions`.
    fn after(mut self, transactions: &[Transaction]) -> Self {
        let changes = self.run(transactions).changes;
        self.0.extend(&changes);
        self
    }

    fn refusal(&self, transaction: &Transaction) -> SessionError {
        self.refusal_at(NOW, transaction)
    }

    fn refusal_at(&self, timestamp: u64, transaction: &Transaction) -> SessionError {
        let environment = BlockEnvironment { timestamp, ..environment() };
        let mut executor = Executor::new(self, &NoBlockHashes, &environment);
        let reason = executor.transact(transaction).unwrap().unwrap_err();
        assert!(!reason.is_transient(), "{reason} can't pass");
        assert_eq!(executor.finish().unwrap(), Execution::default(), "a skipped transaction changed something");
        let SkipReason::Session(refusal) = reason else { panic!("{reason}") };
        assert_eq!(session::admit(self, transaction, timestamp).unwrap(), Err((*refusal).clone()));
        *refusal
    }
}

fn key() -> SessionKey {
    SessionKey::from_seed([7; 32])
}

fn calldata(function: &str, words: &[U256]) -> Bytes {
    let words = words.iter().flat_map(|word| word.to_be_bytes::<32>());
    keccak256(function)[..4].iter().copied().chain(words).collect()
}

/// The owner's own transaction, to the contract of session keys.
fn manage(nonce: u64, input: Bytes) -> Transaction {
    let fields = TxEip1559 {
        chain_id: 7,
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: FEE_CAP.into(),
        to: TxKind::Call(SESSION_KEYS),
        input,
        ..TxEip1559::default()
    };
    let signed = Signed::new_unchecked(fields, Signature::test_signature(), B256::ZERO);
    Transaction::new_unchecked(TxEnvelope::from(signed), Bytes::new(), OWNER)
}

fn authorize(nonce: u64, scope: &[Address]) -> Transaction {
    let mut words = vec![key().public().into(), U256::from(NOW + 100), U256::from(LIMIT), U256::from(128)];
    words.push(U256::from(scope.len()));
    words.extend(scope.iter().map(|callee| U256::from_be_slice(callee.as_slice())));
    manage(nonce, calldata("authorize(bytes32,uint256,uint256,address[])", &words))
}

fn revoke(nonce: u64) -> Transaction {
    manage(nonce, calldata("revoke(bytes32)", &[key().public().into()]))
}

fn fields(nonce: u64) -> CandelaTransaction {
    CandelaTransaction {
        chain_id: 7,
        nonce,
        gas_limit: GAS,
        max_fee_per_gas: FEE_CAP.into(),
        max_priority_fee_per_gas: u128::from(PRICE - BASE_FEE),
        to: TxKind::Call(PAYEE),
        value: U256::from(5),
        sender: OWNER,
        ..CandelaTransaction::default()
    }
}

fn pay(nonce: u64) -> Transaction {
    sign_session(fields(nonce), &key())
}

fn call(nonce: u64, callee: Address) -> Transaction {
    sign_session(CandelaTransaction { to: TxKind::Call(callee), ..fields(nonce) }, &key())
}

/// What the contract says that the key has spent.
fn spent(state: &Memory) -> U256 {
    let word: U256 = key().public().into();
    let request = candela_evm::CallRequest {
        to: Some(SESSION_KEYS),
        gas: 1_000_000,
        data: calldata("session(address,bytes32)", &[U256::from_be_slice(OWNER.as_slice()), word]),
        ..candela_evm::CallRequest::default()
    };
    let none = candela_evm::StateOverrides::new();
    let outcome = candela_evm::call(state, &NoBlockHashes, &environment(), &request, &none).unwrap();
    U256::from_be_slice(&outcome.output[64..96])
}

#[test]
fn a_key_is_authorized_and_used_in_the_same_block() {
    let execution = genesis().run(&[authorize(0, &[PAYEE]), pay(1), pay(2)]);
    assert_eq!(execution.receipts.iter().map(|each| each.tx_type).collect::<Vec<_>>(), [2, 0x50, 0x50]);
    assert!(execution.receipts.iter().all(|each| each.success));
    assert_eq!(execution.receipts[1].effective_gas_price, u128::from(PRICE));
    assert_eq!(execution.changes.accounts[&PAYEE].account.unwrap().balance, U256::from(10));
    assert_eq!(execution.changes.accounts[&OWNER].account.unwrap().nonce, 3);
}

#[test]
fn a_key_is_charged_for_gas_and_for_value_that_was_moved() {
    let state = genesis().after(&[authorize(0, &[])]);
    assert_eq!(spent(&state), U256::ZERO);
    let state = state.after(&[pay(1), pay(2)]);
    let paid = U256::from(2 * (21_000 * PRICE + 5));
    assert_eq!(spent(&state), paid);
    let reverted = state.run(&[call(3, REVERTS)]).receipts.remove(0);
    assert!(!reverted.success);
    assert_eq!(spent(&state.after(&[call(3, REVERTS)])), paid + U256::from(reverted.gas_used * PRICE));
}

#[test]
fn the_owners_own_transactions_are_not_charged_to_the_key() {
    let state = genesis().after(&[authorize(0, &[]), manage(1, Bytes::new())]);
    assert_eq!(spent(&state), U256::ZERO);
}

#[test]
fn an_unknown_key_is_refused_even_when_another_account_authorized_it() {
    let other = Address::repeat_byte(0xdd);
    let mut state = genesis();
    let expected = SessionError::Unknown { owner: OWNER, key: key().public() };
    assert_eq!(state.refusal(&pay(0)), expected);
    state = state.after(&[authorize(0, &[])]);
    state.fund(other, Bytes::new());
    let refusal = state.refusal(&sign_session(CandelaTransaction { sender: other, ..fields(0) }, &key()));
    assert_eq!(refusal, SessionError::Unknown { owner: other, key: key().public() });
}

#[test]
fn a_revoked_key_is_refused_in_the_same_block_already() {
    let state = genesis().after(&[authorize(0, &[]), pay(1), revoke(2)]);
    assert_eq!(state.refusal(&pay(3)), SessionError::Revoked { owner: OWNER, key: key().public() });
    let environment = environment();
    let state = genesis();
    let mut executor = Executor::new(&state, &NoBlockHashes, &environment);
    for transaction in [authorize(0, &[]), revoke(1)] {
        executor.transact(&transaction).unwrap().unwrap();
    }
    let reason = executor.transact(&pay(2)).unwrap().unwrap_err();
    assert!(reason.to_string().contains("was revoked"), "{reason}");
}

#[test]
fn a_key_expires() {
    let state = genesis().after(&[authorize(0, &[])]);
    let expiry = NOW + 100;
    assert_eq!(state.refusal_at(expiry, &pay(1)), SessionError::Expired { key: key().public(), expiry, now: expiry });
    assert_eq!(session::admit(&state, &pay(1), expiry - 1).unwrap(), Ok(()));
}

#[test]
fn a_scoped_key_calls_what_is_in_its_scope_and_creates_nothing() {
    let state = genesis().after(&[authorize(0, &[REVERTS])]);
    let key = key().public();
    assert_eq!(state.refusal(&pay(1)), SessionError::Scope { key, callee: PAYEE });
    let creation = CandelaTransaction { to: TxKind::Create, gas_limit: 100_000, ..fields(1) };
    assert_eq!(state.refusal(&sign_session(creation.clone(), &self::key())), SessionError::Creation { key });
    assert_eq!(state.run(&[call(1, REVERTS)]).receipts.len(), 1);
    let free = genesis().after(&[authorize(0, &[])]);
    assert!(free.run(&[sign_session(creation, &self::key())]).receipts[0].contract_address.is_some());
}

#[test]
fn no_key_manages_keys_or_calls_its_owner() {
    let state = genesis().after(&[authorize(0, &[])]);
    for callee in [SESSION_KEYS, OWNER] {
        assert_eq!(state.refusal(&call(1, callee)), SessionError::Reserved { callee });
    }
}

#[test]
fn a_key_spends_up_to_its_limit_and_no_further() {
    let state = genesis().after(&[authorize(0, &[]), pay(1)]);
    let spent = 21_000 * PRICE + 5;
    let left = LIMIT - spent - GAS * FEE_CAP;
    let paying = |value: u64| sign_session(CandelaTransaction { value: U256::from(value), ..fields(2) }, &key());
    assert_eq!(session::admit(&state, &paying(left), NOW).unwrap(), Ok(()));
    assert!(state.run(&[paying(left)]).receipts[0].success);
    let (rest, cost) = (LIMIT - spent, U256::from(LIMIT - spent + 1));
    let expected = SessionError::Limit { key: key().public(), left: rest.into(), cost };
    assert_eq!(state.refusal(&paying(left + 1)), expected);
    let most = CandelaTransaction { value: U256::MAX, ..fields(2) };
    assert!(matches!(state.refusal(&sign_session(most, &key())), SessionError::Limit { .. }));
}

#[test]
fn a_used_nonce_is_refused_as_such_whatever_the_key() {
    let state = genesis().after(&[authorize(0, &[]), pay(1), revoke(2)]);
    let environment = environment();
    let mut executor = Executor::new(&state, &NoBlockHashes, &environment);
    let reason = executor.transact(&pay(1)).unwrap().unwrap_err();
    assert!(matches!(reason, SkipReason::Invalid(_)), "{reason}");
}

#[test]
fn a_chain_without_the_contract_knows_no_key() {
    let mut state = Memory(StateChanges::default());
    state.fund(OWNER, Bytes::new());
    assert_eq!(state.refusal(&pay(0)), SessionError::Unknown { owner: OWNER, key: key().public() });
}
