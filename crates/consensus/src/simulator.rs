//! Run committees of the production stack on a seeded network that loses messages, splits, and crashes validators, one of
//! which may be a traitor.
//!
//! `make simulate SEEDS=100..200 FAULTS=Crash,Equivocating` runs the named seeds with the named faults; a failure names
//! its seed, which runs it again, bit for bit.

mod ballots;
mod byzantine;
mod costs;
pub(crate) mod disk;
mod faults;
mod mischief;
mod properties;
mod split;
mod world;

use crate::mutation::{Rule, without};
use crate::simulation::runner;
use byzantine::Byzantine;
use candela_primitives::B256;
use commonware_runtime::{Clock, Runner as _, Supervisor};
use faults::Faults;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use world::World;

#[global_allocator]
static ALLOCATOR: candela_memory::Counted = candela_memory::Counted;

/// How long faults last.
const FAULTY: Duration = Duration::from_secs(12);
/// Requests for blocks, and answers, that changes of epochs may cost where no honest validator fails.
const CALM_REQUESTS: u64 = 60;
/// Memory that 30 s of a flood may leave behind at all members together.
const FLOOD_GROWTH: isize = 8 << 20;
/// Seeds within which a broken rule has to be noticed.
const MUTATION_SEEDS: u64 = 100;

/// The auditor's state and the finalised chain after a run under `seed`.
fn simulate(seed: u64, faults: &Faults) -> (String, Vec<B256>) {
    runner(seed).start(|context| async move {
        let mut world = World::new(context.child("world"), seed, faults.traitor(seed)).await;
        let end = context.current() + FAULTY;
        while context.current() < end {
            world.disturb(faults).await;
        }
        let requests = world.requests();
        let calm = faults.network.is_empty();
        assert!(!calm || requests <= CALM_REQUESTS, "requests: {requests} for blocks although nothing is lost");
        world.agree().await;
        world.settle().await;
        (context.auditor().state(), world.hashes())
    })
}

thread_local! {
    /// How long the committee of this thread has existed, in simulated time.
    static AGE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// What a run under `seed` violates.
fn violated(seed: u64, faults: &Faults) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| simulate(seed, faults))).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
}

#[test]
fn four_validators_agree_on_every_transaction() {
    runner(1).start(|context| async move {
        let mut world = World::new(context.child("world"), 1, None).await;
        world.load(Duration::from_secs(5), Duration::from_millis(50)).await;
        world.agree().await;
        world.settle().await;
        let heights = world.heights();
        assert!(*heights.iter().min().unwrap() > 20, "{heights:?}");
    });
}

#[test]
fn blocks_show_the_votes_of_all_who_vote_and_of_nobody_else() {
    runner(3).start(|context| async move {
        let mut world = World::new(context.child("world"), 3, None).await;
        world.load(Duration::from_secs(20), Duration::from_millis(50)).await;
        let (blocks, (shown, signed)) = (world.heights()[0], world.participation());
        println!("{blocks} blocks show {shown} certificates, signed by {signed:?}");
        assert!(u64::from(shown) * 10 > blocks * 9, "{shown} certificates in {blocks} blocks");
        assert!(signed.iter().all(|signed| signed * 20 > shown * 19), "{signed:?} of {shown}");
        world.crash(3).await;
        world.load(Duration::from_secs(20), Duration::from_millis(50)).await;
        let (all, present) = world.participation();
        assert!(all > shown + 50, "{all} certificates");
        assert!(present[3] <= signed[3] + 2, "a validator that is gone signs");
        assert!(present[..3].iter().zip(signed).all(|(now, before)| (now - before) * 20 > (all - shown) * 19));
    });
}

#[test]
fn whoever_votes_last_is_shown_too() {
    let signed = |seed| {
        runner(seed).start(|context| async move {
            let mut world = World::new(context.child("world"), seed, None).await;
            world.load(Duration::from_secs(10), Duration::from_millis(50)).await;
            world.participation()
        })
    };
    let (shown, all) = signed(4);
    let (without, some) = without(Rule::Latecomers, || signed(4));
    println!("With late votes {all:?} of {shown} certificates are signed, without them {some:?} of {without}");
    assert!(all.iter().all(|each| each * 20 > shown * 19), "{all:?} of {shown}");
    assert!(some.iter().any(|each| each * 20 < without * 19), "{some:?} of {without}: late votes make no difference");
}

#[test]
fn one_of_four_may_be_gone_and_two_may_not() {
    runner(2).start(|context| async move {
        let mut world = World::new(context.child("world"), 2, None).await;
        world.agree().await;
        world.crash(3).await;
        let before = world.heights()[0];
        world.load(Duration::from_secs(12), Duration::from_millis(100)).await;
        assert!(world.heights()[0] > before + 20, "one crash stopped the chain at {:?}", world.heights());
        world.crash(2).await;
        world.load(Duration::from_secs(2), Duration::from_millis(100)).await;
        let stopped = world.heights();
        world.load(Duration::from_secs(10), Duration::from_millis(100)).await;
        assert_eq!(world.heights(), stopped, "two of four validators finalised a block");
        world.start(3).await;
        world.start(2).await;
        world.agree().await;
    });
}

#[test]
fn faults_never_split_the_chain_and_it_goes_on_when_they_end() {
    let seeds = std::env::var("CANDELA_SIMULATE").unwrap_or_else(|_| "0..100".to_owned());
    let names = std::env::var("CANDELA_FAULTS").unwrap_or_default();
    let (faults, (first, last)) = (Faults::named(&names), seeds.split_once("..").unwrap());
    for seed in first.parse::<u64>().unwrap()..last.parse().unwrap() {
        let violation = violated(seed, &faults);
        let again = format!("make simulate SEEDS={seed}..{} FAULTS={names}", seed + 1);
        assert!(violation.is_none(), "seed {seed}: {}; repeat it with: {again}", violation.unwrap_or_default());
    }
}

/// Blocks that a committee with `traitor` and no other fault makes in 30 s while transactions wait.
fn blocks_beside(traitor: Byzantine, seed: u64) -> u64 {
    runner(seed).start(|context| async move {
        let mut world = World::new(context.child("world"), seed, Some(traitor)).await;
        world.agree().await;
        let before = world.heights()[0];
        world.load(Duration::from_secs(30), Duration::from_millis(30)).await;
        world.heights()[0] - before
    })
}

#[test]
fn a_traitor_costs_no_more_than_its_own_views() {
    // Three honest views take a block interval and some latency each, the traitor's at most the time to certify.
    for traitor in [Byzantine::Withholding, Byzantine::Equivocating, Byzantine::WrongStateRoot] {
        for seed in 0..4 {
            let blocks = blocks_beside(traitor, seed);
            assert!(blocks >= 45, "seed {seed} as {traitor:?}: {blocks} blocks in 30 s");
        }
    }
}

/// What a committee with `traitor` and no other fault comes to hold in 40 s beyond what it held after 10 s.
fn growth_beside(traitor: Option<Byzantine>, seed: u64) -> isize {
    runner(seed).start(|context| async move {
        let mut world = World::new(context.child("world"), seed, traitor).await;
        world.load(Duration::from_secs(10), Duration::from_millis(100)).await;
        let before = world.held();
        world.load(Duration::from_secs(30), Duration::from_millis(100)).await;
        world.held() - before
    })
}

#[test]
fn a_flood_does_not_fill_the_memory_of_those_who_are_flooded() {
    // One floods with what is well-formed alone, the other with noise as well.
    for seed in [1, 1 + Byzantine::COUNT] {
        let (calm, flooded) = (growth_beside(None, seed), growth_beside(Some(Byzantine::Flooding), seed));
        println!("seed {seed}: grown by {} KiB in 30 s, flooded by {} KiB", calm >> 10, flooded >> 10);
        assert!(flooded < calm + FLOOD_GROWTH, "seed {seed}: {flooded} bytes instead of {calm}");
        // Who sends noise is cut off at once.
        if seed == 1 {
            let unbounded = without(Rule::Cache, || growth_beside(Some(Byzantine::Flooding), seed));
            println!("seed {seed}: without a bound on blocks, by {} KiB", unbounded >> 10);
            assert!(unbounded >= calm + FLOOD_GROWTH, "nobody would notice that blocks are kept without a bound");
        }
    }
}

#[test]
fn who_hears_both_votes_of_a_traitor_keeps_them_through_a_crash_and_accuses_nobody_else() {
    for seed in 0..8 {
        runner(seed).start(|context| async move {
            // The traitor's halves share one friend.
            let friend = 1;
            let mut world = World::new(context.child("world"), seed, Some(Byzantine::Equivocating)).await;
            world.load(Duration::from_secs(5), Duration::from_millis(50)).await;
            let known = world.evidence(friend);
            assert!(!known.is_empty(), "seed {seed}: nobody noticed that the traitor voted twice");
            world.crash(friend).await;
            world.start(friend).await;
            assert!(world.evidence(friend).is_empty());
            world.load(Duration::from_secs(1), Duration::from_millis(50)).await;
            assert_eq!(world.evidence(friend), known, "seed {seed}");
            world.agree().await;
        });
    }
}

#[test]
fn equal_seeds_give_equal_runs_of_a_committee() {
    let faults = Faults::all();
    for seed in 0..u64::try_from(faults.traitors.len()).unwrap() {
        let (one, other) = (simulate(seed, &faults), simulate(seed, &faults));
        assert!(one == other, "seed {seed} as {:?}: {} and {}", faults.traitor(seed), one.0, other.0);
    }
}

/// Cuts every link `delay_ms` after a transaction came; whether it becomes final although no other follows.
fn survives_an_interruption(delay_ms: u64) -> bool {
    let run = || {
        runner(delay_ms).start(|context| async move {
            let mut world = World::new(context.child("world"), delay_ms, None).await;
            world.agree().await;
            world.settle().await;
            world.interrupt(Duration::from_millis(delay_ms)).await;
            world.settle().await;
        });
    };
    catch_unwind(run).is_ok()
}

#[test]
fn a_block_whose_last_votes_were_lost_becomes_final_without_another_transaction() {
    let delays = || (0..150).step_by(3);
    assert_eq!(delays().find(|delay| !survives_an_interruption(*delay)), None);
    let stuck =
        delays().filter(|delay| without(Rule::Finish, || !survives_an_interruption(*delay))).collect::<Vec<_>>();
    println!("Without Rule::Finish the block is stuck when the links are cut after {stuck:?} ms");
    assert!(!stuck.is_empty(), "nobody would notice if a notarized block were not finished");
}

/// The first seed under which a simulation without `rule` violates a property, and the violation.
fn noticed(rule: Rule, faults: &Faults) -> (u64, String) {
    let find = |seed| without(rule, || violated(seed, faults)).map(|text| (seed, text));
    let found = (0..MUTATION_SEEDS).find_map(find);
    found.unwrap_or_else(|| panic!("nobody noticed within {MUTATION_SEEDS} seeds that {rule:?} is broken"))
}

#[test]
fn every_broken_rule_is_noticed() {
    let with = |traitor| Faults::with(Some(traitor));
    let cases = [
        (Rule::StateRoot, with(Byzantine::WrongStateRoot), "rules:"),
        (Rule::Transactions, with(Byzantine::InvalidTransaction), "rules:"),
        (Rule::Replay, with(Byzantine::RepeatedTransaction), "rules:"),
        (Rule::Timestamp, with(Byzantine::OldTimestamp), "rules:"),
        (Rule::Randomness, with(Byzantine::ChosenRandomness), "randomness:"),
        (Rule::Signatures, with(Byzantine::ForgedSignatures), "participation:"),
        (Rule::Ancestor, with(Byzantine::OtherAncestor), "participation:"),
        (Rule::Attendance, with(Byzantine::ShownTwice), "rules:"),
        (Rule::Durability, Faults::with(None), "failure:"),
        (Rule::Announcement, Faults::with(None), "gossip:"),
        (Rule::Journal, with(Byzantine::Silent), "votes:"),
        (Rule::Memory, Faults::forgetting(), "contradict its own vote"),
        (Rule::Clock, Faults::with(None), "clock:"),
        (Rule::Credit, with(Byzantine::Flooding), "credit:"),
        (Rule::Epoch, Faults::only(Byzantine::Replaying), "requests:"),
    ];
    for (rule, faults, property) in cases {
        let (seed, text) = noticed(rule, &faults);
        println!("{rule:?} noticed in seed number {} after {:?}: {text}", seed + 1, AGE.get());
        assert!(text.contains(property), "{rule:?} was noticed for another reason: {text}");
        assert_eq!(violated(seed, &faults), None, "seed {seed} fails with {rule:?} kept, too");
    }
}
