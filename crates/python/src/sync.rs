//! Fill a node's folder with a state that others give.

use crate::errors::{FalseStateError, NodeError, node_error};
use candela_node::{SyncError, ToldBlock};
use candela_primitives::{B256, Bytes, StateError};
use candela_state::ImportError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A block as another node tells it: header, transactions, receipts, certificate.
type Told = (Vec<u8>, Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<u8>);

/// A node's folder on its way to a state; the arguments are described in `candela/_ledger.pyi`.
#[pyclass(frozen, module = "candela._ledger")]
pub(crate) struct StateSync(Mutex<Option<candela_node::StateSync>>);

fn store_failed(error: StateError) -> PyErr {
    NodeError::new_err(error.to_string())
}

fn import_error(error: ImportError) -> PyErr {
    match error {
        ImportError::False(_) => FalseStateError::new_err(error.to_string()),
        ImportError::Store(error) => store_failed(error),
    }
}

impl StateSync {
    fn open(&self) -> MutexGuard<'_, Option<candela_node::StateSync>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut candela_node::StateSync) -> T + Send,
    ) -> PyResult<T> {
        py.detach(|| self.open().as_mut().map(work)).ok_or_else(closed)
    }
}

fn closed() -> PyErr {
    NodeError::new_err("the sync has ended")
}

#[pymethods]
impl StateSync {
    #[new]
    #[pyo3(signature = (directory, genesis_json, header, threads, /))]
    fn new(py: Python<'_>, directory: PathBuf, genesis_json: &str, header: &[u8], threads: usize) -> PyResult<Self> {
        let opened = py.detach(|| candela_node::StateSync::open(&directory, genesis_json, header, threads));
        Ok(Self(Mutex::new(Some(opened.map_err(|error| node_error(py, &error))?))))
    }

    /// The last key that is here; the next chunk begins after it.
    fn after<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let row = self.with(py, |sync| sync.after().map(|key| key.to_row()))?;
        Ok(PyBytes::new(py, &row.unwrap_or_default()))
    }

    /// Takes the next chunk: how many rows it has, none at the end.
    #[pyo3(signature = (chunk, /))]
    fn add(&self, py: Python<'_>, chunk: &[u8]) -> PyResult<usize> {
        self.with(py, |sync| sync.add(chunk))?.map_err(import_error)
    }

    /// Code that is missing: (hash, an account that has it).
    fn missing_codes<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyBytes>, String)>> {
        let missing = self.with(py, |sync| sync.missing_codes())?.map_err(store_failed)?;
        Ok(missing.iter().map(|(hash, holder)| (PyBytes::new(py, hash.as_slice()), holder.to_string())).collect())
    }

    /// Takes code with its hashes.
    #[pyo3(signature = (codes, /))]
    fn add_codes(&self, py: Python<'_>, codes: Vec<([u8; 32], Vec<u8>)>) -> PyResult<()> {
        let codes: Vec<_> = codes.into_iter().map(|(hash, code)| (B256::from(hash), code)).collect();
        self.with(py, |sync| sync.add_codes(&codes))?.map_err(import_error)
    }

    /// Makes the folder one that a node starts from, and ends the sync either way.
    #[pyo3(signature = (blocks, ancestors, /))]
    fn finish(&self, py: Python<'_>, blocks: Vec<Told>, ancestors: Vec<Vec<u8>>) -> PyResult<()> {
        let all = |encoded: Vec<Vec<u8>>| encoded.into_iter().map(Bytes::from).collect();
        let blocks = blocks.into_iter().map(|(header, transactions, receipts, certificate)| ToldBlock {
            header,
            transactions: all(transactions),
            receipts: all(receipts),
            certificate: certificate.into(),
        });
        let blocks = blocks.collect();
        let finished = py.detach(|| self.open().take().map(|sync| sync.finish(blocks, &ancestors)));
        finished.ok_or_else(closed)?.map_err(|error| match error {
            SyncError::Import(error) => import_error(error),
            SyncError::Node(error) => node_error(py, &error),
        })
    }

    /// Ends the sync; the folder stays as it is.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.open().take()));
    }
}
