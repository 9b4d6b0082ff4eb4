//! Expose the node, keys and codecs to Python as candela._ledger.
//!
//! Conversions, errors and the release of the interpreter lock live here; rules do not.

#![allow(unsafe_code, reason = "PyO3's macros generate it; none is written by hand")]

mod convert;
mod decode;
mod errors;
mod fields;
mod header;
mod keys;
mod merkle;
mod node;
mod sync;

#[pyo3::pymodule]
mod _ledger {
    #[pymodule_export]
    use crate::decode::decode_transaction;
    #[pymodule_export]
    use crate::errors::{
        FalseStateError, InvalidHeaderError, InvalidKeyError, InvalidSignatureError, InvalidTransactionError, NodeError,
    };
    #[pymodule_export]
    use crate::header::{decode_header, header_hash};
    #[pymodule_export]
    use crate::keys::{
        address_of, keccak256, recover, session_key_of, sign_message, sign_session_transaction, sign_transaction,
    };
    #[pymodule_export]
    use crate::merkle::{merkle_proof, merkle_root, merkle_verify};
    #[pymodule_export]
    use crate::node::{Node, genesis_hash};
    #[pymodule_export]
    use crate::sync::StateSync;
}
