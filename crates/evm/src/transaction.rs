//! Translate a signed transaction into revm's terms.

use alloy_consensus::{Transaction as _, Typed2718 as _};
use alloy_eips::eip2718::EIP1559_TX_TYPE_ID;
use candela_primitives::{CandelaTransaction, Transaction};
use revm::context::TxEnv;

/// The fields of `transaction` that execution depends on.
///
/// Type 0x50 runs as type 2: its fees and its access list are those of EIP-1559.
#[must_use]
pub fn transaction_environment(transaction: &Transaction) -> TxEnv {
    let tx_type = match transaction.ty() {
        CandelaTransaction::TYPE => EIP1559_TX_TYPE_ID,
        ethereum => ethereum,
    };
    let mut environment = TxEnv {
        tx_type,
        caller: transaction.sender(),
        gas_limit: transaction.gas_limit(),
        gas_price: transaction.max_fee_per_gas(),
        kind: transaction.kind(),
        value: transaction.value(),
        data: transaction.input().clone(),
        nonce: transaction.nonce(),
        chain_id: transaction.chain_id(),
        access_list: transaction.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: transaction.max_priority_fee_per_gas(),
        blob_hashes: transaction.blob_versioned_hashes().unwrap_or_default().to_vec(),
        max_fee_per_blob_gas: transaction.max_fee_per_blob_gas().unwrap_or_default(),
        ..TxEnv::default()
    };
    environment.set_signed_authorization(transaction.authorization_list().unwrap_or_default().to_vec());
    environment
}
