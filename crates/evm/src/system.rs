//! The call that the ledger itself makes, before the first transaction of a block (as EIP-4788 does).

use crate::{executor::ExecutionError, view::ViewError};
use candela_primitives::{Address, Bytes, StateError};
use revm::{
    Database, MainnetEvm, SystemCallEvm,
    context::result::{EVMError, ExecutionResult},
    handler::MainnetContext,
    state::EvmState,
};

/// A call of a system contract by the system address (0xff…fe). It pays no fees, uses none of the block's gas (at most 30
/// million of its own), and its events are in no receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemCall {
    /// Whom to call.
    pub contract: Address,
    /// With what.
    pub input: Bytes,
}

impl SystemCall {
    /// Runs the call and commits nothing.
    ///
    /// # Errors
    /// When it fails, or the state can't be read. No block can be made then: it is an error in the contract.
    pub(crate) fn run<D: Database<Error = ViewError>>(
        &self,
        evm: &mut MainnetEvm<MainnetContext<D>>,
    ) -> Result<EvmState, ExecutionError> {
        let failed = |reason: String| ExecutionError::System { contract: self.contract, reason };
        let outcome = evm.system_call(self.contract, self.input.clone()).map_err(|error| match error {
            EVMError::Database(ViewError(StateError(reason))) => ExecutionError::State(reason),
            error => failed(error.to_string()),
        })?;
        match outcome.result {
            ExecutionResult::Success { .. } => Ok(outcome.state),
            result => Err(failed(result.to_string())),
        }
    }
}
