//! Why a transaction is not taken.

use candela_primitives::U256;

/// Why the pool refuses a transaction, in geth's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what its fields are")]
pub enum PoolError {
    /// The same transaction is pending.
    #[error("already known")]
    AlreadyKnown,
    /// The nonce has been used.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow { next: u64, nonce: u64 },
    /// The nonce can't be followed by another (EIP-2681).
    #[error("nonce has max value")]
    NonceMax,
    /// The sender can't pay for it.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {}",
        cost.saturating_sub(*balance)
    )]
    Funds { balance: U256, cost: U256 },
    /// The sender can't pay for it and for what is pending before it.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {}",
        queued.saturating_add(*cost).saturating_sub(*balance)
    )]
    QueuedFunds { balance: U256, queued: U256, cost: U256 },
    /// The sender can't pay for it in place of the one that it replaces and for what else is pending.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx bumped {bump}, overshot {}",
        queued.saturating_add(*bump).saturating_sub(*balance)
    )]
    BumpedFunds { balance: U256, queued: U256, bump: U256 },
    /// Less gas than the transaction costs before it runs.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas { gas: u64, needed: u64 },
    /// Less gas than its data costs (EIP-7623).
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorGas { gas: u64, needed: u64 },
    /// More gas than a block has.
    #[error("exceeds block gas limit")]
    BlockGasLimit,
    /// More gas than a transaction may have (EIP-7825).
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasLimitCap { cap: u64, gas: u64 },
    /// The tip exceeds the fee cap.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFeeCap,
    /// Pays less than the pool asks.
    #[error("transaction underpriced: gas tip cap {tip}, minimum needed {minimum}")]
    TipTooLow { tip: u128, minimum: u128 },
    /// The pool is full of better ones.
    #[error("transaction underpriced")]
    Underpriced,
    /// Replaces a pending one without paying 10 % more.
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    /// The sender has too many pending.
    #[error("account limit exceeded: pooled {held} txs")]
    AccountLimit { held: usize },
    /// More bytes than are taken.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized { size: usize, limit: usize },
    /// More creation code than EIP-3860 allows.
    #[error("max initcode size exceeded: code size {size} limit {limit}")]
    InitCode { size: usize, limit: usize },
    /// Legacy without EIP-155.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    /// For another chain.
    #[error("invalid sender: invalid chain id for signer: have {have} want {want}")]
    ChainId { have: u64, want: u64 },
    /// The sender is a contract (EIP-3607).
    #[error("sender not an eoa")]
    SenderHasCode,
    /// Type 4 without authorizations.
    #[error("set code tx must have at least one authorization tuple")]
    EmptyAuthorizations,
    /// Type 4 without recipient.
    #[error("EIP-7702 transaction cannot be used to create contract")]
    AuthorizationCreate,
}
