//! What a transaction must satisfy whatever else is pending.

use crate::{PoolError, SenderState, floor_gas, intrinsic_gas};
use alloy_consensus::Transaction as _;
use candela_primitives::{Transaction, U256};

/// What the pool holds and takes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Gas of a block.
    pub block_gas_limit: u64,
    /// Gas of a transaction (EIP-7825).
    pub transaction_gas_cap: u64,
    /// Bytes of a transaction.
    pub transaction_bytes: usize,
    /// Bytes of creation code (EIP-3860).
    pub init_code_bytes: usize,
    /// Least tip, nit per gas.
    pub minimum_tip: u128,
    /// Transactions held in all.
    pub transactions: usize,
    /// Bytes held in all.
    pub bytes: usize,
    /// Transactions held for one sender.
    pub transactions_per_sender: usize,
}

impl Limits {
    /// geth's limits per transaction, with room for a fast chain.
    #[must_use]
    pub const fn new(chain_id: u64, block_gas_limit: u64) -> Self {
        Self {
            chain_id,
            block_gas_limit,
            transaction_gas_cap: 1 << 24,
            transaction_bytes: 128 << 10,
            init_code_bytes: 49_152,
            minimum_tip: 0,
            transactions: 200_000,
            bytes: 128 << 20,
            transactions_per_sender: 10_000,
        }
    }
}

/// Most nit that the transaction can cost its sender.
pub(crate) fn cost(transaction: &Transaction) -> U256 {
    U256::from(transaction.gas_limit())
        .saturating_mul(U256::from(transaction.max_fee_per_gas()))
        .saturating_add(transaction.value())
}

/// The tip that the sender offers at most, nit per gas.
pub(crate) fn tip_cap(transaction: &Transaction) -> u128 {
    transaction.max_priority_fee_per_gas().unwrap_or_else(|| transaction.max_fee_per_gas())
}

pub(crate) fn validate(transaction: &Transaction, sender: &SenderState, limits: &Limits) -> Result<(), PoolError> {
    match transaction.chain_id() {
        None => return Err(PoolError::Unprotected),
        Some(have) if have != limits.chain_id => return Err(PoolError::ChainId { have, want: limits.chain_id }),
        Some(_) => {}
    }
    size(transaction, limits)?;
    gas(transaction, limits)?;
    if tip_cap(transaction) > transaction.max_fee_per_gas() {
        return Err(PoolError::TipAboveFeeCap);
    }
    if tip_cap(transaction) < limits.minimum_tip {
        return Err(PoolError::TipTooLow { tip: tip_cap(transaction), minimum: limits.minimum_tip });
    }
    if let Some(authorizations) = transaction.authorization_list() {
        if transaction.is_create() {
            return Err(PoolError::AuthorizationCreate);
        }
        if authorizations.is_empty() {
            return Err(PoolError::EmptyAuthorizations);
        }
    }
    if sender.has_code {
        return Err(PoolError::SenderHasCode);
    }
    let nonce = transaction.nonce();
    if nonce < sender.nonce {
        return Err(PoolError::NonceTooLow { next: sender.nonce, nonce });
    }
    if nonce == u64::MAX {
        return Err(PoolError::NonceMax);
    }
    let cost = cost(transaction);
    if cost > sender.balance {
        return Err(PoolError::Funds { balance: sender.balance, cost });
    }
    Ok(())
}

fn size(transaction: &Transaction, limits: &Limits) -> Result<(), PoolError> {
    let bytes = transaction.encoded().len();
    if bytes > limits.transaction_bytes {
        return Err(PoolError::Oversized { size: bytes, limit: limits.transaction_bytes });
    }
    let code = transaction.input().len();
    if transaction.is_create() && code > limits.init_code_bytes {
        return Err(PoolError::InitCode { size: code, limit: limits.init_code_bytes });
    }
    Ok(())
}

fn gas(transaction: &Transaction, limits: &Limits) -> Result<(), PoolError> {
    let gas = transaction.gas_limit();
    if gas > limits.transaction_gas_cap {
        return Err(PoolError::GasLimitCap { cap: limits.transaction_gas_cap, gas });
    }
    if gas > limits.block_gas_limit {
        return Err(PoolError::BlockGasLimit);
    }
    let needed = intrinsic_gas(transaction);
    if gas < needed {
        return Err(PoolError::IntrinsicGas { gas, needed });
    }
    let needed = floor_gas(transaction);
    if gas < needed {
        return Err(PoolError::FloorGas { gas, needed });
    }
    Ok(())
}
