//! Find the first block of a genesis without making a chain.

use crate::NodeError;
use candela_ledger::{OpenError, execute_genesis};
use candela_primitives::{B256, Genesis};
use candela_state::DiskState;

/// The hash of block 0 of a genesis in JSON, whose deployments are executed in memory.
///
/// # Errors
/// When it is no genesis, or a deployment fails.
pub fn genesis_hash(json: &str) -> Result<B256, NodeError> {
    let genesis: Genesis = serde_json::from_str(json).map_err(|error| NodeError::Config(error.to_string()))?;
    let made = execute_genesis(&genesis, &DiskState::in_memory()?).map_err(OpenError::from)?;
    Ok(made.block.hash())
}
