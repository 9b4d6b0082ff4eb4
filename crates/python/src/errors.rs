//! Name the Python exceptions and turn Rust errors into them.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};

create_exception!(candela._ledger, LedgerError, PyException, "Base of the errors of the node.");
create_exception!(candela._ledger, InvalidKey, PyValueError, "The bytes are not a secp256k1 secret key.");
create_exception!(candela._ledger, InvalidSignature, PyValueError, "The bytes are not a signature, or it is nobody's.");
create_exception!(candela._ledger, InvalidTransaction, PyValueError, "The fields or bytes are not a transaction.");
create_exception!(candela._ledger, InvalidHeader, PyValueError, "The bytes are not a block header.");
