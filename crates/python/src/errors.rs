//! Name the Python exceptions and turn Rust errors into them.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;

create_exception!(candela._ledger, NodeError, PyException, "A node could not start or had to stop; `code` names why.");
create_exception!(candela._ledger, InvalidKeyError, PyValueError, "The bytes are not a secret key.");
create_exception!(
    candela._ledger,
    InvalidSignatureError,
    PyValueError,
    "The bytes are not a signature, or it is nobody's."
);
create_exception!(candela._ledger, InvalidTransactionError, PyValueError, "The fields or bytes are not a transaction.");
create_exception!(candela._ledger, FalseStateError, PyValueError, "What another node tells of the state is not so.");
create_exception!(candela._ledger, InvalidHeaderError, PyValueError, "The bytes are not a block header.");

/// The exception for a node's error, with its stable name as `code`.
pub(crate) fn node_error(py: Python<'_>, error: &candela_node::NodeError) -> PyErr {
    let exception = NodeError::new_err(error.to_string());
    match exception.value(py).setattr("code", error.code()) {
        Ok(()) => exception,
        Err(failure) => failure,
    }
}
