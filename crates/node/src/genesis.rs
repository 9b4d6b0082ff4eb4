//! Find the first block of a genesis without making a chain.

use crate::NodeError;
use candela_ledger::genesis_block;
use candela_primitives::{B256, Genesis};

/// The hash of block 0 of a genesis in JSON, whose deployments are executed in memory.
///
/// # Errors
/// When it is no genesis, or a deployment fails.
pub fn genesis_hash(json: &str) -> Result<B256, NodeError> {
    let genesis: Genesis = serde_json::from_str(json).map_err(|error| NodeError::Config(error.to_string()))?;
    Ok(genesis_block(&genesis)?.hash)
}
