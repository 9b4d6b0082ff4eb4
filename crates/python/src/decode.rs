//! Show a signed transaction as a dictionary with JSON-RPC's names.

use crate::errors::InvalidTransactionError;
use alloy_consensus::{Transaction as _, TxEnvelope, Typed2718};
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::SignedAuthorization;
use candela_primitives::{B256, Bytes, CandelaTransaction, Envelope, Transaction, U256};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

/// Decodes an EIP-2718 transaction of type 0, 1, 2, 4 or 0x50 and checks its signature; `from` is its sender.
///
/// Type 0x50 has `scheme`, `sessionKey` and `sessionSignature` in the place of `yParity`, `r` and `s`.
/// Quantities are ints, hashes and addresses 0x strings, data is bytes.
#[pyfunction]
#[pyo3(signature = (raw, /))]
pub(crate) fn decode_transaction<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let raw = Bytes::copy_from_slice(raw);
    let transaction = py
        .detach(|| candela_signing::decode(raw))
        .map_err(|error| InvalidTransactionError::new_err(error.to_string()))?;
    let dict = PyDict::new(py);
    common(&dict, &transaction)?;
    fees(&dict, &transaction)?;
    if let Some(list) = transaction.access_list() {
        dict.set_item("accessList", access_list(py, list)?)?;
    }
    if let Some(list) = transaction.authorization_list() {
        dict.set_item("authorizationList", authorization_list(py, list)?)?;
    }
    Ok(dict)
}

/// A Python `int`.
pub(crate) fn int<'py>(py: Python<'py>, value: U256) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyBytes::new(py, &value.to_be_bytes::<32>());
    py.get_type::<pyo3::types::PyInt>().call_method1("from_bytes", (bytes, "big"))
}

fn common(dict: &Bound<'_, PyDict>, transaction: &Transaction) -> PyResult<()> {
    let py = dict.py();
    dict.set_item("type", transaction.ty())?;
    dict.set_item("hash", transaction.hash().to_string())?;
    dict.set_item("from", transaction.sender().to_string())?;
    dict.set_item("chainId", transaction.chain_id())?;
    dict.set_item("nonce", transaction.nonce())?;
    dict.set_item("gas", transaction.gas_limit())?;
    dict.set_item("to", transaction.to().map(|to| to.to_string()))?;
    dict.set_item("value", int(py, transaction.value())?)?;
    dict.set_item("data", PyBytes::new(py, transaction.input()))?;
    match transaction.envelope() {
        Envelope::Ethereum(ethereum) => ecdsa(dict, ethereum),
        Envelope::Candela(candela) => session(dict, candela),
    }
}

fn ecdsa(dict: &Bound<'_, PyDict>, transaction: &TxEnvelope) -> PyResult<()> {
    let (py, signature) = (dict.py(), transaction.signature());
    dict.set_item("yParity", u8::from(signature.v()))?;
    dict.set_item("r", int(py, signature.r())?)?;
    dict.set_item("s", int(py, signature.s())?)
}

fn session(dict: &Bound<'_, PyDict>, transaction: &CandelaTransaction) -> PyResult<()> {
    let (key, signature) = transaction.session().unwrap_or((B256::ZERO, &[0; 64]));
    dict.set_item("scheme", transaction.scheme)?;
    dict.set_item("sessionKey", PyBytes::new(dict.py(), key.as_slice()))?;
    dict.set_item("sessionSignature", PyBytes::new(dict.py(), signature))
}

fn fees(dict: &Bound<'_, PyDict>, transaction: &Transaction) -> PyResult<()> {
    match transaction.envelope() {
        Envelope::Ethereum(TxEnvelope::Legacy(_) | TxEnvelope::Eip2930(_)) => {
            dict.set_item("gasPrice", transaction.gas_price())
        }
        _ => {
            dict.set_item("maxFeePerGas", transaction.max_fee_per_gas())?;
            dict.set_item("maxPriorityFeePerGas", transaction.max_priority_fee_per_gas())
        }
    }
}

fn access_list<'py>(py: Python<'py>, list: &AccessList) -> PyResult<Bound<'py, PyList>> {
    let entries = PyList::empty(py);
    for item in &list.0 {
        let entry = PyDict::new(py);
        entry.set_item("address", item.address.to_string())?;
        entry.set_item("storageKeys", item.storage_keys.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        entries.append(entry)?;
    }
    Ok(entries)
}

fn authorization_list<'py>(py: Python<'py>, list: &[SignedAuthorization]) -> PyResult<Bound<'py, PyList>> {
    let entries = PyList::empty(py);
    for item in list {
        let entry = PyDict::new(py);
        entry.set_item("chainId", int(py, item.inner().chain_id)?)?;
        entry.set_item("address", item.inner().address.to_string())?;
        entry.set_item("nonce", item.inner().nonce)?;
        entry.set_item("yParity", item.y_parity())?;
        entry.set_item("r", int(py, item.r())?)?;
        entry.set_item("s", int(py, item.s())?)?;
        entries.append(entry)?;
    }
    Ok(entries)
}
