//! Hex strings of the Ethereum RPC encoding, with go-ethereum's words for what is wrong with one.

use alloy_primitives::{Bytes, U256};
use serde_json::Value;

/// Why a JSON value is not the hex string that was expected. `Display` is what follows `invalid argument N: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HexError {
    /// Wrapped by Go's JSON decoder.
    #[error("json: cannot unmarshal {reason} into Go value of type {kind}")]
    Unmarshal { reason: &'static str, kind: &'static str },
    /// Right syntax, wrong length.
    #[error("hex string has length {have}, want {want} for {kind}")]
    Length { have: usize, want: usize, kind: &'static str },
}

fn text<'a>(value: &'a Value, kind: &'static str) -> Result<&'a str, HexError> {
    value.as_str().ok_or(HexError::Unmarshal { reason: "non-string", kind })
}

fn digits<'a>(text: &'a str, kind: &'static str) -> Result<&'a str, HexError> {
    if text.is_empty() {
        return Ok(text);
    }
    text.strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .ok_or(HexError::Unmarshal { reason: "hex string without 0x prefix", kind })
}

fn number(text: &str) -> Result<U256, &'static str> {
    if text.is_empty() {
        return Err("empty hex string");
    }
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).ok_or("hex string without 0x prefix")?;
    match digits.as_bytes() {
        [] => return Err("hex string \"0x\""),
        [b'0', _, ..] => return Err("hex number with leading zero digits"),
        _ => {}
    }
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("invalid hex string");
    }
    if digits.len() > 64 {
        return Err("hex number > 256 bits");
    }
    U256::from_str_radix(digits, 16).map_err(|_| "invalid hex string")
}

/// `hexutil.DecodeUint64`.
pub(crate) fn quantity_u64(text: &str) -> Result<u64, &'static str> {
    match number(text) {
        Ok(value) => u64::try_from(value).map_err(|_| "hex number > 64 bits"),
        Err("hex number > 256 bits") => Err("hex number > 64 bits"),
        Err(reason) => Err(reason),
    }
}

/// A number of up to 256 bits, `kind` being the Go type to blame.
pub(crate) fn quantity_u256(value: &Value, kind: &'static str) -> Result<U256, HexError> {
    number(text(value, kind)?).map_err(|reason| HexError::Unmarshal { reason, kind })
}

/// `hexutil.Decode`: bytes of any length, not empty text.
pub(crate) fn hex_bytes(text: &str) -> Result<Bytes, &'static str> {
    if text.is_empty() {
        return Err("empty hex string");
    }
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).ok_or("hex string without 0x prefix")?;
    if digits.len() % 2 == 1 {
        return Err("hex string of odd length");
    }
    alloy_primitives::hex::decode(digits).map(Bytes::from).map_err(|_| "invalid hex string")
}

/// Bytes of any length.
pub(crate) fn data(value: &Value, kind: &'static str) -> Result<Bytes, HexError> {
    match text(value, kind)? {
        "" => Ok(Bytes::new()),
        text => hex_bytes(text).map_err(|reason| HexError::Unmarshal { reason, kind }),
    }
}

/// Exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(value: &Value, kind: &'static str) -> Result<[u8; N], HexError> {
    let digits = digits(text(value, kind)?, kind)?;
    if digits.len() % 2 == 1 {
        return Err(HexError::Unmarshal { reason: "hex string of odd length", kind });
    }
    if digits.len() != 2 * N {
        return Err(HexError::Length { have: digits.len(), want: 2 * N, kind });
    }
    let mut out = [0; N];
    match alloy_primitives::hex::decode_to_slice(digits, &mut out) {
        Ok(()) => Ok(out),
        Err(_) => Err(HexError::Unmarshal { reason: "invalid hex string", kind }),
    }
}

/// `math.HexOrDecimal64`: a JSON number, a decimal or a hex string.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockCount(pub(crate) u64);

impl BlockCount {
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let parsed = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if text.is_empty() => Some(0),
            Value::String(text) => match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                Some(digits) => u64::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            },
            _ => None,
        };
        parsed.map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_refused_in_geths_words() {
        let cases = [
            ("", "empty hex string"),
            ("12", "hex string without 0x prefix"),
            ("0x", "hex string \"0x\""),
            ("0x01", "hex number with leading zero digits"),
            ("0xg", "invalid hex string"),
            ("0x10000000000000000", "hex number > 64 bits"),
        ];
        for (text, reason) in cases {
            assert_eq!(quantity_u64(text), Err(reason), "{text}");
        }
        assert_eq!(quantity_u64("0x0"), Ok(0));
        assert_eq!(quantity_u64("0xffffffffffffffff"), Ok(u64::MAX));
    }

    #[test]
    fn fixed_bytes_are_refused_in_geths_words() {
        let message = |value| match fixed::<20>(&value, "common.Address") {
            Err(error) => error.to_string(),
            Ok(_) => "accepted".to_owned(),
        };
        assert_eq!(message(json!("0x12")), "hex string has length 2, want 40 for common.Address");
        assert_eq!(message(json!(1)), "json: cannot unmarshal non-string into Go value of type common.Address");
        assert_eq!(
            message(json!("0x1")),
            "json: cannot unmarshal hex string of odd length into Go value of type common.Address"
        );
    }
}
