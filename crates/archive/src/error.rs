//! What can go wrong.

use candela_primitives::B256;

/// Why the archive could not answer or store.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The database is held by another process, full, unreadable or damaged.
    #[error("archive failed: {0}")]
    Database(String),
    /// Stored bytes are not what was stored.
    #[error("archive is damaged at block {number}: {reason}")]
    Damaged {
        /// Height of the block.
        number: u64,
        /// What is wrong.
        reason: String,
    },
    /// The block is not the next one.
    #[error("block {number} can't follow block {head:?}")]
    Gap {
        /// Height of the block.
        number: u64,
        /// Height of the head.
        head: Option<u64>,
    },
    /// The block is from before the archive's first one.
    #[error(
        "pruned history unavailable: this node started at block {first} by state sync and does not have block {number}; ask a node that has followed the chain from genesis"
    )]
    Pruned {
        /// Height of the block.
        number: u64,
        /// The oldest block that is here.
        first: u64,
    },
    /// Another block is final at this height.
    #[error("block {number} is final as {stored}, not as {offered}")]
    Conflict {
        /// The height.
        number: u64,
        /// The block that is final.
        stored: B256,
        /// The block that was offered.
        offered: B256,
    },
    /// A log query matches more than it may return.
    #[error("query returned more than {limit} results. Try with this block range [{from:#x}, {to:#x}].")]
    TooManyLogs {
        /// The most that may be returned.
        limit: usize,
        /// First block of a range that stays within the limit.
        from: u64,
        /// Last block of that range.
        to: u64,
    },
    /// A log query spans more blocks than it may.
    #[error("block range of {blocks} blocks is too wide, at most {limit} are searched at once")]
    RangeTooWide {
        /// Blocks in the range.
        blocks: u64,
        /// The most that are searched.
        limit: u64,
    },
}

pub(crate) fn database(error: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Database(error.to_string())
}
