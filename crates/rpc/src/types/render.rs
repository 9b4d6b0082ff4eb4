//! Blocks, transactions, receipts and logs as Ethereum clients expect them.

use crate::EthereumBody;
use alloy_consensus::{Header, Transaction as _, Typed2718, transaction::Recovered};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth as rpc;
use candela_archive::{ArchivedBlock, ArchivedLog};
use candela_primitives::{Bloom, CandelaTransaction, Envelope, Transaction};
use serde_json::{Value, json};
use std::sync::Arc;

fn to_value(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Bytes of the block as Ethereum would encode it: header, transactions, uncles and, since Shanghai, withdrawals.
fn size(block: &ArchivedBlock, body: Option<&EthereumBody>) -> U256 {
    let list = |payload: usize| payload + alloy_rlp::length_of_length(payload);
    // Legacy transactions are RLP lists themselves, typed ones are wrapped as strings.
    let encoded =
        |each: &Arc<Transaction>| if each.is_legacy() { each.encoded().len() } else { each.encoded().length() };
    let transactions: usize = block.transactions.iter().map(encoded).sum();
    let uncles = body.map_or(0, |body| body.uncles.iter().map(Encodable::length).sum());
    let withdrawals = match block.ethereum_header.withdrawals_root {
        Some(_) => list(body.map_or(0, |body| body.withdrawals.iter().map(Encodable::length).sum())),
        None => 0,
    };
    U256::from(list(block.ethereum_header.length() + list(transactions) + list(uncles) + withdrawals))
}

fn header_of_size(hash: B256, header: &Header, size: U256) -> Value {
    to_value(&rpc::Header { hash, inner: header.clone(), total_difficulty: None, size: Some(size) })
}

/// A header without transactions, as `newHeads` sends it.
pub(crate) fn header(block: &ArchivedBlock) -> Value {
    header_of_size(block.hash, &block.ethereum_header, size(block, None))
}

/// An uncle: a header of which nothing else is known.
pub(crate) fn uncle(header: &Header) -> Value {
    const EMPTY_LISTS: usize = 2;
    let payload = header.length() + EMPTY_LISTS;
    let size = payload + alloy_rlp::length_of_length(payload);
    let mut value = header_of_size(header.hash_slow(), header, U256::from(size));
    value["uncles"] = json!([]);
    value
}

/// A block with the hashes of its transactions, or with all of them.
pub(crate) fn block(block: &ArchivedBlock, body: Option<&EthereumBody>, full: bool) -> Value {
    let mut value = header_of_size(block.hash, &block.ethereum_header, size(block, body));
    let transactions: Vec<Value> = (0..block.transactions.len())
        .map(|index| if full { transaction(block, index) } else { json!(block.transactions[index].hash()) })
        .collect();
    if let Value::Object(fields) = &mut value {
        fields.insert("transactions".to_owned(), Value::Array(transactions));
        let uncles: Vec<B256> = body.iter().flat_map(|body| &body.uncles).map(Header::hash_slow).collect();
        fields.insert("uncles".to_owned(), json!(uncles));
        if block.ethereum_header.withdrawals_root.is_some() {
            let withdrawals: Vec<&Withdrawal> = body.iter().flat_map(|body| &body.withdrawals).collect();
            fields.insert("withdrawals".to_owned(), json!(withdrawals));
        }
    }
    value
}

/// Where a transaction is, and what it pays per gas there.
#[derive(Default)]
struct Place {
    block_hash: Option<B256>,
    block_number: Option<u64>,
    transaction_index: Option<u64>,
    effective_gas_price: Option<u128>,
    block_timestamp: Option<u64>,
}

fn rendered(each: &Transaction, place: Place) -> Value {
    match each.envelope() {
        Envelope::Ethereum(inner) => to_value(&rpc::Transaction {
            inner: Recovered::new_unchecked(inner.clone(), each.sender()),
            block_hash: place.block_hash,
            block_number: place.block_number,
            transaction_index: place.transaction_index,
            effective_gas_price: place.effective_gas_price,
            block_timestamp: place.block_timestamp,
        }),
        Envelope::Candela(inner) => candela(inner, each, &place),
    }
}

/// Type 0x50 with the names of type 2; `sessionSignature` is not called `signature`, which ethers takes for an ECDSA one.
///
/// So that clients can read it like any other, `r` and `s` are the two halves of the Ed25519 signature as the
/// little-endian integers that they are (RFC 8032), and the parity, which it does not have, is 0.
fn candela(inner: &CandelaTransaction, each: &Transaction, place: &Place) -> Value {
    let quantity = |number: u64| format!("{number:#x}");
    let (key, signature) = inner.session().unwrap_or((B256::ZERO, &[0; 64]));
    let (r, s) = signature.split_at(32);
    let mut value = json!({
        "type": quantity(each.ty().into()),
        "chainId": quantity(inner.chain_id),
        "nonce": quantity(inner.nonce),
        "gas": quantity(inner.gas_limit),
        "maxFeePerGas": format!("{:#x}", inner.max_fee_per_gas),
        "maxPriorityFeePerGas": format!("{:#x}", inner.max_priority_fee_per_gas),
        "gasPrice": place.effective_gas_price.map(|price| format!("{price:#x}")),
        "to": inner.to.to().map(lower),
        "value": inner.value,
        "accessList": inner.access_list,
        "input": inner.data,
        "r": U256::from_le_slice(r),
        "s": U256::from_le_slice(s),
        "v": "0x0",
        "yParity": "0x0",
        "hash": each.hash(),
        "blockHash": place.block_hash,
        "blockNumber": place.block_number.map(quantity),
        "transactionIndex": place.transaction_index.map(quantity),
        "from": lower(&each.sender()),
        "scheme": quantity(inner.scheme.into()),
        "sessionKey": key,
        "sessionSignature": alloy_primitives::hex::encode_prefixed(signature),
    });
    if let Some(timestamp) = place.block_timestamp {
        value["blockTimestamp"] = json!(quantity(timestamp));
    }
    value
}

/// A transaction of a block.
pub(crate) fn transaction(block: &ArchivedBlock, index: usize) -> Value {
    let each = &block.transactions[index];
    let header = &block.ethereum_header;
    let place = Place {
        block_hash: Some(block.hash),
        block_number: Some(header.number),
        transaction_index: Some(index as u64),
        effective_gas_price: Some(each.effective_gas_price(header.base_fee_per_gas)),
        block_timestamp: Some(header.timestamp),
    };
    rendered(each, place)
}

/// A transaction that waits in the pool.
pub(crate) fn pending_transaction(each: &Transaction) -> Value {
    let mut value = rendered(each, Place { effective_gas_price: Some(each.max_fee_per_gas()), ..Place::default() });
    value["blockTimestamp"] = Value::Null;
    value
}

/// The receipt of a transaction of a block; `blob_base_fee` is the block's.
pub(crate) fn receipt(block: &ArchivedBlock, body: Option<&EthereumBody>, index: usize, blob_base_fee: u128) -> Value {
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
    match body.and_then(|body| body.roots.get(index)) {
        Some(root) => value["root"] = json!(root),
        None => value["status"] = json!(if receipt.success { "0x1" } else { "0x0" }),
    }
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
