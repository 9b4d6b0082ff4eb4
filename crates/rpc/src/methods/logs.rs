//! Events.

use crate::{
    RpcError,
    handler::Handler,
    protocol::{Argument, Json, Params, fields, hex_bytes, unmarshal},
    types::{self, BlockId},
};
use candela_archive::{ArchivedLog, LogFilter, LogLimits};
use candela_primitives::{Address, B256};
use serde_json::Value;
use std::ops::RangeInclusive;

const MOST_ADDRESSES: usize = 1_000;
const MOST_TOPICS: usize = 4;
const MOST_ALTERNATIVES: usize = 1_000;

/// `FilterCriteria` of go-ethereum.
#[derive(Clone, Debug)]
pub(crate) struct LogQuery {
    pub(crate) filter: LogFilter,
    pub(crate) block_hash: Option<B256>,
    pub(crate) from: Option<BlockId>,
    pub(crate) to: Option<BlockId>,
}

fn block_id(value: Option<Value>) -> Result<Option<BlockId>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => BlockId::read(value).map(Some),
    }
}

fn addresses(value: Option<Value>) -> Result<Vec<Address>, String> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() > MOST_ADDRESSES => {
            Err(format!("exceed max addresses or topics per search position: {MOST_ADDRESSES}"))
        }
        Some(Value::Array(values)) => {
            values.iter().enumerate().map(|(index, value)| address(value, Some(index))).collect()
        }
        Some(value) => address(&value, None).map(|address| vec![address]),
    }
}

fn address(value: &Value, index: Option<usize>) -> Result<Address, String> {
    let Some(text) = value.as_str() else {
        return Err(match index {
            Some(index) => format!("non-string address at index {index}"),
            None => "invalid addresses in query".to_owned(),
        });
    };
    exactly(text, "address").map(Address::new).map_err(|reason| match index {
        Some(index) => format!("invalid address at index {index}: {reason}"),
        None => format!("invalid address: {reason}"),
    })
}

fn topic(value: &Value) -> Result<B256, String> {
    exactly(value.as_str().ok_or("invalid topic(s)")?, "topic").map(B256::new)
}

fn exactly<const N: usize>(text: &str, name: &str) -> Result<[u8; N], String> {
    let bytes = hex_bytes(text).map_err(str::to_owned)?;
    let have = bytes.len();
    let wrong = |_| format!("hex has invalid length {have} after decoding; expected {N} for {name}");
    bytes.as_ref().try_into().map_err(wrong)
}

fn topics(value: Option<Value>) -> Result<Vec<Vec<B256>>, String> {
    let positions = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(positions)) => positions,
        Some(other) => return Err(unmarshal(&other, "[]interface {}")),
    };
    if positions.len() > MOST_TOPICS {
        return Err("exceed max topics".to_owned());
    }
    positions
        .into_iter()
        .map(|position| match position {
            Value::Null => Ok(Vec::new()),
            Value::Array(alternatives) if alternatives.len() > MOST_ALTERNATIVES => {
                Err(format!("exceed max addresses or topics per search position: {MOST_ALTERNATIVES}"))
            }
            // A null among alternatives matches anything.
            Value::Array(alternatives) if alternatives.iter().any(Value::is_null) => Ok(Vec::new()),
            Value::Array(alternatives) => alternatives.iter().map(topic).collect(),
            one => topic(&one).map(|topic| vec![topic]),
        })
        .collect()
}

impl Argument for LogQuery {
    fn read(value: Value) -> Result<Self, String> {
        let mut fields = fields(value, "filters.input")?;
        let block_hash = fields.remove("blockHash").filter(|hash| !hash.is_null()).map(B256::read).transpose()?;
        let (from, to) = (block_id(fields.remove("fromBlock"))?, block_id(fields.remove("toBlock"))?);
        if block_hash.is_some() && (from.is_some() || to.is_some()) {
            return Err("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other".to_owned());
        }
        let filter =
            LogFilter { addresses: addresses(fields.remove("address"))?, topics: topics(fields.remove("topics"))? };
        Ok(Self { filter, block_hash, from, to })
    }
}

fn height(id: Option<BlockId>, head: u64) -> u64 {
    match id {
        Some(BlockId::Number(number)) => number,
        Some(BlockId::Earliest) => 0,
        _ => head,
    }
}

impl LogQuery {
    /// Refuses what is asked of blocks that are not final.
    pub(crate) fn check(&self) -> Result<(), RpcError> {
        if self.from == Some(BlockId::Pending) || self.to == Some(BlockId::Pending) {
            return Err(RpcError::invalid_params("pending logs are not supported"));
        }
        Ok(())
    }

    /// The blocks that the query spans when the head is `head`.
    pub(crate) fn range(&self, head: u64) -> RangeInclusive<u64> {
        height(self.from, head)..=height(self.to, head)
    }
}

pub(super) fn search(
    handler: &Handler,
    filter: &LogFilter,
    range: RangeInclusive<u64>,
) -> Result<Vec<ArchivedLog>, RpcError> {
    let limits = LogLimits { blocks: handler.limits.log_blocks, logs: handler.limits.logs };
    Ok(handler.context.archive.logs(range, filter, limits)?)
}

pub(super) fn render(logs: &[ArchivedLog]) -> Result<Json, RpcError> {
    Json::of(&logs.iter().map(types::log).collect::<Vec<_>>())
}

pub(super) fn get_logs(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let query: LogQuery = params.required()?;
    if let Some(hash) = query.block_hash {
        let block = handler.block(BlockId::Hash(hash))?.ok_or_else(|| RpcError::server("unknown block"))?;
        return render(&block.logs(&query.filter).collect::<Vec<_>>());
    }
    query.check()?;
    let head = handler.head()?.number();
    let range = query.range(head);
    if range.start() > range.end() {
        return Err(RpcError::invalid_params("invalid block range params"));
    }
    if *range.end() > head {
        return Err(RpcError::invalid_params("block range extends beyond current head block"));
    }
    render(&search(handler, &query.filter, range)?)
}
