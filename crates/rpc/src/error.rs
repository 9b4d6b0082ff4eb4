//! The one place where an error becomes a JSON-RPC code and text.

use candela_primitives::{B256, StateError};

/// A JSON-RPC error object; codes and texts are go-ethereum's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// `error.code`.
    pub code: i64,
    /// `error.message`.
    pub message: String,
    /// `error.data`, a hex string.
    pub data: Option<String>,
}

impl RpcError {
    /// An error that belongs to no class of its own (-32000).
    pub fn server(message: impl Into<String>) -> Self {
        Self::new(-32000, message)
    }

    /// The body is not JSON (-32700).
    pub fn parse(message: impl Into<String>) -> Self {
        Self::new(-32700, message)
    }

    /// JSON, but no JSON-RPC request (-32600).
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(-32600, message)
    }

    /// No such method (-32601).
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        Self::new(-32601, format!("the method {method} does not exist/is not available"))
    }

    /// Subscriptions on a connection that can't carry news (-32601).
    #[must_use]
    pub fn notifications_unsupported() -> Self {
        Self::new(-32601, "notifications not supported")
    }

    /// Parameters that do not fit the method (-32602).
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// A fault of ours (-32603).
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(-32603, message)
    }

    /// The answer is larger than allowed (-32003).
    #[must_use]
    pub fn response_too_large() -> Self {
        Self::new(-32003, "response too large")
    }

    /// The client asks for more than it may (-32005, EIP-1474).
    pub fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new(-32005, message)
    }

    /// A block from before the first one that the node has (4444, EIP-4444 as go-ethereum answers).
    pub fn pruned(message: impl Into<String>) -> Self {
        Self::new(4444, message)
    }

    /// A call reverted; `output` is what it returned (3).
    #[must_use]
    pub fn reverted(output: &[u8]) -> Self {
        let message = match crate::revert::reason(output) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        Self { code: 3, message, data: Some(alloy_primitives::hex::encode_prefixed(output)) }
    }

    /// A submitted transaction was not final in time (4, EIP-7966).
    #[must_use]
    pub fn sync_timeout(hash: B256, seconds: f64) -> Self {
        let message = format!("The transaction was added to the transaction pool but wasn't processed in {seconds}s");
        Self { code: 4, message, data: Some(hash.to_string()) }
    }

    fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}

impl From<StateError> for RpcError {
    fn from(error: StateError) -> Self {
        Self::internal(error.to_string())
    }
}
