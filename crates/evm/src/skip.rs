//! Why a transaction can't be in a block.

use revm::context::result::InvalidTransaction;

/// A transaction that was left out, and why; nothing of it was executed or charged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// It breaks a rule of its own (nonce, funds, gas, fees, fields).
    #[error("{0}")]
    Invalid(InvalidTransaction),
    /// Its gas limit does not fit into what is left of the block.
    #[error("gas limit {gas_limit} does not fit into the {left} gas left in the block")]
    BlockFull {
        /// Gas limit of the transaction.
        gas_limit: u64,
        /// Gas left in the block.
        left: u64,
    },
    /// Type 3.
    #[error("transaction type not supported: blob transactions (type 3) are not carried by this chain")]
    Blob,
    /// The session key that signed it may not have it executed.
    #[error(transparent)]
    Session(Box<crate::SessionError>),
}

impl SkipReason {
    /// Whether the transaction may become valid later without any change to it.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::BlockFull { .. }
                | Self::Invalid(
                    InvalidTransaction::NonceTooHigh { .. }
                        | InvalidTransaction::GasPriceLessThanBasefee
                        | InvalidTransaction::LackOfFundForMaxFee { .. }
                )
        )
    }
}
