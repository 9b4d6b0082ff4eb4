//! Put a system contract at a fixed address by running its creation code there.

use crate::{BlockEnvironment, NoBlockHashes, StateView, precompiles, view::ViewError};
use candela_primitives::{Account, Address, Bytes, StateChanges, StateError, StateReader};
use revm::{
    Context, MainBuilder, MainContext, SystemCallCommitEvm,
    context::result::{EVMError, ExecutionResult},
};

/// EIP-170.
const MAX_CODE_BYTES: usize = 24_576;

/// Why a contract could not be installed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InstallError {
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// Something is there already.
    #[error("{0} is taken")]
    Taken(Address),
    /// The creation code reverted or ran out of gas.
    #[error("the creation code of {address} failed: {reason}")]
    Failed {
        /// Where it should have gone.
        address: Address,
        /// What happened.
        reason: String,
    },
    /// The creation code returned nothing, or more than EIP-170 allows.
    #[error("the creation code of {address} returned {bytes} bytes of code")]
    CodeSize {
        /// Where it should have gone.
        address: Address,
        /// How much it returned.
        bytes: usize,
    },
}

/// Runs `init_code` as the code of `address` and keeps what it returns as the contract's code.
///
/// Unlike `CREATE` this gives a contract an address that does not depend on its code or on who deploys it. Constructor
/// arguments follow the creation code, as usual; the constructor sees no value and the system address as caller.
///
/// # Errors
/// When the address is taken or the creation code does not return code.
pub fn install(
    state: &dyn StateReader,
    environment: &BlockEnvironment,
    address: Address,
    init_code: Bytes,
) -> Result<StateChanges, InstallError> {
    let mut view = StateView::new(state, &NoBlockHashes, environment.spec);
    if view.account(address)?.is_some() {
        return Err(InstallError::Taken(address));
    }
    view.set_account(address, Some(Account { nonce: 1, ..Account::default() }))?;
    view.set_code(address, init_code)?;
    let mut evm = Context::mainnet()
        .with_db(view)
        .with_block(environment.block())
        .with_cfg(environment.configuration())
        .build_mainnet();
    precompiles::install(&mut evm.precompiles, environment.spec);
    let result = evm.system_call_commit(address, Bytes::new()).map_err(|error| match error {
        EVMError::Database(ViewError(error)) => InstallError::State(error),
        error => InstallError::Failed { address, reason: error.to_string() },
    })?;
    let code = match result {
        ExecutionResult::Success { output, .. } => output.into_data(),
        failed => return Err(InstallError::Failed { address, reason: failed.to_string() }),
    };
    if code.is_empty() || code.len() > MAX_CODE_BYTES {
        return Err(InstallError::CodeSize { address, bytes: code.len() });
    }
    let mut view = evm.ctx.journaled_state.database;
    view.set_code(address, code)?;
    Ok(view.changes())
}
