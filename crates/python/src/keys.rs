//! Hash, sign and recover.

use crate::convert;
use crate::errors::{InvalidKeyError, InvalidSignatureError, InvalidTransactionError};
use crate::fields;
use alloy_primitives::Signature;
use candela_signing::{SecretKey, SessionKey};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

pub(crate) fn key(secret: &[u8]) -> PyResult<SecretKey> {
    SecretKey::from_bytes(secret).map_err(|error| InvalidKeyError::new_err(error.to_string()))
}

/// Keccak-256 of `data`: 32 bytes.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub(crate) fn keccak256<'py>(py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, candela_primitives::keccak256(data).as_slice())
}

/// The checksummed address of a secret key of 32 bytes.
#[pyfunction]
#[pyo3(signature = (secret, /))]
pub(crate) fn address_of(secret: &[u8]) -> PyResult<String> {
    Ok(key(secret)?.address().to_string())
}

/// Signs the transaction that `fields` describes: `(raw bytes, 0x hash)`.
#[pyfunction]
#[pyo3(signature = (fields, secret, /))]
pub(crate) fn sign_transaction<'py>(
    py: Python<'py>,
    fields: &Bound<'py, PyDict>,
    secret: &[u8],
) -> PyResult<(Bound<'py, PyBytes>, String)> {
    let key = key(secret)?;
    let unsigned = fields::read(fields, key.address())?;
    let signed = py
        .detach(|| candela_signing::sign_transaction(unsigned, &key))
        .map_err(|error| InvalidTransactionError::new_err(error.to_string()))?;
    Ok((PyBytes::new(py, signed.encoded()), signed.hash().to_string()))
}

fn session_key(seed: &[u8]) -> PyResult<SessionKey> {
    let seed =
        seed.try_into().map_err(|_| InvalidKeyError::new_err("not the seed of a session key: it must be 32 bytes"))?;
    Ok(SessionKey::from_seed(seed))
}

/// The Ed25519 public key of a session key's seed of 32 bytes: 32 bytes.
#[pyfunction]
#[pyo3(signature = (seed, /))]
pub(crate) fn session_key_of<'py>(py: Python<'py>, seed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, session_key(seed)?.public().as_slice()))
}

/// Signs the transaction of type 0x50 that `fields` describes for `from`: `(raw bytes, 0x hash)`.
#[pyfunction]
#[pyo3(signature = (fields, seed, /))]
pub(crate) fn sign_session_transaction<'py>(
    py: Python<'py>,
    fields: &Bound<'py, PyDict>,
    seed: &[u8],
) -> PyResult<(Bound<'py, PyBytes>, String)> {
    let (key, unsigned) = (session_key(seed)?, fields::read_session(fields)?);
    let signed = py.detach(|| candela_signing::sign_session(unsigned, &key));
    Ok((PyBytes::new(py, signed.encoded()), signed.hash().to_string()))
}

/// Signs a digest of 32 bytes: r, s and v (27 or 28), 65 bytes.
#[pyfunction]
#[pyo3(signature = (digest, secret, /))]
pub(crate) fn sign_message<'py>(py: Python<'py>, digest: &[u8], secret: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let (key, digest) = (key(secret)?, convert::digest("digest", digest)?);
    let signature = py.detach(|| key.sign_digest(&digest));
    Ok(PyBytes::new(py, &signature.as_bytes()))
}

/// The checksummed address that made `signature` (65 bytes, low s) over `digest`.
#[pyfunction]
#[pyo3(signature = (digest, signature, /))]
pub(crate) fn recover(py: Python<'_>, digest: &[u8], signature: &[u8]) -> PyResult<String> {
    let digest = convert::digest("digest", digest)?;
    let signature =
        Signature::from_raw(signature).map_err(|error| InvalidSignatureError::new_err(error.to_string()))?;
    if signature.normalize_s().is_some() {
        return Err(InvalidSignatureError::new_err("s is in the upper half of the curve order"));
    }
    py.detach(|| signature.recover_address_from_prehash(&digest))
        .map(|address| address.to_string())
        .map_err(|error| InvalidSignatureError::new_err(error.to_string()))
}
