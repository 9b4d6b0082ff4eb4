//! The outcome of one executed transaction.

use alloy_primitives::{Address, Log};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// What a transaction did, as far as the chain remembers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
pub struct Receipt {
    /// EIP-2718 type of the transaction.
    pub tx_type: u8,
    /// False when execution reverted or halted.
    pub success: bool,
    /// Gas used by this transaction, after refunds.
    pub gas_used: u64,
    /// Gas used by the block up to and including this transaction.
    pub cumulative_gas_used: u64,
    /// Nit per gas that the sender paid.
    pub effective_gas_price: u128,
    /// Events, in order of emission.
    pub logs: Vec<Log>,
    /// The contract that a creation made.
    pub contract_address: Option<Address>,
}
