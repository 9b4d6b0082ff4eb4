//! Measure blocks of Ethereum's public chain on two workers:
//! `cargo run --release -p candela-conformance --example mainnet_speed -- PATH...`.

use candela_conformance::blocktest::{find, speed};
use std::{error::Error, path::PathBuf, time::Duration};

fn main() -> Result<(), Box<dyn Error>> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in std::env::args().skip(1) {
        find(path.as_ref(), &mut folders)?;
    }
    folders.sort();
    println!("{:>10} {:>6} {:>12} {:>7} {:>7} {:>8}", "block", "Mgas", "in order ms", "build", "replay", "ceiling");
    for folder in folders {
        let Some(speed) = speed(&folder)? else { continue };
        let ratio = |taken: Duration| speed.in_order.as_secs_f64() / taken.as_secs_f64();
        println!(
            "{:>10} {:>6.1} {:>12.1} {:>6.2}x {:>6.2}x {:>7.2}x",
            folder.file_name().unwrap_or_default().to_string_lossy(),
            speed.gas as f64 / 1e6,
            speed.in_order.as_secs_f64() * 1e3,
            ratio(speed.build),
            ratio(speed.replay),
            2.0 * ratio(speed.side_by_side),
        );
    }
    Ok(())
}
