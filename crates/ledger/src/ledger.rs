//! The state machine behind consensus.

use crate::{
    BlockStore, BlockStoreError, Finalized, GenesisError, MachineError, Seat, Slot, StateMachine, elections,
    execution::{Executed, Hashes, InFlight, Parent},
    genesis::{epochs, execute_genesis, genesis_block},
    rules::{beneficiary, environment, environment_of, next_timestamp_ms},
    submit::sender_state,
};
use candela_evm::{BlockEnvironment, BlockHashes, Workers};
use candela_pool::Pool;
use candela_primitives::{Address, B256, Block, Bytes, Epochs, Genesis, Header, Parameters, StateError, StateReader};
use candela_state::{Export, Prover, State, Unprovable, Version};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tracing::info_span;

/// Executed blocks that are kept until they, or others in their place, are final.
const MAX_EXECUTED: usize = 256;

type Listener = Box<dyn Fn(&Arc<Finalized>) + Send + Sync>;

/// Why a ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Genesis can't be executed.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The directory belongs to another chain.
    #[error("the data belong to another chain: they start with block {found}, the genesis file gives {expected}")]
    OtherChain {
        /// What the genesis file gives.
        expected: B256,
        /// What is stored.
        found: B256,
    },
    /// State and blocks do not belong together.
    #[error("state is at height {state:?}, blocks are at height {blocks:?}: one of the two files was replaced")]
    Mismatch {
        /// Height of the state.
        state: Option<u64>,
        /// Height of the blocks.
        blocks: Option<u64>,
    },
    /// The last block can't be executed again.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The block store failed.
    #[error(transparent)]
    Blocks(#[from] BlockStoreError),
    /// The state store failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system refuses a thread.
    #[error("worker threads could not be started: {0}")]
    Threads(String),
    /// The scratch state for genesis could not be made.
    #[error(transparent)]
    Scratch(#[from] candela_state::OpenError),
}

/// The last finalised block with the state after it; the two only ever change together.
#[derive(Clone)]
struct Head {
    block: Arc<Block>,
    hash: B256,
    version: Version,
}

/// The chain's state machine: pool, state and blocks behind [`StateMachine`].
pub struct Ledger {
    chain_id: u64,
    parameters: Parameters,
    workers: Workers,
    carries_access_lists: bool,
    genesis: Arc<Block>,
    epochs: Option<Epochs>,
    state: Arc<dyn State>,
    store: Arc<dyn BlockStore>,
    pool: Arc<Pool>,
    head: RwLock<Head>,
    /// Held while a block is made final.
    finalizing: Mutex<()>,
    /// Executed blocks above the head by hash, and the head until the pool knows what it has changed.
    executed: Mutex<HashMap<B256, Arc<Executed>>>,
    /// Those of them that may become final as far as this node knows; their transactions are in flight.
    branch: Mutex<HashSet<B256>>,
    listeners: RwLock<Vec<Listener>>,
}

impl Ledger {
    /// Opens the chain of `genesis`, and makes it if the stores are empty. `threads` check signatures and execute.
    ///
    /// # Errors
    /// When the stores belong to another chain or to different moments, or fail.
    pub fn open(
        genesis: &Genesis,
        state: Arc<dyn State>,
        store: Arc<dyn BlockStore>,
        pool: Arc<Pool>,
        threads: usize,
    ) -> Result<Self, OpenError> {
        let block = stored_genesis(genesis, &*state, &store)?;
        let ledger = Self {
            chain_id: genesis.chain_id,
            parameters: Parameters::genesis(genesis.block_gas_limit),
            workers: Workers::new(threads).map_err(|error| OpenError::Threads(error.to_string()))?,
            head: RwLock::new(Head { block: block.clone(), hash: block.hash(), version: state.head() }),
            finalizing: Mutex::default(),
            carries_access_lists: false,
            genesis: block,
            epochs: epochs(genesis).map_err(OpenError::Genesis)?,
            state,
            store,
            pool,
            executed: Mutex::default(),
            branch: Mutex::default(),
            listeners: RwLock::default(),
        };
        ledger.recover()?;
        Ok(ledger)
    }

    /// The same ledger, whose blocks carry their access lists: for a network with others who verify.
    #[must_use]
    pub const fn with_access_lists(mut self) -> Self {
        self.carries_access_lists = true;
        self
    }

    pub(crate) const fn carries_access_lists(&self) -> bool {
        self.carries_access_lists
    }

    /// Brings the state to the newest stored block by executing again what a crash took from it.
    fn recover(&self) -> Result<(), OpenError> {
        let Some(stored) = self.store.head()? else { return Ok(()) };
        let (blocks, state) = (stored.block.header.number, self.state.head().height());
        let mismatch = || OpenError::Mismatch { state, blocks: Some(blocks) };
        let written = state.filter(|height| *height <= blocks).ok_or_else(mismatch)?;
        let mut last = self.store.block(written)?.ok_or_else(mismatch)?;
        for number in written + 1..=blocks {
            let parent = Parent {
                header: last.block.header.clone(),
                hash: last.hash,
                version: self.state.head(),
                hashes: self.hashes(HashMap::new()),
            };
            last = self.store.block(number)?.ok_or_else(mismatch)?;
            let executed = self.follow(&parent, &last.block, u64::MAX)?;
            self.state.commit(&executed.version)?;
        }
        if written < blocks {
            tracing::info!(from = written + 1, to = blocks, "executed blocks again that the state did not hold yet");
        }
        self.set_head(&stored.block, stored.hash);
        Ok(())
    }

    /// EIP-155 chain id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The parameters in force.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub(crate) const fn workers(&self) -> &Workers {
        &self.workers
    }

    pub(crate) fn threads(&self) -> usize {
        self.workers.threads()
    }

    /// Pending transactions.
    #[must_use]
    pub const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Reads the state after the last finalised block.
    #[must_use]
    pub fn head_reader(&self) -> Arc<dyn StateReader> {
        self.head.read().version.reader()
    }

    /// The last finalised block, and a reader of the state after it.
    pub(crate) fn head_and_reader(&self) -> (Arc<Block>, Arc<dyn StateReader>) {
        let head = self.head.read();
        (head.block.clone(), head.version.reader())
    }

    pub(crate) fn head_height(&self) -> u64 {
        self.head.read().block.header.number
    }

    /// Reads the state after block `height`; `None` when it is not kept.
    ///
    /// # Errors
    /// When the store fails.
    pub fn reader_at(&self, height: u64) -> Result<Option<Arc<dyn StateReader>>, StateError> {
        self.state.at(height)
    }

    /// Proves the state after block `height`.
    ///
    /// # Errors
    /// When proofs for that height are not kept.
    pub fn prover_at(&self, height: u64) -> Result<Prover, Unprovable> {
        self.state.prover(height)
    }

    /// Lets others copy the state after the last finalised block.
    ///
    /// # Errors
    /// When the store fails.
    pub fn export(&self) -> Result<Export, StateError> {
        self.state.export()
    }

    /// Hashes of finalised blocks.
    #[must_use]
    pub fn block_hashes(&self) -> impl BlockHashes + 'static {
        self.hashes(HashMap::new())
    }

    /// Calls `listener` with every block that has become final, in order, once state and store hold it.
    pub fn subscribe(&self, listener: impl Fn(&Arc<Finalized>) + Send + Sync + 'static) {
        self.listeners.write().push(Box::new(listener));
    }

    /// The environment in which a finalised or proposed block was executed.
    #[must_use]
    pub fn environment_of(&self, header: &Header) -> BlockEnvironment {
        environment_of(self.chain(), header)
    }

    /// The environment of the next block if it were proposed at `slot`, for calls on the pending block.
    #[must_use]
    pub fn pending_environment(&self, slot: &Slot) -> BlockEnvironment {
        let parent = &self.head().header;
        environment(self.chain(), parent, &self.parameters, slot, next_timestamp_ms(parent, slot.now_ms))
    }

    /// Who gets the priority fees of the blocks of `proposer`.
    #[must_use]
    pub const fn beneficiary(&self, proposer: Address) -> Address {
        beneficiary(self.epochs, proposer)
    }

    /// The chain id, and how the chain is divided.
    pub(crate) const fn chain(&self) -> (u64, Option<Epochs>) {
        (self.chain_id, self.epochs)
    }

    fn set_head(&self, block: &Arc<Block>, hash: B256) {
        *self.head.write() = Head { block: block.clone(), hash, version: self.state.head() };
    }

    fn hashes(&self, unfinalised: HashMap<u64, B256>) -> Hashes {
        Hashes { unfinalised, store: self.store.clone() }
    }

    /// The state after `ancestry`, executing what has not been executed yet.
    fn parent(&self, ancestry: &[Arc<Block>], now_ms: u64) -> Result<Parent, MachineError> {
        let head = self.head.read().clone();
        let mut parent = Parent {
            header: head.block.header.clone(),
            hash: head.hash,
            version: head.version,
            hashes: self.hashes(HashMap::new()),
        };
        for block in ancestry.iter().filter(|block| block.header.number > head.block.header.number) {
            if block.header.parent_hash != parent.hash {
                return Err(MachineError::UnknownParent(block.header.parent_hash));
            }
            let executed = self.executed(&parent, block, now_ms)?;
            parent.hashes.unfinalised.insert(block.header.number, executed.finalized.hash);
            parent.header = block.header.clone();
            parent.hash = executed.finalized.hash;
            parent.version = executed.version.clone();
        }
        Ok(parent)
    }

    fn executed(&self, parent: &Parent, block: &Arc<Block>, now_ms: u64) -> Result<Arc<Executed>, MachineError> {
        let hash = block.hash();
        if let Some(known) = self.executed.lock().get(&hash) {
            // The header is the same; the transactions beside it need not be.
            if known.finalized.block.transactions == block.transactions {
                return Ok(known.clone());
            }
            let reason = "transactions root is not what the transactions give".to_owned();
            return Err(MachineError::Invalid { number: block.header.number, reason });
        }
        let executed = Arc::new(self.follow(parent, block, now_ms)?);
        self.remember(executed.clone());
        Ok(executed)
    }

    fn remember(&self, executed: Arc<Executed>) {
        self.branch.lock().insert(executed.finalized.hash);
        let mut all = self.executed.lock();
        if all.len() >= MAX_EXECUTED {
            // Any will do: a block that is needed after all is executed again.
            let victim = all.keys().next().copied();
            victim.and_then(|hash| all.remove(&hash));
        }
        all.insert(executed.finalized.hash, executed);
    }

    /// What is in flight for a block on top of `parent`.
    pub(crate) fn in_flight(&self, parent: B256) -> InFlight {
        let executed = self.executed.lock();
        let below = |block: &Arc<Executed>| executed.get(&block.finalized.block.header.parent_hash).cloned();
        InFlight(std::iter::successors(executed.get(&parent).cloned(), below).collect())
    }

    /// Tells the pool what a final block has changed, then drops executed blocks that can't become final any more.
    fn settle(&self, executed: &Executed) -> Result<(), StateError> {
        let reader = self.head_reader();
        for sender in executed.changes.accounts.keys().filter(|account| self.pool.has_sender(account)) {
            self.pool.advance(sender, sender_state(&*reader, sender)?);
        }
        let number = executed.finalized.block.header.number;
        let mut executed = self.executed.lock();
        executed.retain(|_, other| other.finalized.block.header.number > number);
        self.branch.lock().retain(|hash| executed.contains_key(hash));
        Ok(())
    }
}

/// Block 0, stored if it was not; checked against the stored one if it was.
fn stored_genesis(genesis: &Genesis, state: &dyn State, store: &Arc<dyn BlockStore>) -> Result<Arc<Block>, OpenError> {
    let expected = genesis_block(genesis)?;
    let hash = expected.hash;
    if let Some(found) = store.hash(0)? {
        if found != hash {
            return Err(OpenError::OtherChain { expected: hash, found });
        }
    } else if state.head().height().is_some_and(|height| height > 0) {
        return Err(OpenError::Mismatch { state: state.head().height(), blocks: None });
    } else {
        store.append(&Arc::new(expected.clone()))?;
    }
    if state.head().height().is_none() {
        state.commit(&execute_genesis(genesis, state)?.version)?;
    }
    Ok(expected.block)
}

impl StateMachine for Ledger {
    fn genesis(&self) -> Arc<Block> {
        self.genesis.clone()
    }

    fn head(&self) -> Arc<Block> {
        self.head.read().block.clone()
    }

    fn hash(&self, number: u64) -> Result<Option<B256>, MachineError> {
        self.store.hash(number).map_err(|error| MachineError::Storage(error.0))
    }

    fn origin(&self) -> Result<Option<Bytes>, MachineError> {
        let first = self.store.first();
        if first == 0 {
            return Ok(None);
        }
        let block = self.store.block(first).map_err(|error| MachineError::Storage(error.0))?;
        Ok(block.map(|block| block.certificate.clone()))
    }

    fn epochs(&self) -> Option<Epochs> {
        self.epochs
    }

    fn committee(&self, epoch: u64) -> Result<Option<Vec<Seat>>, MachineError> {
        let head = self.head.read().clone();
        match self.epochs {
            // The head may have elected the epoch after its own.
            Some(epochs) if epoch <= epochs.containing(head.block.header.number + 1) => {
                let environment = self.environment_of(&head.block.header);
                elections::seats(&*head.version.reader(), &self.block_hashes(), &environment, epoch)
            }
            _ => Ok(None),
        }
    }

    fn seed(&self, epoch: u64) -> Result<B256, MachineError> {
        if self.epochs.is_none() {
            return Ok(B256::ZERO);
        }
        elections::seed(&self.head_reader(), epoch).map_err(|error| MachineError::Storage(error.0))
    }

    fn begin(&self, ancestry: &[Arc<Block>]) {
        *self.branch.lock() = ancestry.iter().map(|block| block.hash()).collect();
    }

    fn has_work(&self) -> bool {
        let base_fee = crate::next_base_fee(&self.head().header, &self.parameters);
        let in_flight = {
            let executed = self.executed.lock();
            InFlight(self.branch.lock().iter().filter_map(|hash| executed.get(hash).cloned()).collect())
        };
        self.pool.has_ready(base_fee, |sender| in_flight.next_nonce(sender))
    }

    fn propose(&self, ancestry: &[Arc<Block>], slot: Slot) -> Result<Arc<Block>, MachineError> {
        let parent = self.parent(ancestry, slot.now_ms)?;
        let executed = Arc::new(self.build(&parent, &slot)?);
        let block = executed.finalized.block.clone();
        self.remember(executed);
        Ok(block)
    }

    fn verify(&self, ancestry: &[Arc<Block>], block: &Arc<Block>, now_ms: u64) -> Result<(), MachineError> {
        let parent = self.parent(ancestry, now_ms)?;
        if block.header.parent_hash != parent.hash {
            return Err(MachineError::UnknownParent(block.header.parent_hash));
        }
        self.executed(&parent, block, now_ms).map(|_| ())
    }

    fn finalize(&self, block: &Arc<Block>, certificate: &[u8]) -> Result<(), MachineError> {
        let _finalizing = self.finalizing.lock();
        if block.header.number <= self.head().header.number {
            return Ok(());
        }
        let parent = self.parent(&[], u64::MAX)?;
        if block.header.parent_hash != parent.hash {
            return Err(MachineError::UnknownParent(block.header.parent_hash));
        }
        let executed = self.executed(&parent, block, u64::MAX)?;
        let finalized =
            Arc::new(Finalized { certificate: Bytes::copy_from_slice(certificate), ..executed.finalized.clone() });
        let storage = |reason: String| MachineError::Storage(reason);
        info_span!("archive").in_scope(|| self.store.append(&finalized)).map_err(|error| storage(error.0))?;
        info_span!("commit").in_scope(|| self.state.commit(&executed.version)).map_err(|error| storage(error.0))?;
        self.set_head(block, finalized.hash);
        info_span!("settle").in_scope(|| self.settle(&executed)).map_err(|error| storage(error.0))?;
        let _publishing = info_span!("publish").entered();
        self.listeners.read().iter().for_each(|listener| listener(&finalized));
        Ok(())
    }
}
