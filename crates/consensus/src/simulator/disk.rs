//! Do to the votes on a validator's disk what crashes, bad sectors and backups do.

use super::world::Context;
use crate::record::tests::Bytes;
use commonware_runtime::{Blob, Clock, ReadOptions, Storage, WriteOptions};
use rand::{RngExt, rngs::StdRng};
use std::time::Duration;

/// Most bytes that a torn write leaves.
const TORN_BYTES: usize = 300;

/// The blobs of a partition by their names.
pub(crate) type Copy = Vec<(Vec<u8>, Vec<u8>)>;

async fn read(context: &Context, partition: &str, name: &[u8]) -> Vec<u8> {
    let (blob, bytes) = context.open(partition, name).await.unwrap();
    let length = usize::try_from(bytes).unwrap();
    blob.read_at(0, length, ReadOptions::default()).await.unwrap().coalesce().as_ref().to_vec()
}

async fn write(context: &Context, partition: &str, (name, bytes): (&[u8], &[u8])) {
    let (blob, _) = context.open(partition, name).await.unwrap();
    blob.resize(u64::try_from(bytes.len()).unwrap()).await.unwrap();
    blob.write_at(0, bytes.to_vec(), WriteOptions::default()).await.unwrap();
    blob.sync().await.unwrap();
}

async fn names(context: &Context, partition: &str) -> Vec<Vec<u8>> {
    // The actors of a crashed validator give their files back one after the other.
    context.sleep(Duration::from_millis(1)).await;
    let mut names = context.scan(partition).await.unwrap_or_default();
    names.sort();
    names
}

/// Copies a partition.
pub(crate) async fn copy(context: &Context, partition: &str) -> Copy {
    let mut copy = Vec::new();
    for name in names(context, partition).await {
        let bytes = read(context, partition, &name).await;
        copy.push((name, bytes));
    }
    copy
}

/// Puts a copy in the place of a partition.
pub(crate) async fn restore(context: &Context, partition: &str, copy: &Copy) {
    if !names(context, partition).await.is_empty() {
        context.remove(partition, None).await.unwrap();
    }
    for (name, bytes) in copy {
        write(context, partition, (name, bytes)).await;
    }
}

/// Leaves half of a write at the end of the newest file, and at that of the record.
pub(crate) async fn tear(context: &Context, random: &mut StdRng, partition: &str, record: &Bytes) {
    if let Some(newest) = names(context, partition).await.last() {
        let mut bytes = read(context, partition, newest).await;
        bytes.extend((0..random.random_range(1..TORN_BYTES)).map(|_| random.random::<u8>()));
        write(context, partition, (newest, &bytes)).await;
    }
    if let Some(bytes) = record.lock().unwrap().as_mut() {
        bytes.extend((0..random.random_range(0..40)).map(|_| random.random::<u8>()));
    }
}

/// Flips one bit.
pub(crate) async fn flip(context: &Context, random: &mut StdRng, partition: &str) {
    let names = names(context, partition).await;
    if names.is_empty() {
        return;
    }
    let name = &names[random.random_range(0..names.len())];
    let mut bytes = read(context, partition, name).await;
    if !bytes.is_empty() {
        let place = random.random_range(0..bytes.len());
        bytes[place] ^= 1 << random.random_range(0..8);
        write(context, partition, (name, &bytes)).await;
    }
}
