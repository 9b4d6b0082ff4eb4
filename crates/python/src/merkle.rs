//! Build and check Merkle trees over transactions and receipts.

use crate::convert;
use candela_primitives::{B256, merkle};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

fn hashes(leaves: &[Vec<u8>]) -> Vec<B256> {
    leaves.iter().map(|bytes| merkle::leaf(bytes)).collect()
}

/// Root over the encoded transactions or receipts `leaves`, in order: 32 bytes.
#[pyfunction]
#[pyo3(signature = (leaves, /))]
pub(crate) fn merkle_root<'py>(py: Python<'py>, leaves: Vec<Vec<u8>>) -> Bound<'py, PyBytes> {
    let root = py.detach(|| merkle::root(&hashes(&leaves)));
    PyBytes::new(py, root.as_slice())
}

/// The siblings of leaf `index` from the bottom up, 32 bytes each.
#[pyfunction]
#[pyo3(signature = (leaves, index, /))]
pub(crate) fn merkle_proof<'py>(
    py: Python<'py>,
    leaves: Vec<Vec<u8>>,
    index: usize,
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let siblings = py
        .detach(|| merkle::prove(&hashes(&leaves), index))
        .ok_or_else(|| PyIndexError::new_err(format!("there is no leaf {index} among {}", leaves.len())))?;
    Ok(siblings.iter().map(|sibling| PyBytes::new(py, sibling.as_slice())).collect())
}

/// Whether `siblings` lead from the encoded `leaf` at `index` of `count` leaves to `root`.
#[pyfunction]
#[pyo3(signature = (root, leaf, index, count, siblings, /))]
pub(crate) fn merkle_verify(
    root: &[u8],
    leaf: &[u8],
    index: usize,
    count: usize,
    siblings: Vec<Vec<u8>>,
) -> PyResult<bool> {
    let root = convert::digest("root", root)?;
    let siblings = siblings.iter().map(|sibling| convert::digest("sibling", sibling)).collect::<PyResult<Vec<_>>>()?;
    Ok(merkle::verify(&root, &merkle::leaf(leaf), index, count, &siblings))
}
