//! Positional parameters, read in order, refused in go-ethereum's words.

use crate::RpcError;
use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Map, Value};

/// A parameter type.
pub(crate) trait Argument: Sized {
    /// Reads a JSON value; the error is what follows `invalid argument N: `.
    fn read(value: Value) -> Result<Self, String>;
}

/// The parameters of one call.
#[derive(Debug)]
pub(crate) struct Params {
    values: std::vec::IntoIter<Value>,
    next: usize,
}

impl Params {
    /// Takes `params` as sent: missing, null or an array of at most `most` values.
    pub(crate) fn new(params: Option<Value>, most: usize) -> Result<Self, RpcError> {
        let values = match params {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(RpcError::invalid_params("non-array args")),
        };
        if values.len() > most {
            return Err(RpcError::invalid_params(format!("too many arguments, want at most {most}")));
        }
        Ok(Self { values: values.into_iter(), next: 0 })
    }

    /// The next parameter, which must be there.
    pub(crate) fn required<T: Argument>(&mut self) -> Result<T, RpcError> {
        let index = self.next;
        self.optional()?.ok_or_else(|| RpcError::invalid_params(format!("missing value for required argument {index}")))
    }

    /// The next parameter, which may be absent or null.
    pub(crate) fn optional<T: Argument>(&mut self) -> Result<Option<T>, RpcError> {
        let index = self.next;
        self.next += 1;
        match self.values.next() {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match T::read(value) {
                Ok(argument) => Ok(Some(argument)),
                Err(reason) => Err(RpcError::invalid_params(format!("invalid argument {index}: {reason}"))),
            },
        }
    }
}

/// The text of Go's `json.UnmarshalTypeError`.
pub(crate) fn unmarshal(value: &Value, kind: &str) -> String {
    let have = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {have} into Go value of type {kind}")
}

/// The members of an object, or the error of a decoder that wanted `kind`.
pub(crate) fn fields(value: Value, kind: &str) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(unmarshal(&other, kind)),
    }
}

impl Argument for bool {
    fn read(value: Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| unmarshal(&value, "bool"))
    }
}

impl Argument for String {
    fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(unmarshal(&other, "string")),
        }
    }
}

impl Argument for Address {
    fn read(value: Value) -> Result<Self, String> {
        super::fixed(&value, "common.Address").map(Self::from).map_err(|error| error.to_string())
    }
}

impl Argument for B256 {
    fn read(value: Value) -> Result<Self, String> {
        super::fixed(&value, "common.Hash").map(Self::from).map_err(|error| error.to_string())
    }
}

impl Argument for Bytes {
    fn read(value: Value) -> Result<Self, String> {
        super::data(&value, "hexutil.Bytes").map_err(|error| error.to_string())
    }
}

impl Argument for U256 {
    fn read(value: Value) -> Result<Self, String> {
        super::quantity_u256(&value, "*hexutil.Big").map_err(|error| error.to_string())
    }
}

impl Argument for u64 {
    fn read(value: Value) -> Result<Self, String> {
        let kind = "hexutil.Uint64";
        let text = value.as_str().ok_or(super::HexError::Unmarshal { reason: "non-string", kind });
        text.and_then(|text| super::quantity_u64(text).map_err(|reason| super::HexError::Unmarshal { reason, kind }))
            .map_err(|error| error.to_string())
    }
}

impl Argument for Vec<f64> {
    fn read(value: Value) -> Result<Self, String> {
        let Value::Array(values) = value else {
            return Err(unmarshal(&value, "[]float64"));
        };
        values.iter().map(|value| value.as_f64().ok_or_else(|| unmarshal(value, "float64"))).collect()
    }
}

impl Argument for Vec<String> {
    fn read(value: Value) -> Result<Self, String> {
        let Value::Array(values) = value else {
            return Err(unmarshal(&value, "[]string"));
        };
        values.into_iter().map(String::read).collect()
    }
}

impl Argument for super::BlockCount {
    fn read(value: Value) -> Result<Self, String> {
        Self::read(&value).ok_or_else(|| format!("invalid hex or decimal integer {value}"))
    }
}

impl Argument for Value {
    fn read(value: Value) -> Result<Self, String> {
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message<T: std::fmt::Debug>(result: Result<T, RpcError>) -> String {
        match result {
            Ok(value) => format!("accepted {value:?}"),
            Err(error) => {
                assert_eq!(error.code, -32602);
                error.message
            }
        }
    }

    #[test]
    fn missing_null_and_empty_parameters_are_the_same() {
        for params in [None, Some(Value::Null), Some(json!([])), Some(json!([null]))] {
            let mut params = Params::new(params, 1).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(message(params.required::<bool>()), "missing value for required argument 0");
        }
    }

    #[test]
    fn surplus_and_misplaced_parameters_are_named() {
        assert_eq!(message(Params::new(Some(json!([1, 2])), 1)), "too many arguments, want at most 1");
        assert_eq!(message(Params::new(Some(json!({})), 1)), "non-array args");
        let mut params = Params::new(Some(json!([true, "0x0"])), 2).unwrap_or_else(|error| panic!("{error}"));
        assert!(params.required::<bool>().is_ok());
        assert_eq!(
            message(params.required::<bool>()),
            "invalid argument 1: json: cannot unmarshal string into Go value of type bool"
        );
    }
}
