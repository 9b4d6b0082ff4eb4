//! Protocol parameters, each set in force from an activation height on.

use alloy_primitives::{Address, address};

/// Chain id of development networks: "CND" in ASCII.
pub const CHAIN_ID: u64 = 4_410_948;

/// The `Registry` system contract.
pub const REGISTRY: Address = address!("0x0000000000000000000000000000000000000cd1");

/// The `Market` system contract.
pub const MARKET: Address = address!("0x0000000000000000000000000000000000000cd2");

/// The `SessionKeys` system contract.
pub const SESSION_KEYS: Address = address!("0x0000000000000000000000000000000000000cd3");

/// The `Staking` system contract.
pub const STAKING: Address = address!("0x0000000000000000000000000000000000000cd8");

/// The sender of the ledger's own calls (EIP-4788), whom nobody has a key of. Where validators are elected it takes the
/// priority fees until the end of the epoch.
pub const SYSTEM: Address = address!("0xfffffffffffffffffffffffffffffffffffffffe");

/// Rules that governance may change; the set of a block is named by its header's `parameters_version`.
///
/// To add one: give it a field here, its value in every earlier version, and a new version with its activation height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Number of this set, counted from 1.
    pub version: u32,
    /// First block under this set.
    pub activation_height: u64,
    /// Most gas in a block.
    pub block_gas_limit: u64,
    /// Most bytes of encoded transactions in a block. Larger blocks cost less a transaction and take longer to reach others.
    pub block_bytes_limit: usize,
    /// Base fee of the first block and the least it can fall to, nit per gas.
    pub min_base_fee_per_gas: u64,
    /// EIP-1559 elasticity: gas limit over gas target.
    pub elasticity: u64,
    /// EIP-1559: the base fee changes by at most one part in this many per block.
    pub base_fee_change_denominator: u64,
}

impl Parameters {
    /// The first set, with the block gas limit of the genesis.
    #[must_use]
    pub const fn genesis(block_gas_limit: u64) -> Self {
        Self {
            version: 1,
            activation_height: 0,
            block_gas_limit,
            block_bytes_limit: 2 << 20,
            min_base_fee_per_gas: 1_000_000,
            elasticity: 2,
            base_fee_change_denominator: 8,
        }
    }
}
