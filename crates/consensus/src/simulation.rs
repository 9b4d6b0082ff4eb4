//! Test the stack on commonware's seeded runtime with a state machine that only counts.

use crate::simulator::disk;
use crate::toy::Toy;
use crate::wire::Links;
use crate::{Announcements, Committee, Config, EngineError, Evidence, Timings, WorkSignal, stack};
use candela_primitives::{Address, B256};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated;
use commonware_runtime::{Clock, Runner as _, Supervisor, deterministic};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn config(toy: &Arc<Toy>) -> Config {
    let (work, announcements) = (WorkSignal::new(), Announcements::default());
    toy.listen(&work, &announcements);
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
        announcements,
        pool: toy.clone(),
        votes: crate::VoteRecord::default(),
        evidence: Evidence::default(),
        progress: crate::Progress::default(),
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
    let stack = stack::start(context, "", &config(toy), toy.clone(), alone()).await.unwrap();
    let submissions = async {
        for number in first..first + count {
            toy.submit(number);
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

/// Where marshal keeps certificates, and how far it has delivered blocks.
const CERTIFICATES: [&str; 4] =
    ["finalizations-metadata", "finalizations-keys", "finalizations-values", "marshal-application-metadata"];

#[test]
fn a_final_block_whose_certificate_was_lost_in_a_crash_gets_one_again() {
    let toy = Toy::new();
    let machine = toy.clone();
    let ((), saved) = runner(4).start_and_recover(|context| async move {
        feed(&context, &machine, 0, 5, Duration::from_millis(200)).await;
    });
    let machine = toy.clone();
    let (copies, saved) = deterministic::Runner::from(saved).start_and_recover(|context| async move {
        let mut copies = Vec::new();
        for store in CERTIFICATES {
            copies.push(disk::copy(&context, store).await);
        }
        feed(&context, &machine, 5, 1, Duration::from_millis(500)).await;
        copies
    });
    assert_eq!(toy.transactions().len(), 6);
    toy.lose_last();
    let machine = toy.clone();
    deterministic::Runner::from(saved).start(|context| async move {
        for (store, copy) in CERTIFICATES.iter().zip(&copies) {
            disk::restore(&context, store, copy).await;
        }
        feed(&context, &machine, 6, 2, Duration::from_millis(500)).await;
    });
    assert_eq!(toy.transactions().len(), 8);
}

#[test]
fn without_work_no_block_is_made_until_the_heartbeat() {
    let toy = Toy::new();
    let machine = toy.clone();
    runner(1).start(|context| async move {
        let stack = stack::start(&context, "", &config(&machine), machine.clone(), alone()).await.unwrap();
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
        let _stack = stack::start(&context, "", &config(&machine), machine.clone(), alone()).await.unwrap();
        context.sleep(Duration::from_millis(3_300)).await;
        machine.submit(1);
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
        stack::start(&context.child("again"), "", &config(&empty), empty.clone(), alone()).await.err()
    });
    assert!(matches!(error, Some(EngineError::Behind { ledger: 0, .. })), "{error:?}");
}
