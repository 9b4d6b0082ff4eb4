//! A state machine for tests that is small, and has a state whose rules can be broken.

use crate::mutation::{Rule, broken};
use crate::{Announcements, TransactionPool, Verdict, WorkSignal};
use candela_ledger::{MachineError, Seat, Slot, StateMachine};
use candela_primitives::{B256, Block, Bytes, Epochs, Header, Participation, ShardHeader, U256, keccak256};
use parking_lot::Mutex;
use std::sync::Arc;

/// Most transactions in a block.
const BLOCK_TRANSACTIONS: usize = 3;
/// All there is; no valid transaction changes it.
pub(crate) const SUPPLY: u64 = 1_000;
/// Bytes of a valid transaction. A longer one makes money out of nothing.
const TRANSACTION_BYTES: usize = 8;

/// A chain in memory that survives a simulated crash, as a disk would.
///
/// A transaction is a number and may be included once. The state is the supply and the order of all transactions.
pub(crate) struct Toy {
    chain: Mutex<Vec<Arc<Block>>>,
    pending: Mutex<Vec<Bytes>>,
    listeners: Mutex<(WorkSignal, Announcements)>,
    /// How many valid and invalid transactions other validators sent.
    received: Mutex<[usize; 2]>,
    elections: Option<Elections>,
    /// By height.
    certificates: Mutex<Vec<Bytes>>,
    /// The oldest block that it knows of.
    pub(crate) first: usize,
}

/// Epochs, and who has a seat in the first of them; the last committee stays for ever.
#[derive(Clone)]
pub(crate) struct Elections {
    pub(crate) epochs: Epochs,
    pub(crate) committees: Vec<Vec<[u8; 32]>>,
}

/// What the state is after `block`, a child of `parent`.
fn shard(parent: &Block, block: &Block) -> ShardHeader {
    let previous = parent.header.shards[0].clone();
    let made = block.transactions.iter().filter(|transaction| transaction.len() != TRANSACTION_BYTES).count();
    let (supply, transactions_root) = (previous.supply + U256::from(made), block.transactions_root());
    let parts = [previous.state_root.as_slice(), transactions_root.as_slice(), &supply.to_be_bytes::<32>()];
    ShardHeader { state_root: keccak256(parts.concat()), transactions_root, supply, ..ShardHeader::default() }
}

fn genesis() -> Arc<Block> {
    let shard = ShardHeader { supply: U256::from(SUPPLY), ..ShardHeader::default() };
    let header = Header { shards: vec![shard], ..Header::default() };
    let mut block = Block { header, ..Block::default() };
    block.header.shards[0].transactions_root = block.transactions_root();
    Arc::new(block)
}

/// A child of `parent` with these transactions whose header claims what they do.
pub(crate) fn child(parent: &Block, slot: &Slot, transactions: Vec<Bytes>) -> Block {
    let header = Header {
        parent_hash: parent.hash(),
        number: parent.header.number + 1,
        timestamp_ms: slot.now_ms.max(parent.header.timestamp_ms + 1),
        proposer: slot.proposer,
        prevrandao: slot.randomness,
        extra_data: slot.participation.map_or_else(Bytes::new, |shown| shown.encode().into()),
        ..Header::default()
    };
    let mut block = Block { header, transactions, ..Block::default() };
    block.header.shards = vec![shard(parent, &block)];
    block
}

/// What a block shows of the certificate of an ancestor, and the ancestor's height; `None` when it shows nothing.
pub(crate) fn shown(block: &Block) -> Option<(u64, Participation)> {
    let shown = Participation::decode(&block.header.extra_data).unwrap()?;
    Some((block.header.number - u64::from(shown.distance), shown))
}

/// What a block is judged by.
#[derive(Clone)]
pub(crate) struct Past {
    pub(crate) parent: Arc<Block>,
    /// Every transaction up to it.
    pub(crate) included: Vec<Bytes>,
    /// The last height whose certificate was shown.
    attended: u64,
}

impl Past {
    pub(crate) const fn new(genesis: Arc<Block>) -> Self {
        Self { parent: genesis, included: Vec::new(), attended: 0 }
    }

    pub(crate) fn extend(&mut self, block: &Arc<Block>) {
        self.included.extend(block.transactions.iter().cloned());
        self.attended = shown(block).map_or(self.attended, |(height, _)| height);
        self.parent = block.clone();
    }
}

/// The rules that `block` breaks after `past`.
pub(crate) fn violations(past: &Past, block: &Block) -> Vec<Rule> {
    let (parent, included) = (&past.parent, &past.included);
    let repeated = |(at, transaction): (usize, &Bytes)| {
        included.contains(transaction) || block.transactions[..at].contains(transaction)
    };
    let claimed = block.header.shards.first().map(|shard| shard.state_root);
    let rules = [
        (Rule::Parent, block.header.parent_hash != parent.hash() || block.header.number != parent.header.number + 1),
        (Rule::Timestamp, block.header.timestamp_ms <= parent.header.timestamp_ms),
        (Rule::Transactions, block.transactions.iter().any(|transaction| transaction.len() != TRANSACTION_BYTES)),
        (Rule::Replay, block.transactions.iter().enumerate().any(repeated)),
        (Rule::Attendance, shown(block).is_some_and(|(height, _)| height <= past.attended)),
        (Rule::StateRoot, claimed != Some(shard(parent, block).state_root)),
    ];
    rules.into_iter().filter(|(_, violated)| *violated).map(|(rule, _)| rule).collect()
}

impl Toy {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(None)
    }

    /// One whose validators change.
    pub(crate) fn electing(elections: Elections) -> Arc<Self> {
        Self::with(Some(elections))
    }

    fn with(elections: Option<Elections>) -> Arc<Self> {
        Arc::new(Self {
            elections,
            chain: Mutex::new(vec![genesis()]),
            pending: Mutex::default(),
            listeners: Mutex::default(),
            received: Mutex::default(),
            certificates: Mutex::new(vec![Bytes::new()]),
            first: 0,
        })
    }

    /// One that begins from the newest block up to `height` that has a certificate of its own, as after a state sync.
    pub(crate) fn synced(&self, height: usize) -> Arc<Self> {
        let certificates = self.certificates.lock();
        let first = (1..=height).rev().find(|at| certificates[*at] != certificates[at + 1]).unwrap();
        Arc::new(Self {
            elections: self.elections.clone(),
            chain: Mutex::new(self.chain.lock()[..=first].to_vec()),
            pending: Mutex::default(),
            listeners: Mutex::default(),
            received: Mutex::default(),
            certificates: Mutex::new(certificates[..=first].to_vec()),
            first,
        })
    }

    /// Tells `work` and `announcements` of every transaction from now on, as a node's pool does.
    pub(crate) fn listen(&self, work: &WorkSignal, announcements: &Announcements) {
        *self.listeners.lock() = (work.clone(), announcements.clone());
    }

    pub(crate) fn submit(&self, number: u64) {
        self.take(number.to_be_bytes().to_vec().into());
    }

    fn take(&self, transaction: Bytes) -> Verdict {
        if self.pending.lock().contains(&transaction) || self.transactions().contains(&transaction) {
            return Verdict::Unwanted;
        }
        if transaction.len() != TRANSACTION_BYTES {
            return Verdict::Invalid;
        }
        self.pending.lock().push(transaction.clone());
        let (work, announcements) = self.listeners.lock().clone();
        announcements.announce(&keccak256(&transaction), &transaction);
        work.notify();
        Verdict::Taken
    }

    /// Loses the last block, as a crash before it was stored would.
    pub(crate) fn lose_last(&self) {
        self.chain.lock().pop();
        self.certificates.lock().pop();
    }

    /// How many valid and invalid transactions other validators sent.
    pub(crate) fn received(&self) -> [usize; 2] {
        *self.received.lock()
    }

    pub(crate) fn hashes(&self) -> Vec<B256> {
        self.chain.lock().iter().map(|block| block.hash()).collect()
    }

    pub(crate) fn chain(&self) -> Vec<Arc<Block>> {
        self.chain.lock().clone()
    }

    /// Every transaction of the finalised chain, in order.
    pub(crate) fn transactions(&self) -> Vec<Bytes> {
        self.chain.lock().iter().flat_map(|block| block.transactions.clone()).collect()
    }

    /// What a child of the last block of `ancestry`, or of the head, is judged by.
    pub(crate) fn past(&self, ancestry: &[Arc<Block>]) -> Result<Past, MachineError> {
        let chain = self.chain();
        let mut past = Past::new(chain[0].clone());
        chain[1..].iter().for_each(|block| past.extend(block));
        for block in ancestry {
            if block.header.parent_hash != past.parent.hash() {
                return Err(MachineError::UnknownParent(block.header.parent_hash));
            }
            past.extend(block);
        }
        Ok(past)
    }
}

impl StateMachine for Toy {
    fn genesis(&self) -> Arc<Block> {
        self.chain.lock()[0].clone()
    }

    fn head(&self) -> Arc<Block> {
        self.chain.lock().last().unwrap().clone()
    }

    fn origin(&self) -> Result<Option<Bytes>, MachineError> {
        Ok((self.first > 0).then(|| self.certificates.lock()[self.first].clone()))
    }

    fn epochs(&self) -> Option<Epochs> {
        self.elections.as_ref().map(|elections| elections.epochs)
    }

    fn committee(&self, epoch: u64) -> Result<Option<Vec<Seat>>, MachineError> {
        let Some(Elections { epochs, committees }) = &self.elections else { return Ok(None) };
        let elected = epoch <= epochs.containing(self.head().header.number + 1);
        let place = usize::try_from(epoch).unwrap().min(committees.len() - 1);
        let seat = |public_key: &[u8; 32]| Seat { public_key: *public_key, stake: 1 };
        Ok(elected.then(|| committees[place].iter().map(seat).collect()))
    }

    fn seed(&self, epoch: u64) -> Result<B256, MachineError> {
        Ok(self.elections.as_ref().map_or(B256::ZERO, |_| keccak256(epoch.to_be_bytes())))
    }

    fn hash(&self, number: u64) -> Result<Option<B256>, MachineError> {
        let number = usize::try_from(number).unwrap();
        // A state sync brings headers of ancestors: as many as certificates may be of, if no more.
        let known = self.first.saturating_sub(Participation::MAX_DISTANCE.into());
        Ok(self.hashes().get(number).filter(|_| number >= known).copied())
    }

    fn begin(&self, _ancestry: &[Arc<Block>]) {}

    fn has_work(&self) -> bool {
        !self.pending.lock().is_empty()
    }

    fn propose(&self, ancestry: &[Arc<Block>], slot: Slot) -> Result<Arc<Block>, MachineError> {
        let past = self.past(ancestry)?;
        let pending = self.pending.lock();
        let free = pending.iter().filter(|transaction| !past.included.contains(transaction));
        let number = past.parent.header.number + 1;
        let participation = slot.participation.filter(|shown| number - u64::from(shown.distance) > past.attended);
        let slot = Slot { participation, ..slot };
        Ok(Arc::new(child(&past.parent, &slot, free.take(BLOCK_TRANSACTIONS).cloned().collect())))
    }

    fn verify(&self, ancestry: &[Arc<Block>], block: &Arc<Block>, _now_ms: u64) -> Result<(), MachineError> {
        match violations(&self.past(ancestry)?, block).into_iter().find(|rule| !broken(*rule)) {
            None => Ok(()),
            Some(rule) => Err(MachineError::Invalid { number: block.header.number, reason: format!("{rule:?}") }),
        }
    }

    fn finalize(&self, block: &Arc<Block>, certificate: &[u8]) -> Result<(), MachineError> {
        let head = self.head();
        if block.header.number <= head.header.number {
            let known = self.hashes()[usize::try_from(block.header.number).unwrap()];
            assert_eq!(known, block.hash(), "another block came at a final height");
            return Ok(());
        }
        if block.header.parent_hash != head.hash() || certificate.is_empty() {
            return Err(MachineError::Storage(format!("block {} does not follow the head", block.header.number)));
        }
        // The first number of a certificate is its epoch.
        let epoch = self.epochs().map_or(0, |epochs| epochs.containing(block.header.number));
        assert_eq!(
            u64::from(certificate[0]),
            epoch,
            "block {} has a certificate of another epoch",
            block.header.number
        );
        self.pending.lock().retain(|transaction| !block.transactions.contains(transaction));
        self.chain.lock().push(block.clone());
        self.certificates.lock().push(Bytes::copy_from_slice(certificate));
        Ok(())
    }
}

impl TransactionPool for Toy {
    fn receive(&self, transactions: Vec<Bytes>) -> Vec<Verdict> {
        let valid = transactions.iter().filter(|transaction| transaction.len() == TRANSACTION_BYTES).count();
        let mut received = self.received.lock();
        *received = [received[0] + valid, received[1] + transactions.len() - valid];
        drop(received);
        transactions.into_iter().map(|transaction| self.take(transaction)).collect()
    }
}
