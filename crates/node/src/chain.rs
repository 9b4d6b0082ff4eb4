//! Answer what RPC asks of the chain from the ledger.

use crate::vitals::Vitals;
use alloy_consensus::Header;
use candela_consensus::Evidence;
use candela_evm::BlockEnvironment;
use candela_ledger::{Ledger, StateMachine, SubmitError, next_base_fee};
use candela_primitives::{Address, B256, Bytes, StateError, StateReader};
use candela_rpc::{Chain, DoubleVote, Metric, RpcError};
use candela_state::{Export, Prover};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a query waits for the state of a block that is archived but not committed yet.
const COMMIT_DEADLINE: Duration = Duration::from_secs(10);

/// The height of the committed state, to wait for.
#[derive(Default)]
pub(crate) struct Committed(Mutex<u64>, Condvar);

impl Committed {
    pub(crate) fn advance(&self, height: u64) {
        *self.0.lock() = height;
        self.1.notify_all();
    }

    fn wait(&self, height: u64) {
        let (deadline, mut committed) = (Instant::now() + COMMIT_DEADLINE, self.0.lock());
        while *committed < height && !self.1.wait_until(&mut committed, deadline).timed_out() {}
    }
}

/// The ledger as RPC sees it.
pub(crate) struct LedgerChain {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) committed: Arc<Committed>,
    pub(crate) fee_recipient: Address,
    pub(crate) evidence: Evidence,
    pub(crate) vitals: Arc<Vitals>,
}

impl LedgerChain {
    /// The archive shows a block just before its state is committed.
    fn wait_for_state(&self, number: u64) {
        if number == self.ledger.head().header.number + 1 {
            self.committed.wait(number);
        }
    }
}

impl Chain for LedgerChain {
    fn chain_id(&self) -> u64 {
        self.ledger.chain_id()
    }

    fn state_after(&self, number: u64) -> Result<Option<Arc<dyn StateReader>>, StateError> {
        self.wait_for_state(number);
        self.ledger.reader_at(number)
    }

    fn prover_after(&self, number: u64) -> Result<Prover, RpcError> {
        self.wait_for_state(number);
        self.ledger.prover_at(number).map_err(|error| RpcError::server(error.to_string()))
    }

    fn export(&self) -> Result<Export, RpcError> {
        Ok(self.ledger.export()?)
    }

    fn environment(&self, header: &Header) -> BlockEnvironment {
        let mut environment = BlockEnvironment::candela(
            self.ledger.chain_id(),
            header.number,
            header.timestamp,
            header.gas_limit,
            header.base_fee_per_gas.unwrap_or_default(),
        );
        environment.beneficiary = self.ledger.beneficiary(header.beneficiary);
        environment.prevrandao = header.mix_hash;
        environment
    }

    fn next_header(&self, parent: &Header) -> Header {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let head = self.ledger.head();
        let base_fee = if head.header.number == parent.number {
            next_base_fee(&head.header, self.ledger.parameters())
        } else {
            parent.base_fee_per_gas.unwrap_or_default()
        };
        Header {
            number: parent.number + 1,
            timestamp: now.max(parent.timestamp),
            beneficiary: self.fee_recipient,
            gas_limit: self.ledger.parameters().block_gas_limit,
            base_fee_per_gas: Some(base_fee),
            extra_data: Bytes::new(),
            ..parent.clone()
        }
    }

    fn max_blob_gas(&self, _header: &Header) -> u64 {
        0
    }

    fn blob_base_fee(&self, _header: &Header) -> u128 {
        1
    }

    fn evidence(&self) -> Vec<DoubleVote> {
        let listed = self.evidence.list().into_iter().map(|vote| DoubleVote {
            epoch: vote.epoch,
            view: vote.view,
            seat: vote.seat,
            public_key: B256::from(vote.public_key),
            activity: vote.activity.into(),
        });
        listed.collect()
    }

    fn failure(&self) -> Option<String> {
        self.vitals.failure()
    }

    fn unready(&self) -> Option<String> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let head_ms = u128::from(self.ledger.head().header.timestamp_ms);
        self.vitals.unready(Duration::from_millis(u64::try_from(now_ms.saturating_sub(head_ms)).unwrap_or(u64::MAX)))
    }

    fn metrics(&self) -> Vec<Metric> {
        self.vitals.metrics(self.evidence.list().len())
    }

    fn submit(&self, raw: Vec<Bytes>) -> Vec<Result<B256, RpcError>> {
        self.ledger.submit_batch(raw).into_iter().map(|result| result.map_err(rpc_error)).collect()
    }
}

fn rpc_error(error: SubmitError) -> RpcError {
    match error {
        SubmitError::State(error) => error.into(),
        refused => RpcError::server(refused.to_string()),
    }
}
