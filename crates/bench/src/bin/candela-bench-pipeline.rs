//! Measure a whole node without RPC: signed bytes in, durable finalised blocks and receipts out.
//!
//! Prints one JSON document. Arguments: `--workload W1`, `--transactions N`, `--senders N`, `--threads N`, `--batch N`,
//! `--runs N`, `--scheme ecdsa|session`.

use candela_bench::{
    Call, Workload,
    measure::{cost, peak_memory_bytes, reset_peak_memory},
    stages::Stages,
};
use candela_node::{Config, Node};
use candela_primitives::{Address, Bytes, keccak256};
use candela_signing::{SecretKey, SessionKey, sign_session, sign_transaction};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    error::Error,
    sync::atomic::{AtomicUsize, Ordering},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

struct Settings {
    workload: Workload,
    transactions: usize,
    senders: usize,
    threads: usize,
    batch: usize,
    runs: usize,
    /// Whether Ed25519 session keys sign, instead of the accounts' own keys.
    session: bool,
}

impl Settings {
    fn from_arguments() -> Result<Self, Box<dyn Error>> {
        let mut settings = Self {
            workload: Workload::Transfers,
            transactions: 200_000,
            senders: 10_000,
            threads: 2,
            batch: 2_000,
            runs: 1,
            session: true,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--workload" => {
                    settings.workload = Workload::named(&value).ok_or_else(|| format!("{value} is no workload"))?;
                }
                "--transactions" => settings.transactions = value.parse()?,
                "--senders" => settings.senders = value.parse()?,
                "--threads" => settings.threads = value.parse()?,
                "--batch" => settings.batch = value.parse()?,
                "--scheme" => {
                    settings.session = match value.as_str() {
                        "session" => true,
                        "ecdsa" => false,
                        _ => return Err(format!("{value} is no scheme").into()),
                    }
                }
                "--runs" => settings.runs = value.parse()?,
                _ => return Err(format!("unknown argument {name}").into()),
            }
        }
        Ok(settings)
    }
}

#[derive(Serialize)]
struct Report {
    workload: &'static str,
    title: &'static str,
    scheme: &'static str,
    transactions: usize,
    senders: usize,
    threads: usize,
    blocks: usize,
    per_second: f64,
    wall_s: f64,
    cpu_s: f64,
    peak_memory_bytes: Option<u64>,
    /// Wall-clock time of each stage in microseconds per transaction, and how often it ran.
    stages: BTreeMap<&'static str, (f64, u64)>,
}

fn key(number: usize) -> Result<SecretKey, Box<dyn Error>> {
    Ok(SecretKey::from_bytes(keccak256((number as u64 ^ 0x5eed_0000_0000).to_be_bytes()).as_slice())?)
}

fn session_key(number: usize) -> SessionKey {
    SessionKey::from_seed(keccak256((number as u64).to_le_bytes()).0)
}

/// Finalised transactions, to wait for.
#[derive(Default)]
struct Finalised {
    transactions: Mutex<usize>,
    changed: Condvar,
    blocks: AtomicUsize,
}

impl Finalised {
    fn wait(&self, count: usize) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + Duration::from_secs(600);
        let mut seen = self.transactions.lock().map_err(|_| "a listener panicked")?;
        while *seen < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("{seen} of {count} transactions are final after ten minutes").into());
            }
            seen = self.changed.wait_timeout(seen, left).map_err(|_| "a listener panicked")?.0;
        }
        Ok(())
    }
}

/// Submits `raw` in batches; what a full pool refuses is sent again once blocks have made room.
fn submit(node: &Node, raw: &[Bytes], batch: usize) -> Result<(), Box<dyn Error>> {
    for chunk in raw.chunks(batch) {
        let mut left = chunk.to_vec();
        while !left.is_empty() {
            let results = node.ledger().submit_batch(left.clone());
            let refused = left.into_iter().zip(results).filter_map(|(raw, result)| Some((raw, result.err()?)));
            let mut again = Vec::new();
            for (raw, error) in refused {
                if !error.to_string().contains("txpool is full") && !error.to_string().contains("underpriced") {
                    return Err(error.into());
                }
                again.push(raw);
            }
            if !again.is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
            left = again;
        }
    }
    Ok(())
}

fn measure(settings: &Settings, stages: &Stages) -> Result<Report, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let count = settings.transactions;
    let most = if settings.workload == Workload::Chain { count + 1 } else { settings.senders };
    let keys = (0..most).map(key).collect::<Result<Vec<_>, _>>()?;
    let addresses: Vec<Address> = keys.iter().map(SecretKey::address).collect();
    let world = settings.workload.world(count, settings.senders, now, &|number| addresses[number]);
    let config = Config::from_json(&serde_json::to_string(&serde_json::json!({
        "data_dir": directory.path(),
        "genesis": world.genesis,
        "fee_recipient": Address::repeat_byte(0xfe),
        "rpc": { "host": "127.0.0.1", "port": 0 },
        "threads": settings.threads,
        "block_interval_ms": 1,
    }))?)?;
    let mut nonces = vec![0; world.senders];
    let mut sign = |calls: &[Call], session: bool| -> Result<Vec<Bytes>, Box<dyn Error>> {
        let mut raw = Vec::with_capacity(calls.len());
        for call in calls {
            let nonce = nonces[call.sender];
            nonces[call.sender] += 1;
            let signed = if session {
                let fields = call.session_fields(nonce, addresses[call.sender]);
                sign_session(fields, &session_key(call.sender))
            } else {
                sign_transaction(call.fields(nonce), &keys[call.sender])?
            };
            raw.push(signed.encoded().clone());
        }
        Ok(raw)
    };
    let mut setup = sign(&world.setup, false)?;
    if settings.session {
        let authorize = |sender| Call::authorize(sender, session_key(sender).public(), now + 86_400);
        setup.extend(sign(&(0..world.senders).map(authorize).collect::<Vec<_>>(), false)?);
    }
    let raw = sign(&world.calls, settings.session)?;
    let senders = world.senders;
    drop(world);
    let node = Node::start(&config, None)?;
    let finalised = Arc::new(Finalised::default());
    let seen = finalised.clone();
    node.ledger().subscribe(move |block| {
        seen.blocks.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut transactions) = seen.transactions.lock() {
            *transactions += block.receipts.len();
            seen.changed.notify_all();
        }
    });
    submit(&node, &setup, settings.batch)?;
    finalised.wait(setup.len())?;
    let blocks = finalised.blocks.load(Ordering::Relaxed);
    reset_peak_memory();
    let _ = stages.take();
    let (result, spent) = cost(|| {
        submit(&node, &raw, settings.batch)?;
        finalised.wait(setup.len() + raw.len())
    });
    result?;
    let blocks = finalised.blocks.load(Ordering::Relaxed) - blocks;
    node.stop()?;
    Ok(Report {
        workload: settings.workload.name(),
        title: settings.workload.title(),
        scheme: if settings.session { "ed25519 session keys" } else { "ecdsa" },
        transactions: count,
        senders,
        threads: settings.threads,
        blocks,
        per_second: count as f64 / spent.wall.as_secs_f64(),
        wall_s: spent.wall.as_secs_f64(),
        cpu_s: spent.cpu.as_secs_f64(),
        peak_memory_bytes: peak_memory_bytes(),
        stages: stages
            .take()
            .into_iter()
            .map(|(name, (time, runs))| (name, (time.as_secs_f64() * 1e6 / count as f64, runs)))
            .collect(),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_arguments()?;
    let stages = Stages::default();
    let own = tracing_subscriber::filter::Targets::new().with_target("candela_ledger", tracing::Level::INFO);
    tracing_subscriber::registry().with(stages.clone().with_filter(own)).init();
    let reports = (0..settings.runs).map(|_| measure(&settings, &stages)).collect::<Result<Vec<_>, _>>()?;
    println!("{}", serde_json::to_string_pretty(&reports)?);
    Ok(())
}
