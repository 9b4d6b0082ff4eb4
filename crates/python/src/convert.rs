//! Read integers, bytes and addresses from what Python programs write for them.

use crate::errors::InvalidTransactionError;
use candela_primitives::{Address, B256, Bytes, U256};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyInt, PyString};

fn refuse<T>(field: &str, expected: &str) -> PyResult<T> {
    Err(InvalidTransactionError::new_err(format!("field '{field}': expected {expected}")))
}

/// An integer of at most 256 bits from an `int` or a `0x` string.
pub(crate) fn number(field: &str, value: &Bound<'_, PyAny>) -> PyResult<U256> {
    const EXPECTED: &str = "an int, or a 0x string, of at most 256 bits and not negative";
    if value.is_instance_of::<PyBool>() {
        return refuse(field, EXPECTED);
    }
    if value.is_instance_of::<PyInt>() {
        return match value.extract::<u64>() {
            Ok(small) => Ok(U256::from(small)),
            Err(_) => wide(value).map_or_else(|_| refuse(field, EXPECTED), Ok),
        };
    }
    let Ok(text) = value.cast::<PyString>() else { return refuse(field, EXPECTED) };
    match text.to_cow()?.strip_prefix("0x") {
        Some(digits) if !digits.is_empty() && digits.len() <= 64 => {
            U256::from_str_radix(digits, 16).or_else(|_| refuse(field, EXPECTED))
        }
        _ => refuse(field, EXPECTED),
    }
}

fn wide(value: &Bound<'_, PyAny>) -> PyResult<U256> {
    let bytes = value.call_method1("to_bytes", (32, "big"))?;
    Ok(U256::from_be_slice(bytes.cast::<PyBytes>()?.as_bytes()))
}

/// An integer that has to fit into `T`.
pub(crate) fn narrow<T: TryFrom<U256>>(field: &str, value: &Bound<'_, PyAny>) -> PyResult<T> {
    T::try_from(number(field, value)?)
        .or_else(|_| refuse(field, &format!("an integer of at most {} bits", 8 * size_of::<T>())))
}

/// Bytes from `bytes`, `bytearray` or a `0x` string.
pub(crate) fn bytes(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    const EXPECTED: &str = "bytes or a 0x string";
    if let Ok(raw) = value.cast::<PyBytes>() {
        return Ok(Bytes::copy_from_slice(raw.as_bytes()));
    }
    if let Ok(raw) = value.cast::<PyByteArray>() {
        return Ok(raw.to_vec().into());
    }
    let Ok(text) = value.cast::<PyString>() else { return refuse(field, EXPECTED) };
    let text = text.to_cow()?;
    let Some(digits) = text.strip_prefix("0x") else { return refuse(field, EXPECTED) };
    alloy_primitives::hex::decode(digits).map_or_else(|_| refuse(field, EXPECTED), |raw| Ok(raw.into()))
}

/// 32 bytes, from bytes or a `0x` string.
pub(crate) fn word(field: &str, value: &Bound<'_, PyAny>) -> PyResult<B256> {
    let raw = bytes(field, value)?;
    B256::try_from(raw.as_ref()).or_else(|_| refuse(field, "32 bytes"))
}

/// 20 bytes, from bytes or a `0x` string.
pub(crate) fn address(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Address> {
    let raw = bytes(field, value)?;
    Address::try_from(raw.as_ref()).or_else(|_| refuse(field, "an address of 20 bytes"))
}

/// 32 bytes of an argument that is no field of a transaction.
pub(crate) fn digest(name: &str, raw: &[u8]) -> PyResult<B256> {
    B256::try_from(raw)
        .map_err(|_| pyo3::exceptions::PyValueError::new_err(format!("{name} must be 32 bytes, not {}", raw.len())))
}
