//! Translate a signed transaction into revm's terms.

use alloy_consensus::{Transaction as _, Typed2718 as _};
use candela_primitives::Transaction;
use revm::context::TxEnv;

/// The fields of `transaction` that execution depends on.
#[must_use]
pub fn transaction_environment(transaction: &Transaction) -> TxEnv {
    let mut environment = TxEnv {
        tx_type: transaction.ty(),
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
