//! Send transactions to the other validators and take theirs, so that whoever leads next can include them.

use crate::announcements::{Announcements, MAX_BATCH_BYTES, MAX_BATCH_TRANSACTIONS, MAX_TRANSACTION_BYTES};
use crate::application::elapsed_us;
use crate::credit::{Credits, INVALID, MALFORMED, TAKEN, UNWANTED};
use crate::wire::Pair;
use candela_primitives::{B256, Bytes, keccak256};
use commonware_codec::{Buf, Decode, Encode, RangeCfg};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{CheckedSender, Receiver, Recipients, Sender};
use commonware_runtime::{Clock, Handle, Spawner};
use std::sync::Arc;
use std::time::Duration;

/// Most bytes of a message: a batch and its number of transactions.
pub(crate) const MAX_MESSAGE_BYTES: usize = MAX_BATCH_BYTES + 8;
/// Least time between two batches. The first transaction after a pause goes at once.
const BATCH_INTERVAL: Duration = Duration::from_millis(20);
/// Time until another attempt when nobody is connected.
const LONELY: Duration = Duration::from_millis(200);

/// What became of a transaction that another validator sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go into a block.
    Taken,
    /// It is known, late or too cheap, which can happen to an honest validator.
    Unwanted,
    /// No state of the chain would make it valid: an honest validator would not have sent it.
    Invalid,
}

/// Where the transactions of other validators go.
pub trait TransactionPool: Send + Sync + 'static {
    /// Takes transactions in their EIP-2718 encoding; one verdict each, in order. May take as long as checking their
    /// signatures takes.
    fn receive(&self, transactions: Vec<Bytes>) -> Vec<Verdict>;
}

/// The transactions of a batch, each in memory of its own so that keeping one does not keep all.
pub(crate) fn decode(message: impl Buf) -> Option<Vec<Bytes>> {
    if message.remaining() > MAX_MESSAGE_BYTES {
        return None;
    }
    let limits = (RangeCfg::from(1..=MAX_BATCH_TRANSACTIONS), RangeCfg::from(1..=MAX_TRANSACTION_BYTES));
    let batch = Vec::<bytes::Bytes>::decode_cfg(message, &limits).ok()?;
    Some(batch.iter().map(|transaction| Bytes::copy_from_slice(transaction)).collect())
}

pub(crate) fn encode(batch: &[Bytes]) -> bytes::Bytes {
    batch.iter().map(|transaction| transaction.0.clone()).collect::<Vec<_>>().encode()
}

/// Sends what is announced, in batches that never exceed the channel's quota.
async fn spread<E: Clock, S: Sender<PublicKey = PublicKey>>(context: &E, announcements: &Announcements, mut sender: S) {
    loop {
        let batch = announcements.batch().await;
        match sender.check(Recipients::All) {
            Ok(checked) if !checked.recipients().is_empty() => {
                let _ = checked.send(encode(&batch), false);
                context.sleep(BATCH_INTERVAL).await;
            }
            Ok(_) => {
                announcements.put_back(batch);
                context.sleep(LONELY).await;
            }
            Err(until) => {
                announcements.put_back(batch);
                context.sleep_until(until).await;
            }
        }
    }
}

/// Takes what others send.
struct Listener {
    announcements: Announcements,
    pool: Arc<dyn TransactionPool>,
    credits: Credits,
}

impl Listener {
    async fn run<E: Clock + Spawner, R: Receiver<PublicKey = PublicKey>>(mut self, context: &E, mut receiver: R) {
        while let Ok((peer, message)) = receiver.recv().await {
            self.take(context, &peer, message).await;
        }
    }

    async fn take<E: Clock + Spawner>(&mut self, context: &E, peer: &PublicKey, message: impl Buf) {
        let Some(batch) = decode(message) else {
            tracing::warn!(%peer, "a validator sent what is no batch of transactions");
            return self.credits.charge(peer, MALFORMED, context.current());
        };
        let amount = TAKEN * u64::try_from(batch.len()).unwrap_or(u64::MAX);
        if !self.credits.take(peer, amount, context.current()) {
            tracing::debug!(%peer, transactions = batch.len(), "a validator sent more transactions than its quota");
            return;
        }
        let hashes = batch.iter().map(|transaction| (keccak256(transaction), transaction.clone()));
        let (news, batch): (Vec<_>, Vec<_>) = hashes.filter(|(hash, _)| self.announcements.hear(*hash)).unzip();
        let repeated = amount.saturating_sub(u64::try_from(news.len()).unwrap_or(0));
        let cost = repeated * UNWANTED + self.submit(context, &news, batch).await;
        self.credits.charge(peer, cost, context.current());
    }

    /// Puts transactions into the pool; returns what they cost their sender beyond [`TAKEN`] each.
    async fn submit<E: Clock + Spawner>(&self, context: &E, hashes: &[B256], batch: Vec<Bytes>) -> u64 {
        if batch.is_empty() {
            return 0;
        }
        let (pool, transactions, began) = (self.pool.clone(), batch.len(), context.current());
        let task = context.child("transactions").shared(true).spawn(move |_| async move { pool.receive(batch) });
        // The engine is stopping when there is no answer.
        let verdicts = task.await.unwrap_or_default();
        tracing::debug!(transactions, took_us = elapsed_us(context, began), "transactions checked");
        let mut cost = 0;
        for (hash, verdict) in hashes.iter().zip(verdicts) {
            if verdict != Verdict::Taken {
                self.announcements.unhear(hash);
                cost += if verdict == Verdict::Invalid { INVALID } else { UNWANTED };
            }
        }
        cost
    }
}

/// Starts to send and to take transactions; ends only when the network does.
pub(crate) fn start<E, S, R>(
    context: E,
    (sender, receiver): Pair<S, R>,
    announcements: Announcements,
    pool: Arc<dyn TransactionPool>,
) -> Handle<()>
where
    E: Clock + Spawner,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    announcements.open();
    context.spawn(move |context| async move {
        let listener = Listener { announcements: announcements.clone(), pool, credits: Credits::default() };
        // In a fixed order, or equal seeds would not give equal simulations. Sending pauses after every batch.
        tokio::select! {
            biased;
            () = spread(&context, &announcements, sender) => {}
            () = listener.run(&context, receiver) => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    #[test]
    fn a_batch_survives_the_codec_and_fits_a_message() {
        let batch: Vec<Bytes> = vec![vec![1].into(), vec![2; MAX_TRANSACTION_BYTES].into()];
        let message = encode(&batch);
        assert!(message.len() <= MAX_MESSAGE_BYTES);
        assert_eq!(decode(message).unwrap(), batch);
    }

    #[test]
    fn too_many_too_large_and_empty_ones_are_refused() {
        let many: Vec<Bytes> = vec![vec![1].into(); MAX_BATCH_TRANSACTIONS + 1];
        let large: Vec<Bytes> = vec![vec![1; MAX_TRANSACTION_BYTES + 1].into()];
        for bad in [many, large, Vec::new(), vec![Bytes::new()]] {
            assert!(decode(encode(&bad)).is_none());
        }
        assert!(decode(bytes::Bytes::from(vec![0xff; MAX_MESSAGE_BYTES + 1])).is_none());
    }

    #[test]
    fn random_and_changed_bytes_never_break_the_decoder() {
        let mut random = StdRng::seed_from_u64(1);
        let good = encode(&[vec![3; 40].into(), vec![4; 90].into()]);
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            bytes.truncate(random.random_range(0..=bytes.len()));
            if let Some(batch) = decode(bytes::Bytes::from(bytes.clone())) {
                assert!(batch.iter().map(|transaction| transaction.len()).sum::<usize>() < bytes.len());
            }
        }
    }
}
