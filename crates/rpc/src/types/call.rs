//! The object that describes a message or an unsigned transaction.

use crate::{
    RpcError,
    protocol::{Argument, fields},
};
use alloy_eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use alloy_rpc_types_eth::state::StateOverride;
use candela_evm::{AccountOverride, CallRequest, StateOverrides};
use candela_primitives::{Address, B256, Bytes, U256};
use serde_json::{Map, Value};

/// `TransactionArgs` of go-ethereum.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallArguments {
    pub(crate) from: Option<Address>,
    pub(crate) to: Option<Address>,
    pub(crate) gas: Option<u64>,
    pub(crate) gas_price: Option<U256>,
    pub(crate) max_fee_per_gas: Option<U256>,
    pub(crate) max_priority_fee_per_gas: Option<U256>,
    pub(crate) value: Option<U256>,
    pub(crate) nonce: Option<u64>,
    pub(crate) data: Option<Bytes>,
    pub(crate) input: Option<Bytes>,
    pub(crate) access_list: Option<AccessList>,
    pub(crate) chain_id: Option<U256>,
    pub(crate) authorization_list: Option<Vec<SignedAuthorization>>,
    pub(crate) blob_versioned_hashes: Option<Vec<B256>>,
    pub(crate) max_fee_per_blob_gas: Option<U256>,
}

fn member<T: Argument>(fields: &mut Map<String, Value>, name: &str) -> Result<Option<T>, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => T::read(value).map(Some),
    }
}

fn parsed<T: serde::de::DeserializeOwned>(fields: &mut Map<String, Value>, name: &str) -> Result<Option<T>, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value).map(Some).map_err(|error| format!("{name}: {error}")),
    }
}

impl Argument for CallArguments {
    fn read(value: Value) -> Result<Self, String> {
        let mut fields = fields(value, "ethapi.TransactionArgs")?;
        let fields = &mut fields;
        Ok(Self {
            from: member(fields, "from")?,
            to: member(fields, "to")?,
            gas: member(fields, "gas")?,
            gas_price: member(fields, "gasPrice")?,
            max_fee_per_gas: member(fields, "maxFeePerGas")?,
            max_priority_fee_per_gas: member(fields, "maxPriorityFeePerGas")?,
            value: member(fields, "value")?,
            nonce: member(fields, "nonce")?,
            data: member(fields, "data")?,
            input: member(fields, "input")?,
            access_list: parsed(fields, "accessList")?,
            chain_id: member(fields, "chainId")?,
            authorization_list: parsed(fields, "authorizationList")?,
            blob_versioned_hashes: parsed(fields, "blobVersionedHashes")?,
            max_fee_per_blob_gas: member(fields, "maxFeePerBlobGas")?,
        })
    }
}

impl CallArguments {
    /// Calldata, whichever of its two names was used.
    pub(crate) fn calldata(&self) -> Bytes {
        self.input.clone().or_else(|| self.data.clone()).unwrap_or_default()
    }

    /// Refuses what contradicts itself, in go-ethereum's words.
    pub(crate) fn check(&self, chain_id: u64) -> Result<(), RpcError> {
        if self.gas_price.is_some() && (self.max_fee_per_gas.is_some() || self.max_priority_fee_per_gas.is_some()) {
            return Err(RpcError::server("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"));
        }
        if let (Some(data), Some(input)) = (&self.data, &self.input)
            && data != input
        {
            return Err(RpcError::server(
                r#"both "data" and "input" are set and not equal. Please use "input" to pass transaction call data"#,
            ));
        }
        if let (Some(cap), Some(tip)) = (self.max_fee_per_gas, self.max_priority_fee_per_gas)
            && cap < tip
        {
            return Err(RpcError::server(format!("maxFeePerGas ({cap:#x}) < maxPriorityFeePerGas ({tip:#x})")));
        }
        if let Some(have) = self.chain_id
            && have != U256::from(chain_id)
        {
            return Err(RpcError::server(format!("chainId does not match node's (have={have}, want={chain_id})")));
        }
        Ok(())
    }

    /// The message, with a gas limit of at most `cap`.
    pub(crate) fn request(&self, cap: u64) -> CallRequest {
        let narrow = |fee: Option<U256>| fee.map(|fee| fee.saturating_to::<u128>());
        CallRequest {
            from: self.from,
            to: self.to,
            gas: self.gas.filter(|gas| *gas > 0).unwrap_or(cap).min(cap),
            gas_price: narrow(self.gas_price),
            max_fee_per_gas: narrow(self.max_fee_per_gas),
            max_priority_fee_per_gas: narrow(self.max_priority_fee_per_gas),
            value: self.value.unwrap_or_default(),
            data: self.calldata(),
            nonce: self.nonce,
            access_list: self.access_list.clone(),
            authorization_list: self.authorization_list.clone().unwrap_or_default(),
            blob_hashes: self.blob_versioned_hashes.clone().unwrap_or_default(),
            max_fee_per_blob_gas: narrow(self.max_fee_per_blob_gas),
        }
    }
}

/// State overrides of `eth_call` and its relatives.
pub(crate) fn overrides(value: Option<Value>) -> Result<StateOverrides, RpcError> {
    let Some(value) = value else { return Ok(StateOverrides::new()) };
    let invalid = |reason: String| RpcError::invalid_params(format!("invalid argument 2: {reason}"));
    let parsed: StateOverride = serde_json::from_value(value).map_err(|error| invalid(error.to_string()))?;
    let mut overrides = StateOverrides::new();
    for (address, change) in parsed {
        if change.state.is_some() && change.state_diff.is_some() {
            return Err(RpcError::server(format!("account {address} has both 'state' and 'stateDiff'")));
        }
        if change.move_precompile_to.is_some() {
            return Err(RpcError::server("movePrecompileToAddress is not supported"));
        }
        let slots = |slots: Option<alloy_primitives::map::B256HashMap<B256>>| {
            slots.map(|slots| slots.into_iter().map(|(slot, value)| (slot.into(), value.into())).collect())
        };
        let change = AccountOverride {
            balance: change.balance,
            nonce: change.nonce,
            code: change.code,
            state: slots(change.state),
            state_diff: slots(change.state_diff),
        };
        overrides.insert(address, change);
    }
    Ok(overrides)
}
