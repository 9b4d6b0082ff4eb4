//! Test the stack on commonware's seeded runtime with a state machine that only counts.

use crate::wire::Links;
use crate::{Committee, Config, EngineError, Timings, WorkSignal, stack};
use candela_ledger::{MachineError, Slot, StateMachine};
use candela_primitives::{Address, B256, Block, Bytes, Header, ShardHeader};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated;
use commonware_runtime::{Clock, Runner as _, Supervisor, deterministic};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Most transactions in a block.
const BLOCK_TRANSACTIONS: usize = 3;

/// A chain in memory that survives a simulated crash, as a disk would.
pub(crate) struct Toy {
    chain: Mutex<Vec<Arc<Block>>>,
    pending: Mutex<Vec<Bytes>>,
}

impl Toy {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { chain: Mutex::new(vec![Arc::new(Block::default())]), pending: Mutex::default() })
    }

    pub(crate) fn submit(&self, number: u64) {
        self.pending.lock().push(number.to_be_bytes().to_vec().into());
    }

    pub(crate) fn hashes(&self) -> Vec<B256> {
        self.chain.lock().iter().map(|block| block.hash()).collect()
    }

    /// Every transaction of the finalised chain, in order.
    fn transactions(&self) -> Vec<Bytes> {
        self.chain.lock().iter().flat_map(|block| block.transactions.clone()).collect()
    }

    fn check(&self, ancestry: &[Arc<Block>]) -> Result<Arc<Block>, MachineError> {
        let mut parent = self.head();
        for block in ancestry {
            if block.header.parent_hash != parent.hash() {
                return Err(MachineError::UnknownParent(block.header.parent_hash));
            }
            parent = block.clone();
        }
        Ok(parent)
    }
}

impl StateMachine for Toy {
    fn genesis(&self) -> Arc<Block> {
        self.chain.lock()[0].clone()
    }

    fn head(&self) -> Arc<Block> {
        self.chain.lock().last().unwrap().clone()
    }

    fn begin(&self, _ancestry: &[Arc<Block>]) {}

    fn has_work(&self) -> bool {
        !self.pending.lock().is_empty()
    }

    fn propose(&self, ancestry: &[Arc<Block>], slot: Slot) -> Result<Arc<Block>, MachineError> {
        let parent = self.check(ancestry)?;
        let in_flight: Vec<_> = ancestry.iter().flat_map(|block| &block.transactions).collect();
        let pending = self.pending.lock();
        let free = pending.iter().filter(|transaction| !in_flight.contains(transaction));
        let header = Header {
            parent_hash: parent.hash(),
            number: parent.header.number + 1,
            timestamp_ms: slot.now_ms.max(parent.header.timestamp_ms + 1),
            prevrandao: slot.randomness,
            ..Header::default()
        };
        let transactions = free.take(BLOCK_TRANSACTIONS).cloned().collect();
        let mut block = Block { header, transactions, ..Block::default() };
        let transactions_root = block.transactions_root();
        block.header.shards = vec![ShardHeader { transactions_root, ..ShardHeader::default() }];
        Ok(Arc::new(block))
    }

    fn verify(&self, ancestry: &[Arc<Block>], block: &Arc<Block>, _now_ms: u64) -> Result<(), MachineError> {
        let parent = self.check(ancestry)?;
        if block.header.parent_hash == parent.hash() {
            return Ok(());
        }
        Err(MachineError::Invalid { number: block.header.number, reason: "wrong parent".to_owned() })
    }

    fn finalize(&self, block: &Arc<Block>, certificate: &[u8]) -> Result<(), MachineError> {
        let head = self.head();
        if block.header.number <= head.header.number {
            assert_eq!(
                self.hashes()[usize::try_from(block.header.number).unwrap()],
                block.hash(),
                "another block came"
            );
            return Ok(());
        }
        if block.header.parent_hash != head.hash() || certificate.is_empty() {
            return Err(MachineError::Storage(format!("block {} does not follow the head", block.header.number)));
        }
        self.pending.lock().retain(|transaction| !block.transactions.contains(transaction));
        self.chain.lock().push(block.clone());
        Ok(())
    }
}

fn config(work: WorkSignal) -> Config {
    Config {
        directory: PathBuf::new(),
        secret: [7; 32],
        committee: Committee::solitary(&[7; 32]).unwrap(),
        network: None,
        chain_id: 1,
        fee_recipient: Address::ZERO,
        max_block_bytes: 1 << 20,
        threads: 1,
        timings: Timings::solitary(),
        work,
    }
}

pub(crate) type SimulatedLinks = Links<
    simulated::Sender<PublicKey, deterministic::Context>,
    simulated::Receiver<PublicKey>,
    simulated::Control<PublicKey, deterministic::Context>,
>;

const fn alone() -> SimulatedLinks {
    Links::alone()
}

fn start_time() -> std::time::SystemTime {
    std::time::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

pub(crate) fn runner(seed: u64) -> deterministic::Runner {
    deterministic::Runner::new(deterministic::Config::default().with_seed(seed).with_start_time(start_time()))
}

/// Runs the stack while it submits `count` transactions from number `first` on, one every `pause`.
async fn feed(context: &deterministic::Context, toy: &Arc<Toy>, first: u64, count: u64, pause: Duration) {
    let work = WorkSignal::new();
    let stack = stack::start(context, "", &config(work.clone()), toy.clone(), alone()).await.unwrap();
    let submissions = async {
        for number in first..first + count {
            toy.submit(number);
            work.notify();
            context.sleep(pause).await;
        }
    };
    tokio::select! {
        biased;
        error = stack.failed() => panic!("the stack failed: {error}"),
        () = submissions => {}
    }
}

/// Auditor state and block hashes after 100 transactions under `seed`.
fn run(seed: u64) -> (String, Vec<B256>) {
    let toy = Toy::new();
    let machine = toy.clone();
    let auditor = runner(seed).start(|context| async move {
        feed(&context, &machine, 0, 100, Duration::from_millis(20)).await;
        context.auditor().state()
    });
    assert!(toy.transactions().len() >= 90, "seed {seed}: only {} transactions became final", toy.transactions().len());
    (auditor, toy.hashes())
}

#[test]
fn equal_seeds_give_equal_runs() {
    for seed in 0..4 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
fn crashes_neither_lose_nor_repeat_a_finalised_block() {
    for seed in 0..12u64 {
        let (toy, mut checkpoint, mut before) = (Toy::new(), None, Vec::new());
        for round in 0..6 {
            let machine = toy.clone();
            // A stop at an arbitrary moment: unsynced writes are lost with the runtime.
            let pause = Duration::from_millis(7 + (seed * 13 + round * 29) % 40);
            let part = checkpoint.take().map_or_else(|| runner(seed), deterministic::Runner::from);
            let ((), saved) = part.start_and_recover(|context| async move {
                feed(&context, &machine, round * 10, 10, pause).await;
            });
            checkpoint = Some(saved);
            assert_eq!(toy.hashes()[..before.len()], before, "seed {seed}: a finalised block changed");
            before = toy.hashes();
        }
        let machine = toy.clone();
        deterministic::Runner::from(checkpoint.unwrap()).start(|context| async move {
            feed(&context, &machine, 60, 1, Duration::from_secs(10)).await;
        });
        let mut transactions = toy.transactions();
        assert_eq!(transactions.len(), 61, "seed {seed}: transactions were lost or repeated");
        transactions.sort();
        transactions.dedup();
        assert_eq!(transactions.len(), 61, "seed {seed}: a transaction was repeated");
    }
}

#[test]
fn without_work_no_block_is_made_until_the_heartbeat() {
    let toy = Toy::new();
    let machine = toy.clone();
    runner(1).start(|context| async move {
        let stack = stack::start(&context, "", &config(WorkSignal::new()), machine.clone(), alone()).await.unwrap();
        context.sleep(Duration::from_secs(59)).await;
        assert_eq!(machine.hashes().len(), 1);
        context.sleep(Duration::from_secs(3)).await;
        assert_eq!(machine.hashes().len(), 2);
        drop(stack);
    });
}

#[test]
fn a_lone_transaction_is_final_within_tens_of_milliseconds() {
    let toy = Toy::new();
    let machine = toy.clone();
    runner(2).start(|context| async move {
        let work = WorkSignal::new();
        let _stack = stack::start(&context, "", &config(work.clone()), machine.clone(), alone()).await.unwrap();
        context.sleep(Duration::from_millis(3_300)).await;
        machine.submit(1);
        work.notify();
        context.sleep(Duration::from_millis(40)).await;
        assert_eq!(machine.transactions().len(), 1);
    });
}

#[test]
fn a_ledger_that_lost_blocks_is_refused() {
    let toy = Toy::new();
    let machine = toy.clone();
    let ((), saved) = runner(3).start_and_recover(|context| async move {
        feed(&context, &machine, 0, 5, Duration::from_millis(200)).await;
    });
    let error = deterministic::Runner::from(saved).start(|context| async move {
        let empty = Toy::new();
        stack::start(&context.child("again"), "", &config(WorkSignal::new()), empty, alone()).await.err()
    });
    assert!(matches!(error, Some(EngineError::Behind { ledger: 0, .. })), "{error:?}");
}
