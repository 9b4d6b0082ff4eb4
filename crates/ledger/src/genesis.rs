//! Block 0: funded accounts, and the system contracts executed in order.

use crate::{Finalized, OpenError, rules::receipts_root};
use candela_evm::{BlockEnvironment, InstallError, install};
use candela_primitives::{
    Account, AccountChange, Block, Bytes, Epochs, Genesis, Header, Parameters, STAKING, ShardHeader, StateChanges,
    StateError, U256, keccak256, merkle,
};
use candela_state::{DiskState, State, Version};
use std::sync::Arc;

/// Why a genesis can't be executed.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// A system contract could not be installed.
    #[error("genesis deployment {name}: {error}")]
    Deployment {
        /// Its name.
        name: String,
        /// Why.
        error: InstallError,
    },
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// An epoch has too few blocks, or there is nothing that elects.
    #[error(
        "genesis epochs of {0} blocks: there must be at least {min}, and a deployment at {STAKING} that elects",
        min = Epochs::MIN_BLOCKS
    )]
    Epochs(u64),
    /// The balances do not fit into 256 bits.
    #[error("genesis balances exceed 2^256 nit")]
    Supply,
}

/// Block 0 and the state after it.
pub struct GenesisState {
    /// The block.
    pub block: Arc<Block>,
    /// The state, on top of the empty one.
    pub version: Version,
}

/// The epochs of a chain; `None` when it elects nobody.
///
/// # Errors
/// When they are too short, or nothing elects.
pub(crate) fn epochs(genesis: &Genesis) -> Result<Option<Epochs>, GenesisError> {
    let Some(blocks) = genesis.epoch_blocks else { return Ok(None) };
    let elects = genesis.deployments.iter().any(|deployment| deployment.address == STAKING);
    Epochs::new(blocks).filter(|_| elects).map(Some).ok_or(GenesisError::Epochs(blocks))
}

/// Block 0 of `genesis`, whose deployments are executed in memory.
///
/// # Errors
/// When a deployment fails or a scratch state can't be made.
pub fn genesis_block(genesis: &Genesis) -> Result<Finalized, OpenError> {
    let block = execute_genesis(genesis, &DiskState::in_memory()?)?.block;
    Ok(Finalized {
        hash: block.hash(),
        block,
        transactions: Arc::default(),
        receipts: Arc::default(),
        certificate: Bytes::new(),
    })
}

/// Executes `genesis` on top of the empty state of `state`.
///
/// # Errors
/// When a deployment fails or the state can't be read.
pub fn execute_genesis(genesis: &Genesis, state: &dyn State) -> Result<GenesisState, GenesisError> {
    let empty = state.head();
    let epochs = epochs(genesis)?;
    let parameters = Parameters::genesis(genesis.block_gas_limit);
    let environment = BlockEnvironment::candela(
        genesis.chain_id,
        0,
        genesis.timestamp_ms / 1000,
        genesis.block_gas_limit,
        parameters.min_base_fee_per_gas,
    );
    let mut changes = StateChanges::default();
    let mut supply = U256::ZERO;
    for (address, funded) in &genesis.accounts {
        supply = supply.checked_add(funded.balance).ok_or(GenesisError::Supply)?;
        let account = Account { balance: funded.balance, ..Account::default() };
        changes.accounts.insert(*address, AccountChange { account: Some(account), ..AccountChange::default() });
    }
    for deployment in &genesis.deployments {
        let reader = empty.extend(Arc::new(changes.clone()))?.reader();
        let installed = install(&*reader, &environment, deployment.address, deployment.init_code.clone())
            .map_err(|error| GenesisError::Deployment { name: deployment.name.clone(), error })?;
        changes.extend(&installed);
    }
    let version = empty.extend(Arc::new(changes))?;
    let shard = ShardHeader {
        state_root: version.root(),
        transactions_root: merkle::root(&[]),
        receipts_root: receipts_root(&[]),
        outbox_root: merkle::root(&[]),
        base_fee_per_gas: parameters.min_base_fee_per_gas,
        supply,
        access_list_hash: keccak256([alloy_rlp::EMPTY_LIST_CODE]),
        ..ShardHeader::default()
    };
    let header = Header {
        version: Header::VERSION,
        parameters_version: parameters.version,
        timestamp_ms: genesis.timestamp_ms,
        gas_limit: genesis.block_gas_limit,
        // Whoever knows the genesis block knows the length of epochs.
        extra_data: epochs.map_or_else(Bytes::new, |epochs| epochs.blocks().to_be_bytes().into()),
        shards: vec![shard],
        ..Header::default()
    };
    Ok(GenesisState { block: Arc::new(Block { header, ..Block::default() }), version })
}
