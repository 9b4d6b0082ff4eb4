//! What JSON-RPC asks of the chain beyond the archive and the pool.

use crate::{Metric, RpcError};
use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use candela_evm::BlockEnvironment;
use candela_primitives::{B256, Bytes, StateError, StateReader};
use candela_state::{Export, Prover};
use std::sync::Arc;

/// What blocks of Ethereum's own chain hold and Candela's do not.
#[derive(Clone, Debug, Default)]
pub struct EthereumBody {
    /// Headers of uncles, before the Merge.
    pub uncles: Vec<Header>,
    /// EIP-4895.
    pub withdrawals: Vec<Withdrawal>,
    /// State roots after each transaction, which receipts carry instead of a status before Byzantium.
    pub roots: Vec<B256>,
}

/// Two votes of one validator's key in one view, of which an honest validator signs at most one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoubleVote {
    /// The epoch of the votes.
    pub epoch: u64,
    /// The view of the votes.
    pub view: u64,
    /// The place of the key among the seats of the epoch.
    pub seat: u32,
    /// Ed25519 public key.
    pub public_key: B256,
    /// The votes as `report` of the staking contract takes them.
    pub activity: Bytes,
}

/// State by height, the rules that execution needs, and the way in for transactions.
///
/// The node implements it over the ledger; conformance tests over an imported Ethereum chain.
pub trait Chain: Send + Sync + 'static {
    /// EIP-155 chain id.
    fn chain_id(&self) -> u64;

    /// The state after block `number`, or `None` when it is not kept (any more).
    ///
    /// # Errors
    /// When the store fails.
    fn state_after(&self, number: u64) -> Result<Option<Arc<dyn StateReader>>, StateError>;

    /// Proofs against the state root of block `number`.
    ///
    /// # Errors
    /// When the chain keeps none for that height; an imported Ethereum chain keeps none at all.
    fn prover_after(&self, _number: u64) -> Result<Prover, RpcError> {
        Err(RpcError::server("this chain keeps no proofs of its state"))
    }

    /// Lets others copy the state of the head.
    ///
    /// # Errors
    /// When the store fails; an imported Ethereum chain can't be copied at all.
    fn export(&self) -> Result<Export, RpcError> {
        Err(RpcError::server("the state of this chain can't be copied"))
    }

    /// The environment in which `header`'s block was, or would be, executed.
    fn environment(&self, header: &Header) -> BlockEnvironment;

    /// The header that a child of `parent` would get if it were proposed now: number, time, limits and fees are
    /// meaningful, roots are not.
    fn next_header(&self, parent: &Header) -> Header;

    /// Most blob gas a block may use under the rules of `header`; 0 where there are no blobs.
    fn max_blob_gas(&self, header: &Header) -> u64;

    /// Blob base fee under the rules of `header`, nit per blob gas.
    fn blob_base_fee(&self, header: &Header) -> u128;

    /// The rest of an imported Ethereum block; `None` for Candela's own.
    fn ethereum_body(&self, _hash: &B256) -> Option<Arc<EthereumBody>> {
        None
    }

    /// The double votes that the node has seen and checked, the oldest epoch first; none where nobody votes.
    fn evidence(&self) -> Vec<DoubleVote> {
        Vec::new()
    }

    /// Why the chain can't go on until the node is started again; `None` while it can.
    fn failure(&self) -> Option<String> {
        None
    }

    /// Why the node should not be asked for the newest state right now; `None` when it may be.
    fn unready(&self) -> Option<String> {
        self.failure()
    }

    /// What the node counts beyond what RPC knows.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    /// Decodes, checks and pools a batch of EIP-2718 transactions; one result each, in order.
    fn submit(&self, raw: Vec<Bytes>) -> Vec<Result<B256, RpcError>>;
}
