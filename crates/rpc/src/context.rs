//! Everything the methods read from.

use crate::{Chain, Feed};
use candela_archive::Archive;
use candela_pool::Pool;
use std::sync::Arc;

/// What a [`crate::Server`] answers from.
#[derive(Clone)]
pub struct RpcContext {
    /// State, rules and submission.
    pub chain: Arc<dyn Chain>,
    /// Finalised blocks, receipts and logs.
    pub archive: Arc<Archive>,
    /// Pending transactions.
    pub pool: Arc<Pool>,
    /// News of blocks and pending transactions, published by the node.
    pub feed: Feed,
    /// Answer of `web3_clientVersion`.
    pub client_version: String,
}
