//! The way in for transactions.

use crate::{Ledger, StateMachine};
use candela_evm::{SessionError, session};
use candela_pool::{PoolError, SenderState};
use candela_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, StateError, StateReader, Transaction};
use candela_signing::{SigningError, decode_batch};
use candela_state::Version;
use tracing::info_span;

/// First bytes of an EIP-7702 delegation: such an account may send.
const DELEGATION_PREFIX: [u8; 3] = [0xef, 0x01, 0x00];

/// Why a transaction was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The bytes are no transaction, or nobody's.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The session key that signed it may not.
    #[error(transparent)]
    Session(Box<SessionError>),
    /// The pool refuses it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What the pool wants to know of a sender.
pub(crate) fn sender_state(reader: &dyn StateReader, address: &Address) -> Result<SenderState, StateError> {
    let account = reader.account(address)?.unwrap_or_default();
    let has_code =
        account.code_hash != KECCAK256_EMPTY && !reader.code(&account.code_hash)?.starts_with(&DELEGATION_PREFIX);
    Ok(SenderState { nonce: account.nonce, balance: account.balance, has_code })
}

impl Ledger {
    /// Decodes a transaction, recovers its sender and puts it into the pool.
    ///
    /// # Errors
    /// When it is malformed, invalid or not wanted; the texts are geth's.
    pub fn submit(&self, raw: Bytes) -> Result<B256, SubmitError> {
        let mut version = self.head_version();
        self.insert(candela_signing::decode(raw)?, &mut version)
    }

    /// [`Self::submit`] for many, with the signatures spread over the ledger's threads; results keep their order.
    #[must_use]
    pub fn submit_batch(&self, raw: Vec<Bytes>) -> Vec<Result<B256, SubmitError>> {
        let mut version = self.head_version();
        let decoded = info_span!("verify").in_scope(|| decode_batch(raw, self.threads()));
        let _inserting = info_span!("insert").entered();
        decoded.into_iter().map(|transaction| self.insert(transaction?, &mut version)).collect()
    }

    /// Puts a transaction into the pool that is valid in `version`, the head's unless a block has become final since.
    fn insert(&self, transaction: Transaction, version: &mut Version) -> Result<B256, SubmitError> {
        let (sender, reader) = (transaction.sender(), version.reader());
        session::admit(&*reader, &transaction, StateMachine::head(self).header.timestamp())?
            .map_err(|error| SubmitError::Session(Box::new(error)))?;
        let hash = self.pool().insert(transaction, sender_state(&*reader, &sender)?)?;
        let head = self.head_version();
        if head.height() != version.height() {
            // A block became final meanwhile, and the pool knew nothing of this sender to be told about.
            self.pool().advance(&sender, sender_state(&*head.reader(), &sender)?);
            *version = head;
        }
        Ok(hash)
    }
}
