//! Run a message against a state without keeping what it does: `eth_call` and its relatives.

use crate::{BlockEnvironment, BlockHashes, StateView, precompiles, view::ViewError};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::SignedAuthorization,
};
use candela_primitives::{Account, Address, B256, Bytes, Log, StateError, StateReader, U256};
use revm::{
    Context, ExecuteEvm, MainBuilder, MainContext,
    context::{
        TxEnv,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
    },
    primitives::TxKind,
    state::EvmState,
};
use std::collections::{BTreeMap, BTreeSet};

/// A message as a caller describes it; what is absent takes geth's defaults.
#[derive(Clone, Debug, Default)]
pub struct CallRequest {
    /// Sender; the zero address by default.
    pub from: Option<Address>,
    /// Recipient; `None` creates a contract.
    pub to: Option<Address>,
    /// Gas limit; the caller of [`call`] sets it.
    pub gas: u64,
    /// Nit per gas of types 0 and 1.
    pub gas_price: Option<u128>,
    /// Most nit per gas of types 2 and 4.
    pub max_fee_per_gas: Option<u128>,
    /// Most nit per gas for the proposer.
    pub max_priority_fee_per_gas: Option<u128>,
    /// Value in nit.
    pub value: U256,
    /// Calldata or creation code.
    pub data: Bytes,
    /// Nonce of the sender; only creations depend on it.
    pub nonce: Option<u64>,
    /// EIP-2930.
    pub access_list: Option<AccessList>,
    /// EIP-7702.
    pub authorization_list: Vec<SignedAuthorization>,
    /// EIP-4844 versioned hashes.
    pub blob_hashes: Vec<B256>,
    /// Most nit per blob gas.
    pub max_fee_per_blob_gas: Option<u128>,
}

impl CallRequest {
    /// Most nit per gas that the sender pays; zero when the request names no fee.
    #[must_use]
    pub fn fee_cap(&self) -> u128 {
        self.max_fee_per_gas.or(self.gas_price).unwrap_or_default()
    }

    fn environment(&self, nonce: u64) -> TxEnv {
        let tx_type = if !self.authorization_list.is_empty() {
            4
        } else if !self.blob_hashes.is_empty() {
            3
        } else if self.max_fee_per_gas.is_some() || self.max_priority_fee_per_gas.is_some() {
            2
        } else {
            u8::from(self.access_list.is_some())
        };
        let mut environment = TxEnv {
            tx_type,
            caller: self.from.unwrap_or_default(),
            gas_limit: self.gas,
            gas_price: self.fee_cap(),
            kind: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value,
            data: self.data.clone(),
            nonce,
            chain_id: None,
            access_list: self.access_list.clone().unwrap_or_default(),
            gas_priority_fee: (tx_type >= 2).then(|| self.max_priority_fee_per_gas.unwrap_or_default()),
            blob_hashes: self.blob_hashes.clone(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas.unwrap_or_default(),
            ..TxEnv::default()
        };
        environment.set_signed_authorization(self.authorization_list.clone());
        environment
    }
}

/// What a call pretends about one account.
#[derive(Clone, Debug, Default)]
pub struct AccountOverride {
    /// Balance in nit.
    pub balance: Option<U256>,
    /// Nonce.
    pub nonce: Option<u64>,
    /// Code.
    pub code: Option<Bytes>,
    /// The whole storage: slots not named are zero.
    pub state: Option<BTreeMap<U256, U256>>,
    /// Some slots: the others stay.
    pub state_diff: Option<BTreeMap<U256, U256>>,
}

/// What a call pretends about the state.
pub type StateOverrides = BTreeMap<Address, AccountOverride>;

/// How a message ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// It returned.
    Success,
    /// It reverted; the output says why.
    Revert,
    /// It was stopped by the EVM.
    Halt(HaltReason),
}

/// What a message did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOutcome {
    /// How it ended.
    pub result: CallResult,
    /// Return or revert data.
    pub output: Bytes,
    /// Gas used, after refunds.
    pub gas_used: u64,
    /// Gas needed while it ran, before refunds.
    pub gas_spent: u64,
    /// Events.
    pub logs: Vec<Log>,
}

/// Why a message did not run at all.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The message breaks a rule before it runs.
    #[error("{0}")]
    Invalid(InvalidTransaction),
}

fn apply(view: &mut StateView<'_>, overrides: &StateOverrides) -> Result<(), StateError> {
    for (address, change) in overrides {
        let account = view.account(*address)?.unwrap_or_default();
        let account = Account {
            balance: change.balance.unwrap_or(account.balance),
            nonce: change.nonce.unwrap_or(account.nonce),
            ..account
        };
        view.set_account(*address, Some(account))?;
        if let Some(code) = &change.code {
            view.set_code(*address, code.clone())?;
        }
        if change.state.is_some() {
            view.clear_storage(*address)?;
        }
        for (slot, value) in change.state.iter().chain(&change.state_diff).flatten() {
            view.set_storage(*address, *slot, *value)?;
        }
    }
    Ok(())
}

fn run(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    request: &CallRequest,
    overrides: &StateOverrides,
) -> Result<(ExecutionResult, EvmState), CallError> {
    let mut view = StateView::new(state, hashes, environment.spec);
    apply(&mut view, overrides)?;
    let nonce = match request.nonce {
        Some(nonce) => nonce,
        None => view.account(request.from.unwrap_or_default())?.unwrap_or_default().nonce,
    };
    let mut configuration = environment.configuration();
    configuration.disable_nonce_check = true;
    configuration.disable_block_gas_limit = true;
    configuration.disable_eip3607 = true;
    configuration.disable_base_fee = request.fee_cap() == 0;
    configuration.tx_gas_limit_cap = Some(u64::MAX);
    configuration.tx_chain_id_check = false;
    let mut block = environment.block();
    if request.fee_cap() == 0 {
        block.basefee = 0;
    }
    let mut evm = Context::mainnet().with_db(view).with_block(block).with_cfg(configuration).build_mainnet();
    precompiles::install(&mut evm.precompiles, environment.spec);
    let outcome = evm.transact(request.environment(nonce)).map_err(|error| match error {
        EVMError::Database(ViewError(error)) => CallError::State(error),
        EVMError::Transaction(reason) => CallError::Invalid(reason),
        error => CallError::Invalid(InvalidTransaction::Str(error.to_string().into())),
    })?;
    Ok((outcome.result, outcome.state))
}

fn outcome(result: ExecutionResult) -> CallOutcome {
    let (gas_used, gas_spent) = (result.tx_gas_used(), result.gas().total_gas_spent());
    let ended = match &result {
        ExecutionResult::Success { .. } => CallResult::Success,
        ExecutionResult::Revert { .. } => CallResult::Revert,
        ExecutionResult::Halt { reason, .. } => CallResult::Halt(reason.clone()),
    };
    let logs = if ended == CallResult::Success { result.logs().to_vec() } else { Vec::new() };
    CallOutcome { result: ended, output: result.into_output().unwrap_or_default(), gas_used, gas_spent, logs }
}

/// Runs `request` on top of `state` with `overrides` and forgets what it did.
///
/// Nonce, sender code, the block's gas limit and EIP-7825 are not checked; a request without fees pays none.
///
/// # Errors
/// When it can't start (funds, intrinsic gas, fields) or the state can't be read; a revert or halt is an outcome.
pub fn call(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    request: &CallRequest,
    overrides: &StateOverrides,
) -> Result<CallOutcome, CallError> {
    run(state, hashes, environment, request, overrides).map(|(result, _)| outcome(result))
}

/// The access list that `request` would profit from, and what it does when it carries it (`eth_createAccessList`).
///
/// Sender, recipient, precompiles and contracts that the message creates are listed only for slots that geth lists.
///
/// # Errors
/// As [`call`].
pub fn create_access_list(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    request: &CallRequest,
    overrides: &StateOverrides,
) -> Result<(AccessList, CallOutcome), CallError> {
    let precompiles = precompiles::of(environment.spec);
    let mut request = request.clone();
    let mut previous = request.access_list.clone().unwrap_or_default();
    loop {
        request.access_list = Some(previous.clone());
        let (result, touched) = run(state, hashes, environment, &request, overrides)?;
        let mut items: BTreeMap<Address, BTreeSet<B256>> = BTreeMap::new();
        for item in &previous.0 {
            items.entry(item.address).or_default().extend(item.storage_keys.iter().copied());
        }
        for (address, account) in touched {
            let slots: BTreeSet<_> = account.storage.keys().map(|slot| B256::from(*slot)).collect();
            let known = Some(address) == request.to
                || address == request.from.unwrap_or_default()
                || address == environment.beneficiary
                || precompiles.contains(&address);
            if account.is_created() || (known && slots.is_empty()) {
                continue;
            }
            items.entry(address).or_default().extend(slots);
        }
        let list = AccessList(
            items
                .into_iter()
                .map(|(address, slots)| AccessListItem { address, storage_keys: slots.into_iter().collect() })
                .collect(),
        );
        if list == previous {
            return Ok((list, outcome(result)));
        }
        previous = list;
    }
}
