//! Count what a committee of any size sends for each block, for the model in docs/consensus.md.

use super::world::{Context, Honest, config, fee_recipient, good, key, launch, links};
use crate::Committee;
use crate::committee::Member;
use crate::network::message_bytes;
use crate::simulation::runner;
use crate::toy::Toy;
use crate::wire::{Links, Pair, Wire};
use candela_ledger::StateMachine;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Recipients;
use commonware_p2p::simulated::{self, Control, Receiver, Sender, SplitForwarder, SplitSender};
use commonware_runtime::{Clock, IoBuf, Runner as _, Supervisor};
use commonware_utils::NZUsize;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CHANNELS: [&str; 6] = ["votes", "certificates", "fetches", "blocks", "backfill", "transactions"];
const SIZES: [usize; 5] = [4, 10, 25, 50, 100];
const BLOCKS: u64 = 20;
/// Views that a committee may lose while its members find each other, not counted.
const WARM_BLOCKS: u64 = 3;
const MAX_BLOCK_BYTES: usize = 1 << 16;

/// Messages and their bytes, once for each receiver, by channel.
#[derive(Clone, Copy, Default)]
struct Sent {
    messages: u64,
    bytes: u64,
}

type Counters = Arc<Mutex<[Sent; CHANNELS.len()]>>;

fn counter(counters: &Counters, channel: usize, peers: usize) -> impl SplitForwarder<PublicKey> + use<> {
    let counters = counters.clone();
    move |_, recipients: &Recipients<PublicKey>, message: &IoBuf| {
        let receivers = match recipients {
            Recipients::All => peers,
            Recipients::Some(keys) => keys.len(),
            Recipients::One(_) => 1,
        };
        let mut counters = counters.lock();
        counters[channel].messages += u64::try_from(receivers).unwrap();
        counters[channel].bytes += u64::try_from(receivers * message.len()).unwrap();
        Some(recipients.clone())
    }
}

fn counted(
    links: Honest,
    counters: &Counters,
    peers: usize,
) -> Links<
    SplitSender<PublicKey, Context, impl SplitForwarder<PublicKey> + use<>>,
    Receiver<PublicKey>,
    Control<PublicKey, Context>,
> {
    let count = |(sender, receiver): Pair<Sender<PublicKey, Context>, Receiver<PublicKey>>, channel| {
        let Wire::Connected(sender) = sender else { return (Wire::Alone, receiver) };
        (Wire::Connected(sender.split_with(counter(counters, channel, peers)).0), receiver)
    };
    Links {
        votes: count(links.votes, 0),
        certificates: count(links.certificates, 1),
        fetches: count(links.fetches, 2),
        blocks: count(links.blocks, 3),
        backfill: count(links.backfill, 4),
        transactions: count(links.transactions, 5),
        blocker: links.blocker,
    }
}

/// What a committee of `size` sends for a block on average, and the CPU time that a validator uses for it.
fn cost(size: usize) -> ([Sent; CHANNELS.len()], Duration) {
    runner(1).start(|context| async move {
        let settings = simulated::Config {
            max_size: message_bytes(size, MAX_BLOCK_BYTES).unwrap(),
            max_peers_per_set: NZUsize!(size),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            simulated::Network::new_with_peers(context.child("network"), settings, (0..size).map(key)).await;
        network.start();
        let member = |index| Member { public_key: key(index).as_ref().try_into().unwrap(), weight: 1 };
        let committee = Committee { epoch: 0, members: (0..size).map(member).collect() };
        let (counters, toys) = (Counters::default(), (0..size).map(|_| Toy::new()).collect::<Vec<_>>());
        let mut running = Vec::new();
        for (index, toy) in toys.iter().enumerate() {
            let wires = counted(links(&oracle, index).await, &counters, size - 1);
            let mut config = config(index, toy);
            config.committee = committee.clone();
            config.fee_recipient = fee_recipient(index);
            running.push(launch(
                context.child("validator").with_attribute("index", index),
                format!("v{index}-"),
                config,
                toy.clone(),
                wires,
            ));
        }
        for one in 0..size {
            for other in (0..size).filter(|other| *other != one) {
                oracle.add_link(key(one), key(other), good()).await.unwrap();
            }
        }
        let (mut submitted, mut begun) = (0, None);
        loop {
            let height = toys[0].head().header.number;
            if height >= WARM_BLOCKS && begun.is_none() {
                *counters.lock() = Default::default();
                begun = Some((height, Instant::now()));
            }
            if let Some((first, since)) = begun
                && height >= first + BLOCKS
            {
                let blocks = height - first;
                let mut sent = *counters.lock();
                for each in &mut sent {
                    *each = Sent { messages: each.messages / blocks, bytes: each.bytes / blocks };
                }
                let cpu = since.elapsed() / u32::try_from(blocks).unwrap() / u32::try_from(size).unwrap();
                break (sent, cpu);
            }
            toys[usize::try_from(submitted).unwrap() % size].submit(submitted);
            submitted += 1;
            context.sleep(Duration::from_millis(100)).await;
        }
    })
}

#[test]
#[ignore = "a measurement: make cost-model"]
fn costs_of_committees() {
    print!("{:>10}", "validators");
    CHANNELS.iter().for_each(|channel| print!("{channel:>14}"));
    println!("{:>12}{:>14}{:>12}", "messages", "KiB a member", "CPU ms");
    for size in SIZES {
        let (sent, cpu) = cost(size);
        print!("{size:>10}");
        sent.iter().for_each(|each| print!("{:>14}", each.bytes));
        let (messages, bytes) = sent.iter().fold((0, 0), |(m, b), each| (m + each.messages, b + each.bytes));
        let members = u64::try_from(size).unwrap();
        println!("{messages:>12}{:>14.1}{:>12.2}", bytes as f64 / members as f64 / 1024.0, cpu.as_secs_f64() * 1e3);
    }
}
