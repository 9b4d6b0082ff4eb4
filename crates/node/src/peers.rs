//! Take the transactions that other validators send.

use candela_consensus::{TransactionPool, Verdict};
use candela_ledger::{Ledger, SubmitError};
use candela_pool::{Pool, PoolError};
use candela_primitives::{Bytes, keccak256};
use std::sync::Arc;

/// The way from the other validators into the pool.
pub(crate) struct PeerTransactions {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) pool: Arc<Pool>,
}

/// What a refusal says about the validator that sent the transaction.
const fn verdict(error: &SubmitError) -> Verdict {
    match error {
        SubmitError::Signing(_) => Verdict::Invalid,
        // The state may have changed since the sender took it.
        SubmitError::Session(_) | SubmitError::State(_) => Verdict::Unwanted,
        SubmitError::Pool(error) => pool_verdict(error),
    }
}

const fn pool_verdict(error: &PoolError) -> Verdict {
    match error {
        PoolError::AlreadyKnown
        | PoolError::NonceTooLow { .. }
        | PoolError::Funds { .. }
        | PoolError::QueuedFunds { .. }
        | PoolError::BumpedFunds { .. }
        | PoolError::TipTooLow { .. }
        | PoolError::Underpriced
        | PoolError::ReplacementUnderpriced
        | PoolError::AccountLimit { .. }
        | PoolError::SenderHasCode => Verdict::Unwanted,
        PoolError::NonceMax
        | PoolError::IntrinsicGas { .. }
        | PoolError::FloorGas { .. }
        | PoolError::BlockGasLimit
        | PoolError::GasLimitCap { .. }
        | PoolError::TipAboveFeeCap
        | PoolError::Oversized { .. }
        | PoolError::InitCode { .. }
        | PoolError::Unprotected
        | PoolError::ChainId { .. }
        | PoolError::EmptyAuthorizations
        | PoolError::AuthorizationCreate => Verdict::Invalid,
    }
}

impl TransactionPool for PeerTransactions {
    fn receive(&self, transactions: Vec<Bytes>) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Unwanted; transactions.len()];
        let fresh = transactions.into_iter().enumerate();
        // What is pending needs no second look at its signature.
        let (places, fresh): (Vec<_>, Vec<_>) =
            fresh.filter(|(_, transaction)| self.pool.get(&keccak256(transaction)).is_none()).unzip();
        for (place, result) in places.into_iter().zip(self.ledger.submit_batch(fresh)) {
            verdicts[place] = result.as_ref().map_or_else(verdict, |_| Verdict::Taken);
        }
        verdicts
    }
}
