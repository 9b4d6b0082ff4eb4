//! Start and stop a node inside a Python process.

use crate::errors::{InvalidKeyError, InvalidTransactionError, NodeError, node_error};
use candela_node::Config;
use candela_primitives::Bytes;
use candela_signing::{SigningError, split_transactions};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A node with one validator on threads of its own; `config_json` is described in `candela/_ledger.pyi`.
#[pyclass(frozen, module = "candela._ledger")]
pub(crate) struct Node {
    config: Config,
    key: Option<[u8; 32]>,
    running: Mutex<Option<candela_node::Node>>,
}

impl Node {
    fn running(&self) -> MutexGuard<'_, Option<candela_node::Node>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Node {
    #[new]
    #[pyo3(signature = (config_json, key=None, /))]
    fn new(py: Python<'_>, config_json: &str, key: Option<&[u8]>) -> PyResult<Self> {
        let config = Config::from_json(config_json).map_err(|error| node_error(py, &error))?;
        let key = key.map(<[u8; 32]>::try_from).transpose();
        let key = key.map_err(|_| InvalidKeyError::new_err("a key to vote with must be 32 bytes"))?;
        Ok(Self { config, key, running: Mutex::new(None) })
    }

    /// Opens the data directory and serves: `{"http": url, "ws": url}`.
    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let started = py.detach(|| {
            let mut running = self.running();
            if running.is_some() {
                return Ok(None);
            }
            let node = candela_node::Node::start(&self.config, self.key)?;
            let address = node.rpc_address();
            *running = Some(node);
            Ok(Some(address))
        });
        let Some(address) = started.map_err(|error| node_error(py, &error))? else {
            return Err(NodeError::new_err("the node is running already"));
        };
        let endpoints = PyDict::new(py);
        endpoints.set_item("http", format!("http://{address}"))?;
        endpoints.set_item("ws", format!("ws://{address}"))?;
        Ok(endpoints)
    }

    /// Stops the node and closes its files; does nothing when it is not running. Raises what had ended it before.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.running().take().map_or(Ok(()), candela_node::Node::stop))
            .map_err(|error| node_error(py, &error))
    }

    /// Puts concatenated RLP transactions, as in block bodies, into the pool: how many were taken, and the rest as
    /// (place, reason). Other Python threads run meanwhile.
    #[pyo3(signature = (transactions, /))]
    fn submit(&self, py: Python<'_>, transactions: &[u8]) -> PyResult<(usize, Vec<(usize, String)>)> {
        let raw = Bytes::copy_from_slice(transactions);
        let results = py.detach(|| {
            let split = split_transactions(&raw, usize::MAX)?;
            Ok(self.running().as_ref().map(|node| node.ledger().clone()).map(|ledger| ledger.submit_batch(split)))
        });
        let results = results.map_err(|error: SigningError| InvalidTransactionError::new_err(error.to_string()))?;
        let Some(results) = results else { return Err(NodeError::new_err("the node is not running")) };
        let taken = results.iter().filter(|result| result.is_ok()).count();
        let refused = results.into_iter().enumerate();
        let refused = refused.filter_map(|(place, result)| Some((place, result.err()?.to_string()))).collect();
        Ok((taken, refused))
    }

    /// Why the node ended by itself, or `None`.
    fn failure(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| self.running().as_ref()?.failure().map(|error| error.to_string()))
    }
}

/// The hash of block 0 of a genesis in JSON: 32 bytes.
#[pyfunction]
#[pyo3(signature = (genesis_json, /))]
pub(crate) fn genesis_hash<'py>(py: Python<'py>, genesis_json: &str) -> PyResult<Bound<'py, PyBytes>> {
    let hash = py.detach(|| candela_node::genesis_hash(genesis_json)).map_err(|error| node_error(py, &error))?;
    Ok(PyBytes::new(py, hash.as_slice()))
}
