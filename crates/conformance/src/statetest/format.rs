//! The JSON of a state test.

use crate::{fork::BlobSchedule, memory::MemoryState, quantity::Quantity};
use candela_primitives::{Address, B256, Bytes, U256};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Base fee where a test names none; the tests were filled with it.
pub(super) const DEFAULT_BASE_FEE: u64 = 10;

#[derive(Deserialize)]
pub(super) struct Test {
    pub env: Env,
    pub pre: BTreeMap<Address, PreAccount>,
    pub transaction: Fields,
    pub post: BTreeMap<String, Vec<Post>>,
    pub config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Env {
    pub current_coinbase: Address,
    pub current_gas_limit: Quantity,
    pub current_number: Quantity,
    pub current_timestamp: Quantity,
    pub current_base_fee: Option<Quantity>,
    pub current_difficulty: Option<Quantity>,
    pub current_random: Option<Quantity>,
    pub current_excess_blob_gas: Option<Quantity>,
}

#[derive(Deserialize)]
pub(super) struct PreAccount {
    pub balance: Quantity,
    pub nonce: Quantity,
    pub code: Bytes,
    #[serde(default)]
    pub storage: BTreeMap<U256, Quantity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    #[serde(alias = "chainid")]
    pub chain_id: Option<Quantity>,
    #[serde(default)]
    pub blob_schedule: BTreeMap<String, Blobs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blobs {
    pub max: Quantity,
    pub base_fee_update_fraction: Quantity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fields {
    pub data: Vec<Bytes>,
    pub gas_limit: Vec<Quantity>,
    pub value: Vec<Quantity>,
    pub nonce: Quantity,
    /// Empty for a creation.
    #[serde(default)]
    pub to: String,
    pub sender: Option<Address>,
    pub secret_key: Option<B256>,
    pub gas_price: Option<Quantity>,
    pub max_fee_per_gas: Option<Quantity>,
    pub max_priority_fee_per_gas: Option<Quantity>,
    pub access_lists: Option<Vec<Option<Vec<AccessItem>>>>,
    pub blob_versioned_hashes: Option<Vec<B256>>,
    pub max_fee_per_blob_gas: Option<Quantity>,
    pub authorization_list: Option<Vec<Authorization>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccessItem {
    pub address: Address,
    pub storage_keys: Vec<Quantity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Authorization {
    pub chain_id: Quantity,
    pub address: Address,
    pub nonce: Quantity,
    #[serde(alias = "yParity")]
    pub v: Option<Quantity>,
    pub r: Quantity,
    pub s: Quantity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Post {
    pub hash: B256,
    pub logs: B256,
    pub indexes: Indexes,
    pub expect_exception: Option<String>,
    pub txbytes: Option<Bytes>,
}

#[derive(Deserialize)]
pub(super) struct Indexes {
    pub data: usize,
    pub gas: usize,
    pub value: usize,
}

impl Test {
    pub(super) fn state(&self) -> Result<MemoryState, String> {
        let mut state = MemoryState::default();
        for (address, account) in &self.pre {
            let storage = account.storage.iter().map(|(slot, value)| Ok((*slot, value.get()?)));
            let storage = storage.collect::<Result<_, String>>()?;
            state.insert(*address, account.nonce.narrow()?, account.balance.get()?, account.code.clone(), storage);
        }
        Ok(state)
    }

    pub(super) fn chain_id(&self) -> Result<u64, String> {
        self.config.as_ref().and_then(|config| config.chain_id.as_ref()).map_or(Ok(1), Quantity::narrow)
    }

    pub(super) fn blobs(&self, fork: &str) -> Result<Option<BlobSchedule>, String> {
        let Some(blobs) = self.config.as_ref().and_then(|config| config.blob_schedule.get(fork)) else {
            return Ok(None);
        };
        let (max, base_fee_update_fraction) = (blobs.max.narrow()?, blobs.base_fee_update_fraction.narrow()?);
        Ok(Some(BlobSchedule { max, base_fee_update_fraction }))
    }
}
