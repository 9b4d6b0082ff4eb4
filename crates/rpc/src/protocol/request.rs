//! Requests as they come in: one, or a batch.

use crate::{Limits, RpcError};
use serde_json::{Map, Value};

const METHOD_NAME_LENGTH: usize = 2_048;

/// The `id` to answer to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Id {
    /// None was sent: a notification, which gets no answer.
    Absent,
    /// A string, a number, a boolean or null, echoed as it came.
    Present(Value),
}

impl Id {
    /// What stands in an answer.
    pub(crate) fn or_null(self) -> Value {
        match self {
            Self::Absent => Value::Null,
            Self::Present(value) => value,
        }
    }
}

/// One well-formed request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: Id,
    pub(crate) method: String,
    pub(crate) params: Option<Value>,
}

/// A request, or the id and the error to answer what is none.
pub(crate) type Member = Result<Call, (Value, RpcError)>;

/// What one body or WebSocket message holds; a malformed member of a batch spoils only itself.
#[derive(Debug)]
pub(crate) enum Incoming {
    One(Member),
    Batch(Vec<Member>),
}

impl Incoming {
    /// Parses `bytes` within `limits`.
    ///
    /// # Errors
    /// When there is nothing to answer member by member: the id of the answer and the error.
    pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, (Value, RpcError)> {
        super::check_budget(bytes, limits.depth, limits.nodes).map_err(|error| (Value::Null, error))?;
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| (Value::Null, RpcError::parse(format!("parse error: {error}"))))?;
        match value {
            Value::Array(members) if members.is_empty() => Err((Value::Null, RpcError::invalid_request("empty batch"))),
            Value::Array(members) if members.len() > limits.batch_requests => {
                let id = members.into_iter().map(call).find_map(|call| match call.ok()?.id {
                    Id::Present(id) => Some(id),
                    Id::Absent => None,
                });
                Err((id.unwrap_or(Value::Null), RpcError::invalid_request("batch too large")))
            }
            Value::Array(members) => Ok(Self::Batch(members.into_iter().map(call).collect())),
            one => Ok(Self::One(call(one))),
        }
    }

    /// Requests in it.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Batch(members) => members.len(),
        }
    }
}

/// How many requests the bytes of a body or message hold, well-formed or not.
///
/// # Errors
/// When they exceed the limits or are no requests at all.
pub fn count_requests(bytes: &[u8], limits: &Limits) -> Result<usize, RpcError> {
    Incoming::parse(bytes, limits).map(|incoming| incoming.len()).map_err(|(_, error)| error)
}

fn call(value: Value) -> Member {
    let Value::Object(mut fields) = value else {
        return Err((Value::Null, RpcError::invalid_request("invalid request")));
    };
    let id = match fields.remove("id") {
        None => Id::Absent,
        Some(Value::Array(_) | Value::Object(_)) => {
            return Err((Value::Null, RpcError::invalid_request("invalid request")));
        }
        Some(value) => Id::Present(value),
    };
    match method(&mut fields) {
        Ok(method) => Ok(Call { id, method, params: fields.remove("params") }),
        Err(error) => Err((id.or_null(), error)),
    }
}

fn method(fields: &mut Map<String, Value>) -> Result<String, RpcError> {
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(RpcError::invalid_request("invalid request"));
    }
    match fields.remove("method") {
        Some(Value::String(method)) if method.len() > METHOD_NAME_LENGTH => {
            Err(RpcError::invalid_request(format!("method name too long: {} > {METHOD_NAME_LENGTH}", method.len())))
        }
        Some(Value::String(method)) if !method.is_empty() => Ok(method),
        _ => Err(RpcError::invalid_request("invalid request")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<Incoming, (Value, RpcError)> {
        Incoming::parse(text.as_bytes(), &Limits { batch_requests: 2, ..Limits::default() })
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_id() {
        let cases = [
            ("1", json!(null)),
            (r#"{"id":7}"#, json!(7)),
            (r#"{"jsonrpc":"1.0","id":"a","method":"eth_chainId"}"#, json!("a")),
            (r#"{"jsonrpc":"2.0","id":[],"method":"eth_chainId"}"#, json!(null)),
            (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, json!(1)),
        ];
        for (text, id) in cases {
            match parse(text) {
                Ok(Incoming::One(Err((have, error)))) => {
                    assert_eq!((have, error.code, error.message.as_str()), (id, -32600, "invalid request"), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_json_and_what_is_no_batch_is_refused_whole() {
        assert!(matches!(parse("{"), Err((Value::Null, RpcError { code: -32700, .. }))));
        assert!(matches!(parse("[]"), Err((Value::Null, error)) if error.message == "empty batch"));
        let large = r#"[1,{"jsonrpc":"2.0","id":5,"method":"m"},3]"#;
        assert!(matches!(parse(large), Err((id, error)) if id == 5 && error.message == "batch too large"));
    }

    #[test]
    fn a_request_without_id_is_a_notification() {
        match parse(r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#) {
            Ok(Incoming::One(Ok(call))) => assert_eq!(call.id, Id::Absent),
            other => panic!("{other:?}"),
        }
    }
}
