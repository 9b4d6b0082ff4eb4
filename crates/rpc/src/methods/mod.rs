//! The methods, by what they are about.

mod blocks;
mod calls;
mod candela;
mod fees;
mod filters;
mod logs;
mod network;
mod pool;
mod proof;
mod state;
mod transactions;

pub(crate) use logs::LogQuery;
pub(crate) use transactions::SyncWait;

use crate::{
    RpcError,
    handler::Handler,
    protocol::{Json, Params},
};
use serde_json::Value;

type Method = fn(&Handler, Params) -> Result<Json, RpcError>;

/// Every method with the most parameters that it takes.
const METHODS: &[(&str, usize, Method)] = &[
    ("candela_evidence", 0, candela::evidence),
    ("candela_exportState", 0, candela::export_state),
    ("candela_getBlock", 1, candela::get_block),
    ("candela_getHeader", 1, candela::get_header),
    ("candela_getInclusionProof", 1, candela::get_inclusion_proof),
    ("candela_getProof", 3, proof::get_proof),
    ("candela_getStateChunk", 2, candela::get_state_chunk),
    ("candela_sendRawTransactions", 1, candela::send_raw_transactions),
    ("eth_accounts", 0, network::accounts),
    ("eth_blobBaseFee", 0, fees::blob_base_fee),
    ("eth_blockNumber", 0, blocks::block_number),
    ("eth_call", 4, calls::call),
    ("eth_chainId", 0, network::chain_id),
    ("eth_coinbase", 0, network::coinbase),
    ("eth_createAccessList", 3, calls::create_access_list),
    ("eth_estimateGas", 4, calls::estimate_gas),
    ("eth_feeHistory", 3, fees::fee_history),
    ("eth_fillTransaction", 1, transactions::fill),
    ("eth_gasPrice", 0, fees::gas_price),
    ("eth_getBalance", 2, state::get_balance),
    ("eth_getBlockByHash", 2, blocks::get_block_by_hash),
    ("eth_getBlockByNumber", 2, blocks::get_block_by_number),
    ("eth_getBlockReceipts", 1, blocks::get_block_receipts),
    ("eth_getBlockTransactionCountByHash", 1, blocks::transaction_count_by_hash),
    ("eth_getBlockTransactionCountByNumber", 1, blocks::transaction_count_by_number),
    ("eth_getCode", 2, state::get_code),
    ("eth_getFilterChanges", 1, filters::get_filter_changes),
    ("eth_getFilterLogs", 1, filters::get_filter_logs),
    ("eth_getLogs", 1, logs::get_logs),
    ("eth_getStorageAt", 3, state::get_storage_at),
    ("eth_getTransactionByBlockHashAndIndex", 2, transactions::by_block_hash_and_index),
    ("eth_getTransactionByBlockNumberAndIndex", 2, transactions::by_block_number_and_index),
    ("eth_getTransactionByHash", 1, transactions::by_hash),
    ("eth_getTransactionCount", 2, state::get_transaction_count),
    ("eth_getTransactionReceipt", 1, transactions::receipt),
    ("eth_getUncleByBlockHashAndIndex", 2, blocks::uncle_by_hash),
    ("eth_getUncleByBlockNumberAndIndex", 2, blocks::uncle_by_number),
    ("eth_getUncleCountByBlockHash", 1, blocks::uncle_count_by_hash),
    ("eth_getUncleCountByBlockNumber", 1, blocks::uncle_count_by_number),
    ("eth_maxPriorityFeePerGas", 0, fees::max_priority_fee_per_gas),
    ("eth_mining", 0, network::mining),
    ("eth_newBlockFilter", 0, filters::new_block_filter),
    ("eth_newFilter", 1, filters::new_filter),
    ("eth_newPendingTransactionFilter", 1, filters::new_pending_transaction_filter),
    ("eth_sendRawTransaction", 1, transactions::send_raw),
    ("eth_subscribe", 2, filters::subscribe),
    ("eth_syncing", 0, network::syncing),
    ("eth_uninstallFilter", 1, filters::uninstall_filter),
    ("eth_unsubscribe", 1, filters::unsubscribe),
    ("net_listening", 0, network::listening),
    ("net_peerCount", 0, network::peer_count),
    ("net_version", 0, network::version),
    ("txpool_content", 0, pool::content),
    ("txpool_contentFrom", 1, pool::content_from),
    ("txpool_status", 0, pool::status),
    ("web3_clientVersion", 0, network::client_version),
    ("web3_sha3", 1, network::sha3),
];

/// Runs one method.
pub(crate) fn dispatch(handler: &Handler, name: &str, params: Option<Value>) -> Result<Json, RpcError> {
    let found = METHODS.binary_search_by(|(known, _, _)| known.cmp(&name)).map(|index| METHODS[index]);
    let Ok((_, most, method)) = found else { return Err(RpcError::method_not_found(name)) };
    method(handler, Params::new(params, most)?)
}

/// A number in the RPC encoding.
fn quantity(value: impl std::fmt::LowerHex) -> Result<Json, RpcError> {
    Json::of(&format!("{value:#x}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_sorted() {
        assert!(super::METHODS.is_sorted_by(|left, right| left.0 < right.0));
    }
}
