//! Time one call that takes a batch of signed transactions into a node, from Rust: what `benches/binding.py` compares the
//! Python binding with.
//!
//! Arguments: a file with the node's configuration as JSON, then files with concatenated RLP transactions. Prints the
//! seconds of each batch as a JSON list.

use candela_node::{Config, Node};
use candela_primitives::Bytes;
use candela_signing::split_transactions;
use std::{error::Error, fs, time::Instant};

fn submit(node: &Node, batch: &Bytes) -> Result<f64, Box<dyn Error>> {
    let started = Instant::now();
    let results = node.ledger().clone().submit_batch(split_transactions(batch, usize::MAX)?);
    let seconds = started.elapsed().as_secs_f64();
    results.into_iter().find_map(Result::err).map_or(Ok(seconds), |refused| Err(refused.into()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = std::env::args().skip(1);
    let config = Config::from_json(&fs::read_to_string(files.next().ok_or("name a configuration and batches")?)?)?;
    let batches = files.map(|file| fs::read(file).map(Bytes::from)).collect::<Result<Vec<_>, _>>()?;
    let node = Node::start(&config, None)?;
    let seconds = batches.iter().map(|batch| submit(&node, batch)).collect::<Result<Vec<_>, _>>()?;
    node.stop()?;
    println!("{}", serde_json::to_string(&seconds)?);
    Ok(())
}
