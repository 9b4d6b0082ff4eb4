//! Run blocks: choose transactions for a new one, or follow somebody else's.

use crate::{
    Ledger, MachineError, Slot, StateMachine,
    block_store::Finalized,
    elections,
    rules::{MAX_CLOCK_LEAD_MS, Sealing, environment, next_timestamp_ms, seal},
};
use alloy_consensus::Transaction as _;
use alloy_rlp::Decodable;
use candela_evm::{
    AccountChanges, BlockEnvironment, BlockHashes, Execution, ExecutionError, InvalidTransaction, ParallelExecutor,
    ReplayError, SkipReason, replay,
};
use candela_pool::Selection;
use candela_primitives::{
    Address, B256, Block, Bytes, Header, Participation, StateChanges, StateError, StateReader, Transaction, keccak256,
};
use candela_signing::decode_batch;
use candela_state::Version;
use foldhash::fast::RandomState;
use rayon::prelude::*;
use std::{collections::HashMap, sync::Arc};
use tracing::info_span;

/// Most bytes of an access list that travels with its block; without one, others execute the block as its proposer did.
const MAX_ACCESS_LIST_BYTES: usize = 4 << 20;

/// A block that has been executed and may become final.
pub(crate) struct Executed {
    pub(crate) finalized: Finalized,
    pub(crate) version: Version,
    pub(crate) changes: Arc<StateChanges>,
    /// Where the senders of its transactions go on.
    next_nonces: HashMap<Address, u64, RandomState>,
}

impl Executed {
    fn new(finalized: Finalized, version: Version, changes: Arc<StateChanges>) -> Self {
        let mut next_nonces = HashMap::with_capacity_and_hasher(finalized.transactions.len(), RandomState::default());
        for transaction in &*finalized.transactions {
            // A sender's transactions are in the order of their nonces.
            next_nonces.insert(transaction.sender(), transaction.nonce() + 1);
        }
        Self { finalized, version, changes, next_nonces }
    }
}

/// Executed blocks of one branch that the pool has not been told of.
pub(crate) struct InFlight(pub(crate) Vec<Arc<Executed>>);

impl InFlight {
    /// A sender's first nonce after them; 0 for one who is in none.
    pub(crate) fn next_nonce(&self, sender: &Address) -> u64 {
        self.0.iter().filter_map(|block| block.next_nonces.get(sender)).copied().max().unwrap_or_default()
    }
}

/// The block that is built upon, and the state after it.
pub(crate) struct Parent {
    pub(crate) header: Header,
    pub(crate) hash: B256,
    pub(crate) version: Version,
    pub(crate) hashes: Hashes,
}

/// Block hashes: those above the finalised head, then the store's.
pub(crate) struct Hashes {
    pub(crate) unfinalised: HashMap<u64, B256>,
    pub(crate) store: Arc<dyn crate::BlockStore>,
}

impl BlockHashes for Hashes {
    fn block_hash(&self, number: u64) -> Option<B256> {
        match self.unfinalised.get(&number) {
            Some(hash) => Some(*hash),
            None => self.store.hash(number).ok().flatten(),
        }
    }
}

fn storage(error: StateError) -> MachineError {
    MachineError::Storage(error.0)
}

fn failed(number: u64, error: ExecutionError) -> MachineError {
    match error {
        ExecutionError::State(reason) => MachineError::Storage(reason),
        invalid => MachineError::Invalid { number, reason: invalid.to_string() },
    }
}

impl Ledger {
    /// Fills a block from the pool and executes it.
    pub(crate) fn build(&self, parent: &Parent, slot: &Slot) -> Result<Executed, MachineError> {
        let parameters = self.parameters();
        let number = parent.header.number + 1;
        let timestamp_ms = next_timestamp_ms(&parent.header, slot.now_ms);
        let mut environment = environment(self.chain(), &parent.header, parameters, slot, timestamp_ms);
        let reader = parent.version.reader();
        let shown = elections::showable(self.epochs(), &*reader, number, slot.participation).map_err(storage)?;
        environment.system_call = elections::system_call(self.epochs(), number, shown)
            .map_err(|reason| MachineError::Invalid { number, reason })?;
        let mut executor = ParallelExecutor::new(self.workers(), &*reader, &parent.hashes, &environment);
        executor.begin().map_err(|error| failed(number, error))?;
        let in_flight = self.in_flight(parent.hash);
        let selection = info_span!("select")
            .in_scope(|| self.pool().best(environment.base_fee_per_gas, |sender| in_flight.next_nonce(sender)));
        let transactions = self.fill(&mut executor, selection)?;
        let mut execution =
            info_span!("assemble").in_scope(|| executor.finish()).map_err(|error| failed(number, error))?;
        let changes = Arc::new(std::mem::take(&mut execution.changes));
        let (version, access_list) = self.commitments(&parent.version, &changes, &execution.access_list)?;
        let sealing_span = info_span!("seal").entered();
        let sealing = Sealing {
            parent: &parent.header,
            parent_hash: parent.hash,
            parameters,
            slot,
            timestamp_ms,
            extra_data: shown.map_or_else(Bytes::new, |shown| shown.encode().into()),
            execution: &execution,
            state_root: version.root(),
            access_list_hash: keccak256(&access_list),
        };
        let encoded = transactions.iter().map(|transaction| transaction.encoded().clone()).collect();
        let mut block = seal(&sealing, encoded);
        if self.carries_access_lists() && access_list.len() <= MAX_ACCESS_LIST_BYTES {
            block.access_list = access_list;
        }
        let block = Arc::new(block);
        let hash = block.hash();
        drop(sealing_span);
        let finalized = Finalized {
            block,
            hash,
            transactions: Arc::new(transactions),
            receipts: Arc::new(execution.receipts),
            certificate: Bytes::new(),
        };
        Ok(Executed::new(finalized, version, changes))
    }

    /// Executes the pool's best transactions until the block is full of gas, of bytes, or the pool is exhausted.
    fn fill(
        &self,
        executor: &mut ParallelExecutor<'_>,
        mut selection: Selection<'_>,
    ) -> Result<Vec<Arc<Transaction>>, MachineError> {
        const LEAST_GAS: u64 = 21_000;
        let limit = self.parameters().block_bytes_limit;
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        while executor.gas_left() >= LEAST_GAS && bytes < limit {
            let batch = gather(&mut selection, limit - bytes);
            if batch.is_empty() {
                break;
            }
            let executing = info_span!("execute").entered();
            let outcomes = executor.transact(&batch.iter().map(|each| &**each).collect::<Vec<_>>()).map_err(storage)?;
            drop(executing);
            let mut full = false;
            for (transaction, outcome) in batch.into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) => {
                        bytes += transaction.encoded().len();
                        chosen.push(transaction);
                    }
                    // An ancestor that is not final yet has used its nonce without being the sender's (EIP-7702), or is not
                    // remembered any more; the sender's next one may fit.
                    Err(SkipReason::Invalid(InvalidTransaction::NonceTooLow { .. })) => {}
                    Err(reason) => {
                        full |= matches!(reason, SkipReason::BlockFull { .. });
                        if selection.leave_out(transaction.sender()) {
                            self.set_aside(&transaction, &reason);
                        }
                    }
                }
            }
            if full {
                break;
            }
        }
        Ok(chosen)
    }

    fn set_aside(&self, transaction: &Transaction, reason: &SkipReason) {
        if matches!(reason, SkipReason::BlockFull { .. }) {
            return;
        }
        tracing::debug!(hash = %transaction.hash(), %reason, "transaction left out");
        if reason.is_transient() {
            self.pool().stall(&transaction.sender());
        } else {
            self.pool().remove(transaction);
        }
    }

    /// Executes a block that somebody else built and compares the outcome with what its header claims.
    pub(crate) fn follow(&self, parent: &Parent, block: &Arc<Block>, now_ms: u64) -> Result<Executed, MachineError> {
        let header = &block.header;
        let number = header.number;
        let invalid = |reason: String| MachineError::Invalid { number, reason };
        check_shape(&parent.header, block, self.parameters().block_bytes_limit, now_ms).map_err(invalid)?;
        let participation = Participation::decode(&header.extra_data).map_err(|error| invalid(error.to_string()))?;
        let slot = Slot {
            now_ms: header.timestamp_ms,
            proposer: header.proposer,
            randomness: header.prevrandao,
            participation,
        };
        let parameters = self.parameters();
        let mut environment = environment(self.chain(), &parent.header, parameters, &slot, header.timestamp_ms);
        environment.system_call =
            elections::system_call(self.epochs(), parent.header.number + 1, participation).map_err(invalid)?;
        let transactions = self.decode(&block.transactions).map_err(invalid)?;
        let reader = parent.version.reader();
        let mut execution = if block.access_list.is_empty() {
            self.execute(&*reader, &parent.hashes, &environment, &transactions)
                .map_err(|error| failed(number, error))?
        } else {
            let list = read_access_list(block).map_err(invalid)?;
            match replay(self.workers(), &*reader, &parent.hashes, &environment, &transactions, list) {
                Ok(execution) => execution,
                Err(ReplayError::Execution(error)) => return Err(failed(number, error)),
                Err(error) => return Err(invalid(error.to_string())),
            }
        };
        let changes = Arc::new(std::mem::take(&mut execution.changes));
        let (version, access_list) = self.commitments(&parent.version, &changes, &execution.access_list)?;
        let sealing = Sealing {
            parent: &parent.header,
            parent_hash: parent.hash,
            parameters,
            slot: &slot,
            timestamp_ms: header.timestamp_ms,
            extra_data: header.extra_data.clone(),
            execution: &execution,
            state_root: version.root(),
            access_list_hash: keccak256(&access_list),
        };
        let expected = seal(&sealing, block.transactions.clone());
        if expected.header != *header {
            return Err(invalid(difference(&expected.header, header)));
        }
        let hash = block.hash();
        let finalized = Finalized {
            block: block.clone(),
            hash,
            transactions: Arc::new(transactions),
            receipts: Arc::new(execution.receipts),
            certificate: Bytes::new(),
        };
        Ok(Executed::new(finalized, version, changes))
    }

    /// The state after a block, and the encoded access list, made side by side.
    fn commitments(
        &self,
        parent: &Version,
        changes: &Arc<StateChanges>,
        access_list: &[AccountChanges],
    ) -> Result<(Version, Bytes), MachineError> {
        let root = || info_span!("root").in_scope(|| parent.extend(changes.clone()));
        let encode = || {
            let mut encoded = Vec::new();
            alloy_rlp::encode_list(access_list, &mut encoded);
            Bytes::from(encoded)
        };
        let (version, encoded) = self.workers().run(|| rayon::join(root, encode));
        Ok((version.map_err(storage)?, encoded))
    }

    /// Executes a list of which every transaction must be valid.
    fn execute(
        &self,
        state: &dyn StateReader,
        hashes: &Hashes,
        environment: &BlockEnvironment,
        transactions: &[Arc<Transaction>],
    ) -> Result<Execution, ExecutionError> {
        let mut executor = ParallelExecutor::new(self.workers(), state, hashes, environment);
        executor.begin()?;
        let outcomes = executor.transact(&transactions.iter().map(|each| &**each).collect::<Vec<_>>())?;
        match outcomes.into_iter().enumerate().find_map(|(index, outcome)| Some((index, outcome.err()?))) {
            Some((index, reason)) => Err(ExecutionError::Invalid { index, reason }),
            None => executor.finish(),
        }
    }

    /// Decodes a block's transactions; the pool's have had their signatures checked already.
    fn decode(&self, encoded: &[Bytes]) -> Result<Vec<Arc<Transaction>>, String> {
        let find = || encoded.par_iter().map(|bytes| self.pool().get(&keccak256(bytes))).collect();
        let mut known: Vec<_> = self.workers().run(find);
        let unknown: Vec<usize> =
            known.iter().enumerate().filter(|(_, slot)| slot.is_none()).map(|(at, _)| at).collect();
        let decoded = decode_batch(unknown.iter().map(|at| encoded[*at].clone()).collect(), self.threads());
        for (at, transaction) in unknown.into_iter().zip(decoded) {
            known[at] = Some(Arc::new(transaction.map_err(|error| format!("transaction {at}: {error}"))?));
        }
        Ok(known.into_iter().flatten().collect())
    }
}

/// Takes transactions from `selection` as long as their bytes fit into `room`.
fn gather(selection: &mut Selection<'_>, room: usize) -> Vec<Arc<Transaction>> {
    const MOST: usize = 16_384;
    /// How many may be too large for what is left, before that is left empty.
    const MISFITS: usize = 32;
    let (mut batch, mut bytes, mut misfits) = (Vec::new(), 0, 0);
    while batch.len() < MOST
        && misfits < MISFITS
        && bytes < room
        && let Some(transaction) = selection.next()
    {
        if bytes + transaction.encoded().len() > room {
            selection.skip_sender();
            misfits += 1;
            continue;
        }
        bytes += transaction.encoded().len();
        batch.push(transaction);
    }
    batch
}

/// The rules that need no execution.
fn check_shape(parent: &Header, block: &Block, bytes_limit: usize, now_ms: u64) -> Result<(), String> {
    let header = &block.header;
    if header.timestamp_ms <= parent.timestamp_ms {
        return Err(format!("time {} ms is not after the parent's {} ms", header.timestamp_ms, parent.timestamp_ms));
    }
    if header.timestamp_ms > now_ms.saturating_add(MAX_CLOCK_LEAD_MS) {
        return Err(format!("time {} ms is too far ahead of {now_ms} ms", header.timestamp_ms));
    }
    let bytes: usize = block.transactions.iter().map(|transaction| transaction.len()).sum();
    if bytes > bytes_limit {
        return Err(format!("transactions take {bytes} bytes, more than {bytes_limit}"));
    }
    if block.access_list.len() > MAX_ACCESS_LIST_BYTES {
        return Err(format!("access list takes {} bytes, more than {MAX_ACCESS_LIST_BYTES}", block.access_list.len()));
    }
    Ok(())
}

/// The access list that a block carries, if it is the one that its header names.
fn read_access_list(block: &Block) -> Result<Vec<AccountChanges>, String> {
    let named = block.header.shards.first().map(|shard| shard.access_list_hash);
    if named != Some(keccak256(&block.access_list)) {
        return Err("access list is not the one that the header names".to_owned());
    }
    let mut rest = block.access_list.as_ref();
    let list = Vec::<AccountChanges>::decode(&mut rest).map_err(|error| format!("access list: {error}"))?;
    if rest.is_empty() { Ok(list) } else { Err("access list is followed by stray bytes".to_owned()) }
}

/// Names the first field in which two headers differ.
fn difference(expected: &Header, found: &Header) -> String {
    let (mine, theirs) = (expected.shards.first(), found.shards.first());
    let checks: [(&str, bool); 13] = [
        ("access list hash", mine.map(|s| s.access_list_hash) != theirs.map(|s| s.access_list_hash)),
        ("number", expected.number != found.number),
        ("parent hash", expected.parent_hash != found.parent_hash),
        ("version", expected.version != found.version),
        ("parameters version", expected.parameters_version != found.parameters_version),
        ("gas limit", expected.gas_limit != found.gas_limit),
        ("logs bloom", expected.logs_bloom != found.logs_bloom),
        ("transactions root", mine.map(|s| s.transactions_root) != theirs.map(|s| s.transactions_root)),
        ("receipts root", mine.map(|s| s.receipts_root) != theirs.map(|s| s.receipts_root)),
        ("gas used", mine.map(|s| s.gas_used) != theirs.map(|s| s.gas_used)),
        ("base fee", mine.map(|s| s.base_fee_per_gas) != theirs.map(|s| s.base_fee_per_gas)),
        ("supply", mine.map(|s| s.supply) != theirs.map(|s| s.supply)),
        ("state root", mine.map(|s| s.state_root) != theirs.map(|s| s.state_root)),
    ];
    let name = checks.iter().find(|(_, differs)| *differs).map_or("shard headers", |(name, _)| name);
    format!("{name} is not what execution gives")
}
