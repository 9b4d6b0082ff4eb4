//! What gas costs, and what it did cost.

use super::quantity;
use crate::{
    RpcError,
    handler::Handler,
    protocol::{BlockCount, Json, Params},
    types::{BlockId, BlockNumber},
};
use alloy_consensus::Transaction as _;
use candela_archive::ArchivedBlock;
use serde_json::json;

/// The tip that suffices on a chain whose blocks are rarely full, nit per gas.
pub(super) const SUGGESTED_TIP: u128 = 1_000_000;
const MOST_BLOCKS: u64 = 1_024;
const MOST_PERCENTILES: usize = 100;

pub(super) fn next_base_fee(handler: &Handler) -> Result<u128, RpcError> {
    let head = handler.head()?;
    Ok(u128::from(handler.context.chain.next_header(&head.ethereum_header).base_fee_per_gas.unwrap_or_default()))
}

pub(super) fn gas_price(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    quantity(next_base_fee(handler)? + SUGGESTED_TIP)
}

pub(super) fn max_priority_fee_per_gas(_: &Handler, _: Params) -> Result<Json, RpcError> {
    quantity(SUGGESTED_TIP)
}

pub(super) fn blob_base_fee(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    quantity(handler.context.chain.blob_base_fee(&handler.head()?.ethereum_header))
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    if percentiles.len() > MOST_PERCENTILES {
        return Err(RpcError::server(format!("invalid reward percentile: over the query limit {MOST_PERCENTILES}")));
    }
    for (index, value) in percentiles.iter().enumerate() {
        if !(0.0..=100.0).contains(value) {
            return Err(RpcError::server(format!("invalid reward percentile: {value:.6}")));
        }
        if index > 0 && *value <= percentiles[index - 1] {
            return Err(RpcError::server(format!(
                "invalid reward percentile: #{}:{:.6} >= #{index}:{value:.6}",
                index - 1,
                percentiles[index - 1]
            )));
        }
    }
    Ok(())
}

/// Tips at the given percentiles of the block's gas.
fn rewards(block: &ArchivedBlock, percentiles: &[f64]) -> Vec<String> {
    let base_fee = block.ethereum_header.base_fee_per_gas.unwrap_or_default();
    let mut tips: Vec<(u128, u64)> = block
        .transactions
        .iter()
        .zip(&*block.receipts)
        .map(|(each, receipt)| (each.effective_tip_per_gas(base_fee).unwrap_or_default(), receipt.gas_used))
        .collect();
    tips.sort_unstable();
    let gas_used = block.ethereum_header.gas_used;
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = (gas_used as f64 * percentile / 100.0) as u64;
            let mut sum = 0;
            let reached = tips.iter().find(|(_, gas)| {
                sum += gas;
                sum >= threshold
            });
            format!("{:#x}", reached.or(tips.last()).map_or(0, |(tip, _)| *tip))
        })
        .collect()
}

pub(super) fn fee_history(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let BlockCount(count) = params.required()?;
    let BlockNumber(newest) = params.required()?;
    let percentiles: Vec<f64> = params.required()?;
    check_percentiles(&percentiles)?;
    let head = handler.head()?.number();
    let last = match newest {
        BlockId::Number(number) if number > head => {
            return Err(RpcError::server(format!("request beyond head block: requested {number}, head {head}")));
        }
        other => handler.known_block(other)?.number(),
    };
    let count = count.min(MOST_BLOCKS).min(last + 1 - handler.context.archive.first().min(last));
    if count == 0 {
        return Json::of(&json!({ "oldestBlock": "0x0", "gasUsedRatio": [] }));
    }
    let (mut fees, mut ratios, mut blob_fees, mut blob_ratios, mut reward) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let chain = &handler.context.chain;
    let mut newest_header = None;
    for number in last + 1 - count..=last {
        let block = handler.known_block(BlockId::Number(number))?;
        let header = &block.ethereum_header;
        fees.push(format!("{:#x}", header.base_fee_per_gas.unwrap_or_default()));
        ratios.push(header.gas_used as f64 / (header.gas_limit.max(1)) as f64);
        blob_fees.push(format!("{:#x}", chain.blob_base_fee(header)));
        let most = chain.max_blob_gas(header);
        let used = header.blob_gas_used.unwrap_or_default();
        blob_ratios.push(if most == 0 { 0.0 } else { used as f64 / most as f64 });
        if !percentiles.is_empty() {
            reward.push(rewards(&block, &percentiles));
        }
        newest_header = Some(header.clone());
    }
    if let Some(header) = newest_header {
        let next = chain.next_header(&header);
        fees.push(format!("{:#x}", next.base_fee_per_gas.unwrap_or_default()));
        blob_fees.push(format!("{:#x}", chain.blob_base_fee(&next)));
    }
    let mut value = json!({
        "oldestBlock": format!("{:#x}", last + 1 - count),
        "baseFeePerGas": fees,
        "gasUsedRatio": ratios,
        "baseFeePerBlobGas": blob_fees,
        "blobGasUsedRatio": blob_ratios,
    });
    if !percentiles.is_empty() {
        value["reward"] = json!(reward);
    }
    Json::of(&value)
}
