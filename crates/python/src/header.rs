//! Hash and show Candela's block headers.

use crate::decode::int;
use crate::errors::InvalidHeaderError;
use alloy_rlp::Decodable;
use candela_primitives::{Header, ShardHeader};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

fn read(mut raw: &[u8]) -> PyResult<Header> {
    let header =
        Header::decode(&mut raw).map_err(|error| InvalidHeaderError::new_err(format!("not a header: {error}")))?;
    if raw.is_empty() { Ok(header) } else { Err(InvalidHeaderError::new_err("bytes follow the header")) }
}

/// The block hash of an encoded header, which has to be canonical: 32 bytes.
#[pyfunction]
#[pyo3(signature = (header, /))]
pub(crate) fn header_hash<'py>(py: Python<'py>, header: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, read(header)?.hash().as_slice()))
}

/// The fields of an encoded header, under the names of the Rust type.
#[pyfunction]
#[pyo3(signature = (header, /))]
pub(crate) fn decode_header<'py>(py: Python<'py>, header: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let header = read(header)?;
    let dict = PyDict::new(py);
    dict.set_item("hash", header.hash().to_string())?;
    dict.set_item("version", header.version)?;
    dict.set_item("parameters_version", header.parameters_version)?;
    dict.set_item("parent_hash", header.parent_hash.to_string())?;
    dict.set_item("number", header.number)?;
    dict.set_item("timestamp_ms", header.timestamp_ms)?;
    dict.set_item("proposer", header.proposer.to_string())?;
    dict.set_item("prevrandao", header.prevrandao.to_string())?;
    dict.set_item("gas_limit", header.gas_limit)?;
    dict.set_item("logs_bloom", PyBytes::new(py, header.logs_bloom.as_slice()))?;
    dict.set_item("extra_data", PyBytes::new(py, &header.extra_data))?;
    let shards = header.shards.iter().map(|shard| shard_dict(py, shard)).collect::<PyResult<Vec<_>>>()?;
    dict.set_item("shards", PyList::new(py, shards)?)?;
    Ok(dict)
}

fn shard_dict<'py>(py: Python<'py>, shard: &ShardHeader) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("state_root", shard.state_root.to_string())?;
    dict.set_item("transactions_root", shard.transactions_root.to_string())?;
    dict.set_item("receipts_root", shard.receipts_root.to_string())?;
    dict.set_item("outbox_root", shard.outbox_root.to_string())?;
    dict.set_item("inbound_cursors", shard.inbound_cursors.clone())?;
    dict.set_item("gas_used", shard.gas_used)?;
    dict.set_item("base_fee_per_gas", shard.base_fee_per_gas)?;
    dict.set_item("congestion_ppm", shard.congestion_ppm)?;
    dict.set_item("supply", int(py, shard.supply)?)?;
    dict.set_item("in_flight", int(py, shard.in_flight)?)?;
    dict.set_item("access_list_hash", shard.access_list_hash.to_string())?;
    Ok(dict)
}
