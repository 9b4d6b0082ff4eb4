//! Blocks, transactions, receipts and logs as Ethereum clients expect them.

use alloy_consensus::{Transaction as _, Typed2718, transaction::Recovered};
use alloy_primitives::{Address, B256, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth as rpc;
use candela_archive::{ArchivedBlock, ArchivedLog};
use candela_primitives::{Bloom, Transaction};
use serde_json::{Value, json};

fn to_value(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Bytes of the block as Ethereum would encode it: header, transactions, no uncles, no withdrawals.
fn size(block: &ArchivedBlock) -> U256 {
    let list = |payload: usize| payload + alloy_rlp::length_of_length(payload);
    // Legacy transactions are RLP lists themselves, typed ones are wrapped as strings.
    let encoded = |each: &Transaction| if each.is_legacy() { each.encoded().len() } else { each.encoded().length() };
    let transactions: usize = block.transactions.iter().map(encoded).sum();
    let withdrawals = if block.ethereum_header.withdrawals_root.is_some() { list(0) } else { 0 };
    U256::from(list(block.ethereum_header.length() + list(transactions) + list(0) + withdrawals))
}

/// A header without transactions, as `newHeads` sends it.
pub(crate) fn header(block: &ArchivedBlock) -> Value {
    let header = rpc::Header {
        hash: block.hash,
        inner: block.ethereum_header.clone(),
        total_difficulty: None,
        size: Some(size(block)),
    };
    to_value(&header)
}

/// A block with the hashes of its transactions, or with all of them.
pub(crate) fn block(block: &ArchivedBlock, full: bool) -> Value {
    let mut value = header(block);
    let transactions: Vec<Value> = (0..block.transactions.len())
        .map(|index| if full { transaction(block, index) } else { json!(block.transactions[index].hash()) })
        .collect();
    if let Value::Object(fields) = &mut value {
        fields.insert("transactions".to_owned(), Value::Array(transactions));
        fields.insert("uncles".to_owned(), json!([]));
        if block.ethereum_header.withdrawals_root.is_some() && !fields.contains_key("withdrawals") {
            fields.insert("withdrawals".to_owned(), json!([]));
        }
    }
    value
}

fn rendered(each: &Transaction) -> rpc::Transaction {
    rpc::Transaction {
        inner: Recovered::new_unchecked(each.envelope().clone(), each.sender()),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: None,
        block_timestamp: None,
    }
}

/// A transaction of a block.
pub(crate) fn transaction(block: &ArchivedBlock, index: usize) -> Value {
    let each = &block.transactions[index];
    let header = &block.ethereum_header;
    to_value(&rpc::Transaction {
        block_hash: Some(block.hash),
        block_number: Some(header.number),
        transaction_index: Some(index as u64),
        effective_gas_price: Some(each.effective_gas_price(header.base_fee_per_gas)),
        block_timestamp: Some(header.timestamp),
        ..rendered(each)
    })
}

/// A transaction that waits in the pool.
pub(crate) fn pending_transaction(each: &Transaction) -> Value {
    to_value(&rpc::Transaction { effective_gas_price: Some(each.max_fee_per_gas()), ..rendered(each) })
}

/// The receipt of a transaction of a block; `blob_base_fee` is the block's.
pub(crate) fn receipt(block: &ArchivedBlock, index: usize, blob_base_fee: u128) -> Value {
    let (each, receipt) = (&block.transactions[index], &block.receipts[index]);
    let first_log: usize = block.receipts[..index].iter().map(|receipt| receipt.logs.len()).sum();
    let mut bloom = Bloom::ZERO;
    receipt.logs.iter().for_each(|log| bloom.accrue_log(log));
    let logs: Vec<Value> = receipt
        .logs
        .iter()
        .zip(first_log as u64..)
        .map(|(entry, log_index)| {
            log(&ArchivedLog {
                log: entry.clone(),
                block_number: block.number(),
                block_hash: block.hash,
                block_timestamp: block.ethereum_header.timestamp,
                transaction_hash: each.hash(),
                transaction_index: index as u64,
                log_index,
            })
        })
        .collect();
    let mut value = json!({
        "type": format!("{:#x}", each.ty()),
        "status": if receipt.success { "0x1" } else { "0x0" },
        "cumulativeGasUsed": format!("{:#x}", receipt.cumulative_gas_used),
        "logs": logs,
        "logsBloom": bloom,
        "transactionHash": each.hash(),
        "transactionIndex": format!("{index:#x}"),
        "blockHash": block.hash,
        "blockNumber": format!("{:#x}", block.number()),
        "gasUsed": format!("{:#x}", receipt.gas_used),
        "effectiveGasPrice": format!("{:#x}", receipt.effective_gas_price),
        "from": lower(&each.sender()),
        "to": each.to().map(|to| lower(&to)),
        "contractAddress": created(each).map(|address| lower(&address)),
    });
    if let (Some(hashes), Value::Object(fields)) = (each.blob_versioned_hashes(), &mut value) {
        const GAS_PER_BLOB: u64 = 1 << 17;
        fields.insert("blobGasUsed".to_owned(), json!(format!("{:#x}", GAS_PER_BLOB * hashes.len() as u64)));
        fields.insert("blobGasPrice".to_owned(), json!(format!("{blob_base_fee:#x}")));
    }
    value
}

fn created(each: &Transaction) -> Option<Address> {
    each.is_create().then(|| each.sender().create(each.nonce()))
}

fn lower(address: &Address) -> String {
    format!("{address:#x}")
}

/// An event with its place.
pub(crate) fn log(entry: &ArchivedLog) -> Value {
    let topics: Vec<B256> = entry.log.topics().to_vec();
    json!({
        "address": lower(&entry.log.address),
        "topics": topics,
        "data": entry.log.data.data,
        "blockNumber": format!("{:#x}", entry.block_number),
        "blockHash": entry.block_hash,
        "blockTimestamp": format!("{:#x}", entry.block_timestamp),
        "transactionHash": entry.transaction_hash,
        "transactionIndex": format!("{:#x}", entry.transaction_index),
        "logIndex": format!("{:#x}", entry.log_index),
        "removed": false,
    })
}
