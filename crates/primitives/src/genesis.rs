//! What a chain starts from.

use alloy_primitives::{Address, Bytes, U256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An account that exists from the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenesisAccount {
    /// Balance in nit.
    pub balance: U256,
}

/// A system contract that genesis installs by executing its creation code at a fixed address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    /// Name for people.
    pub name: String,
    /// Where the contract lives.
    pub address: Address,
    /// Creation code followed by the ABI-encoded constructor arguments.
    pub init_code: Bytes,
}

/// The file that defines a chain: whoever has it computes the same genesis block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Genesis {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Unix time of block 0 in milliseconds.
    pub timestamp_ms: u64,
    /// Most gas in a block.
    pub block_gas_limit: u64,
    /// Funded accounts.
    pub accounts: BTreeMap<Address, GenesisAccount>,
    /// System contracts, executed in this order.
    pub deployments: Vec<Deployment>,
    /// Blocks of an epoch, after each of which the `Staking` contract elects the next validators. Without, the chain is
    /// one epoch, whose validators stand in the nodes' configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch_blocks: Option<u64>,
}
