//! How the fields of a header follow from its parent and from what was executed.

use crate::Slot;
use alloy_eips::eip1559::{BaseFeeParams, calc_next_block_base_fee};
use candela_evm::{BlockEnvironment, Execution};
use candela_primitives::{
    Address, B256, Block, Bytes, Epochs, Header, Parameters, Receipt, SYSTEM, ShardHeader, U256, merkle,
};

/// How far a proposer's clock may be ahead of ours, in milliseconds.
pub(crate) const MAX_CLOCK_LEAD_MS: u64 = 5_000;

/// EIP-1559 base fee of the block after `parent`, nit per gas, never below the parameters' minimum.
#[must_use]
pub fn next_base_fee(parent: &Header, parameters: &Parameters) -> u64 {
    let base_fee = parent.shards.first().map_or(parameters.min_base_fee_per_gas, |shard| shard.base_fee_per_gas);
    let rule =
        BaseFeeParams::new(u128::from(parameters.base_fee_change_denominator), u128::from(parameters.elasticity));
    calc_next_block_base_fee(parent.gas_used(), parent.gas_limit, base_fee, rule).max(parameters.min_base_fee_per_gas)
}

/// Time of a child of `parent` proposed at `now_ms`: the clock, but later than the parent.
pub(crate) const fn next_timestamp_ms(parent: &Header, now_ms: u64) -> u64 {
    if now_ms > parent.timestamp_ms { now_ms } else { parent.timestamp_ms + 1 }
}

/// Who gets the priority fees of a block: its proposer, or, where validators are elected, the system address, which
/// shares them among the seats at the end of the epoch.
pub(crate) const fn beneficiary(epochs: Option<Epochs>, proposer: Address) -> Address {
    if epochs.is_some() { SYSTEM } else { proposer }
}

/// The environment of a child of `parent`.
pub(crate) fn environment(
    (chain_id, epochs): (u64, Option<Epochs>),
    parent: &Header,
    parameters: &Parameters,
    slot: &Slot,
    timestamp_ms: u64,
) -> BlockEnvironment {
    let base_fee = next_base_fee(parent, parameters);
    let mut environment = BlockEnvironment::candela(
        chain_id,
        parent.number + 1,
        timestamp_ms / 1000,
        parameters.block_gas_limit,
        base_fee,
    );
    environment.beneficiary = beneficiary(epochs, slot.proposer);
    environment.prevrandao = slot.randomness;
    environment
}

/// The environment that `header` was executed in.
pub(crate) fn environment_of((chain_id, epochs): (u64, Option<Epochs>), header: &Header) -> BlockEnvironment {
    let base_fee = header.shards.first().map_or(0, |shard| shard.base_fee_per_gas);
    let mut environment =
        BlockEnvironment::candela(chain_id, header.number, header.timestamp(), header.gas_limit, base_fee);
    environment.beneficiary = beneficiary(epochs, header.proposer);
    environment.prevrandao = header.prevrandao;
    environment
}

/// The state and what led to it, as far as a header commits to them.
pub(crate) struct Sealing<'a> {
    pub(crate) parent: &'a Header,
    pub(crate) parent_hash: B256,
    pub(crate) parameters: &'a Parameters,
    pub(crate) slot: &'a Slot,
    pub(crate) timestamp_ms: u64,
    pub(crate) extra_data: Bytes,
    pub(crate) execution: &'a Execution,
    pub(crate) state_root: B256,
    pub(crate) access_list_hash: B256,
}

/// The one header that a block with these transactions and this outcome can have.
pub(crate) fn seal(sealing: &Sealing<'_>, transactions: Vec<Bytes>) -> Block {
    let Sealing { parent, parameters, execution, .. } = sealing;
    let supply = parent.shards.first().map_or(U256::ZERO, |shard| shard.supply);
    let mut block = Block { header: Header::default(), transactions, access_list: Bytes::new() };
    let shard = ShardHeader {
        state_root: sealing.state_root,
        transactions_root: block.transactions_root(),
        receipts_root: receipts_root(&execution.receipts),
        outbox_root: merkle::root(&[]),
        inbound_cursors: Vec::new(),
        gas_used: execution.gas_used,
        base_fee_per_gas: next_base_fee(parent, parameters),
        congestion_ppm: congestion_ppm(execution.gas_used, parameters.block_gas_limit),
        supply: supply.saturating_sub(execution.supply_decrease),
        in_flight: U256::ZERO,
        access_list_hash: sealing.access_list_hash,
    };
    block.header = Header {
        version: Header::VERSION,
        parameters_version: parameters.version,
        parent_hash: sealing.parent_hash,
        number: parent.number + 1,
        timestamp_ms: sealing.timestamp_ms,
        proposer: sealing.slot.proposer,
        prevrandao: sealing.slot.randomness,
        gas_limit: parameters.block_gas_limit,
        logs_bloom: execution.logs_bloom,
        extra_data: sealing.extra_data.clone(),
        shards: vec![shard],
    };
    block
}

pub(crate) fn receipts_root(receipts: &[Receipt]) -> B256 {
    merkle::root(&receipts.iter().map(|receipt| merkle::leaf(&alloy_rlp::encode(receipt))).collect::<Vec<_>>())
}

fn congestion_ppm(gas_used: u64, gas_limit: u64) -> u32 {
    let ppm = u128::from(gas_used) * 1_000_000 / u128::from(gas_limit.max(1));
    u32::try_from(ppm).unwrap_or(u32::MAX)
}
