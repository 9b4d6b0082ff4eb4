//! The call that the ledger itself makes, before the first transaction of a block (as EIP-4788 does).

use crate::{executor::ExecutionError, view::ViewError};
use candela_primitives::{Address, Bytes, SYSTEM, StateError, U256};
use revm::{
    Database, ExecuteEvm, MainnetEvm,
    context::{
        ContextSetters, JournalTr, TxEnv,
        result::{EVMError, ExecutionResult},
    },
    handler::{EthFrame, Handler, MainnetContext, MainnetHandler, SystemCallTx},
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
    /// Whether it brings all that the system address owns.
    pub pays: bool,
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
        let broke = |error: EVMError<ViewError>| match error {
            EVMError::Database(ViewError(StateError(reason))) => ExecutionError::State(reason),
            error => failed(error.to_string()),
        };
        let value = if self.pays {
            let system =
                evm.ctx.journaled_state.load_account(SYSTEM).map_err(|error| broke(EVMError::Database(error)))?;
            system.data.info.balance
        } else {
            U256::ZERO
        };
        evm.ctx.set_tx(TxEnv { value, ..TxEnv::new_system_tx(self.contract, self.input.clone()) });
        let result =
            MainnetHandler::<_, EVMError<ViewError>, EthFrame>::default().run_system_call(evm).map_err(broke)?;
        let state = evm.finalize();
        match result {
            ExecutionResult::Success { .. } => Ok(state),
            result => Err(failed(result.to_string())),
        }
    }
}
