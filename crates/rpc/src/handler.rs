//! One request in, one answer out, whatever the transport.

use crate::{
    Limits, RpcContext, RpcError,
    filters::Filters,
    methods,
    protocol::{Answer, Call, Id, Incoming, Json, Params},
    types::BlockId,
};
use alloy_consensus::Header;
use candela_archive::{ArchiveError, ArchivedBlock};
use candela_evm::BlockHashes;
use candela_primitives::{B256, Bytes, StateReader};
use serde_json::Value;
use std::sync::Arc;

/// Everything that the methods share.
pub(crate) struct Handler {
    pub(crate) context: RpcContext,
    pub(crate) limits: Limits,
    pub(crate) filters: Filters,
}

impl From<ArchiveError> for RpcError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::TooManyLogs { .. } | ArchiveError::RangeTooWide { .. } => {
                Self::limit_exceeded(error.to_string())
            }
            other => Self::internal(other.to_string()),
        }
    }
}

/// Hashes of archived blocks.
pub(crate) struct ArchiveHashes(pub(crate) Arc<candela_archive::Archive>);

impl BlockHashes for ArchiveHashes {
    fn block_hash(&self, number: u64) -> Option<B256> {
        self.0.hash(number).ok().flatten()
    }
}

impl Handler {
    pub(crate) fn new(context: RpcContext, limits: Limits) -> Self {
        let filters = Filters::new(limits.filters, limits.filter_timeout);
        Self { context, limits, filters }
    }

    /// Answers one body or message; `None` when it held notifications only.
    pub(crate) fn answer(&self, incoming: Incoming) -> Option<String> {
        match incoming {
            Incoming::One(member) => self.member(member).map(|answer| answer.text()),
            Incoming::Batch(members) => {
                let answers = self.batch(members);
                (!answers.is_empty()).then(|| Answer::batch_text(&answers))
            }
        }
    }

    /// Answers a batch; neighbouring raw transactions are submitted together, so that their signatures are checked in
    /// parallel.
    fn batch(&self, members: Vec<Result<Call, (Value, RpcError)>>) -> Vec<Answer> {
        let (mut answers, mut bytes, mut raw) = (Vec::with_capacity(members.len()), 0, Vec::new());
        for member in members {
            match member {
                Ok(call) if call.method == "eth_sendRawTransaction" => {
                    raw.push(call);
                    continue;
                }
                other => {
                    self.submit(std::mem::take(&mut raw), &mut answers);
                    answers.extend(self.member(other));
                }
            }
            bytes += answers.last().map_or(0, Answer::size);
            if bytes > self.limits.response_bytes {
                let id = answers.pop().map_or(Value::Null, |answer| answer.id);
                answers.push(Answer::error(id, RpcError::response_too_large()));
                return answers;
            }
        }
        self.submit(raw, &mut answers);
        answers
    }

    fn submit(&self, calls: Vec<Call>, answers: &mut Vec<Answer>) {
        if calls.is_empty() {
            return;
        }
        let read: Vec<(Id, Result<Bytes, RpcError>)> = calls
            .into_iter()
            .map(|call| (call.id, Params::new(call.params, 1).and_then(|mut params| params.required::<Bytes>())))
            .collect();
        let raw = read.iter().filter_map(|(_, bytes)| bytes.as_ref().ok().cloned()).collect();
        let mut results = self.context.chain.submit(raw).into_iter();
        for (id, bytes) in read {
            let outcome = bytes
                .and_then(|_| results.next().unwrap_or_else(|| Err(RpcError::internal("submission gave no result"))));
            if let Id::Present(id) = id {
                answers.push(Answer { id, outcome: outcome.and_then(|hash| Json::of(&hash)) });
            }
        }
    }

    fn member(&self, member: Result<Call, (Value, RpcError)>) -> Option<Answer> {
        let call = match member {
            Ok(call) => call,
            Err((id, error)) => return Some(Answer::error(id, error)),
        };
        let outcome = methods::dispatch(self, &call.method, call.params).and_then(|json| {
            if json.0.len() > self.limits.response_bytes { Err(RpcError::response_too_large()) } else { Ok(json) }
        });
        match call.id {
            Id::Absent => None,
            Id::Present(id) => Some(Answer { id, outcome }),
        }
    }

    /// The newest block.
    pub(crate) fn head(&self) -> Result<Arc<ArchivedBlock>, RpcError> {
        self.context.archive.head().ok_or_else(|| RpcError::internal("the chain has no genesis"))
    }

    /// The block that `id` means, or `None`.
    pub(crate) fn block(&self, id: BlockId) -> Result<Option<Arc<ArchivedBlock>>, RpcError> {
        let archive = &self.context.archive;
        match id {
            BlockId::Latest | BlockId::Pending => self.head().map(Some),
            BlockId::Earliest => Ok(archive.block(0)?),
            BlockId::Number(number) => Ok(archive.block(number)?),
            BlockId::Hash(hash) => Ok(archive.block_by_hash(&hash)?),
        }
    }

    /// The block that `id` means, or go-ethereum's error.
    pub(crate) fn known_block(&self, id: BlockId) -> Result<Arc<ArchivedBlock>, RpcError> {
        self.block(id)?.ok_or_else(|| RpcError::server("header not found"))
    }

    /// The state after a block.
    pub(crate) fn state(&self, block: &ArchivedBlock) -> Result<Arc<dyn StateReader>, RpcError> {
        let number = block.number();
        self.context
            .chain
            .state_after(number)?
            .ok_or_else(|| RpcError::server(format!("historical state of block {number} is not available")))
    }

    /// The state after the block that `id` means.
    pub(crate) fn state_at(&self, id: Option<BlockId>) -> Result<Arc<dyn StateReader>, RpcError> {
        let block = self.known_block(id.unwrap_or(BlockId::Latest))?;
        self.state(&block)
    }

    /// The header of the block in which a message on top of `id` runs: that block itself, as go-ethereum does it, or the
    /// next one for `pending`.
    pub(crate) fn call_header(&self, id: BlockId, block: &ArchivedBlock) -> Header {
        match id {
            BlockId::Pending => self.context.chain.next_header(&block.ethereum_header),
            _ => block.ethereum_header.clone(),
        }
    }
}
