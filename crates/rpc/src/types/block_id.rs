//! Which block a caller means.

use crate::protocol::{Argument, fields, fixed, quantity_u64, unmarshal};
use candela_primitives::B256;
use serde_json::Value;

/// A height, a hash, or a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockId {
    /// The newest block; `safe` and `finalized` are the same one.
    Latest,
    /// The newest block with the pending transactions on top.
    Pending,
    /// Block 0.
    Earliest,
    /// By height.
    Number(u64),
    /// By hash (EIP-1898).
    Hash(B256),
}

fn by_name(text: &str) -> Result<BlockId, String> {
    match text {
        "latest" | "safe" | "finalized" => Ok(BlockId::Latest),
        "pending" => Ok(BlockId::Pending),
        "earliest" => Ok(BlockId::Earliest),
        number => quantity_u64(number).map(BlockId::Number).map_err(str::to_owned),
    }
}

impl Argument for BlockId {
    fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) if text.len() == 66 => fixed(&Value::String(text), "common.Hash")
                .map(|hash| Self::Hash(hash.into()))
                .map_err(|error| error.to_string()),
            Value::String(text) => by_name(&text),
            Value::Object(_) => {
                let mut fields = fields(value, "rpc.BlockNumberOrHash")?;
                match (fields.remove("blockHash"), fields.remove("blockNumber")) {
                    (Some(_), Some(_)) => {
                        Err("cannot specify both BlockHash and BlockNumber, choose one or the other".to_owned())
                    }
                    (Some(hash), None) => B256::read(hash).map(Self::Hash),
                    (None, Some(Value::String(text))) => by_name(&text),
                    _ => Err("must specify either BlockHash or BlockNumber".to_owned()),
                }
            }
            other => Err(unmarshal(&other, "string")),
        }
    }
}

/// A block by height or name, where a hash is not taken.
pub(crate) struct BlockNumber(pub(crate) BlockId);

impl Argument for BlockNumber {
    fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => by_name(&text).map(Self),
            other => Err(unmarshal(&other, "string")),
        }
    }
}
