//! One request in, one answer out, whatever the transport.

use crate::{
    Limits, RpcContext, RpcError,
    exports::Exports,
    filters::Filters,
    methods,
    metrics::Requests,
    protocol::{Answer, Answers, Call, Id, Json, Member, Params},
    types::BlockId,
};
use alloy_consensus::Header;
use candela_archive::{ArchiveError, ArchivedBlock};
use candela_evm::BlockHashes;
use candela_primitives::{B256, Bytes, StateReader};
use std::sync::Arc;

/// Everything that the methods share.
pub(crate) struct Handler {
    pub(crate) context: RpcContext,
    pub(crate) limits: Limits,
    pub(crate) filters: Filters,
    pub(crate) exports: Exports,
    pub(crate) requests: Requests,
}

impl From<ArchiveError> for RpcError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::TooManyLogs { .. } | ArchiveError::RangeTooWide { .. } => {
                Self::limit_exceeded(error.to_string())
            }
            ArchiveError::Pruned { .. } => Self::pruned(error.to_string()),
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

/// The answer to a member of a batch whose answers are too large already.
fn refuse(member: Member) -> Option<Answer> {
    let id = match member {
        Ok(Call { id: Id::Present(id), .. }) | Err((id, _)) => id,
        Ok(_) => return None,
    };
    Some(Answer::error(id, RpcError::response_too_large()))
}

impl Handler {
    pub(crate) fn new(context: RpcContext, limits: Limits) -> Self {
        let filters = Filters::new(limits.filters, limits.filter_timeout);
        Self { context, limits, filters, exports: Exports::new(), requests: Requests::default() }
    }

    /// Answers one member; `None` when it was a notification.
    pub(crate) fn member(&self, member: Member) -> Option<Answer> {
        let call = match member {
            Ok(call) => call,
            Err((id, error)) => {
                let outcome = Err(error);
                self.requests.count(&outcome);
                return Some(Answer { id, outcome });
            }
        };
        let outcome = methods::dispatch(self, &call.method, call.params).and_then(|json| {
            if json.0.len() > self.limits.response_bytes { Err(RpcError::response_too_large()) } else { Ok(json) }
        });
        self.requests.count(&outcome);
        match call.id {
            Id::Absent => None,
            Id::Present(id) => Some(Answer { id, outcome }),
        }
    }

    /// Answers members of a batch; neighbouring raw transactions are submitted together, so that their signatures are
    /// checked in parallel. Once the answers are larger than allowed, the members that follow are refused.
    pub(crate) fn batch(&self, members: Vec<Member>, answers: &mut Answers) {
        let mut raw = Vec::new();
        for member in members {
            match member {
                Ok(call) if call.method == "eth_sendRawTransaction" && !answers.full() => raw.push(call),
                other => {
                    self.submit(std::mem::take(&mut raw), answers);
                    answers.extend(if answers.full() { refuse(other) } else { self.member(other) });
                }
            }
        }
        self.submit(raw, answers);
    }

    fn submit(&self, calls: Vec<Call>, answers: &mut Answers) {
        if calls.is_empty() {
            return;
        }
        let read: Vec<(Id, Result<Bytes, RpcError>)> = calls
            .into_iter()
            .map(|call| (call.id, Params::new(call.params, 1).and_then(|mut params| params.required::<Bytes>())))
            .collect();
        let raw = read.iter().filter_map(|(_, bytes)| bytes.as_ref().ok().cloned()).collect();
        let mut results = self.context.chain.submit(raw).into_iter();
        answers.extend(read.into_iter().filter_map(|(id, bytes)| {
            let outcome = bytes
                .and_then(|_| results.next().unwrap_or_else(|| Err(RpcError::internal("submission gave no result"))));
            self.requests.count(&outcome);
            match id {
                Id::Absent => None,
                Id::Present(id) => Some(Answer { id, outcome: outcome.and_then(|hash| Json::of(&hash)) }),
            }
        }));
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
        let missing = if matches!(id, BlockId::Hash(_)) { "header for hash not found" } else { "header not found" };
        self.block(id)?.ok_or_else(|| RpcError::server(missing))
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
