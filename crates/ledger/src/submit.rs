//! The way in for transactions.

use crate::Ledger;
use candela_evm::{SessionError, session};
use candela_pool::{PoolError, SenderState};
use candela_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, StateError, StateReader, Transaction};
use candela_signing::{SigningError, decode_batch};
use std::sync::Arc;
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

/// The chain as it was when a transaction came in.
struct View {
    height: u64,
    timestamp: u64,
    reader: Arc<dyn StateReader>,
}

impl View {
    fn of(ledger: &Ledger) -> Self {
        let (head, reader) = ledger.head_and_reader();
        Self { height: head.header.number, timestamp: head.header.timestamp(), reader }
    }
}

impl Ledger {
    /// Decodes a transaction, recovers its sender and puts it into the pool.
    ///
    /// # Errors
    /// When it is malformed, invalid or not wanted; the texts are geth's.
    pub fn submit(&self, raw: Bytes) -> Result<B256, SubmitError> {
        self.insert(candela_signing::decode(raw)?, &mut View::of(self))
    }

    /// [`Self::submit`] for many, with the signatures spread over the ledger's threads; results keep their order.
    #[must_use]
    pub fn submit_batch(&self, raw: Vec<Bytes>) -> Vec<Result<B256, SubmitError>> {
        let decoded = info_span!("verify").in_scope(|| decode_batch(raw, self.threads()));
        let _inserting = info_span!("insert").entered();
        let mut view = View::of(self);
        decoded.into_iter().map(|transaction| self.insert(transaction?, &mut view)).collect()
    }

    /// Puts a transaction into the pool that is valid in `view`, the head's unless a block has become final since.
    fn insert(&self, transaction: Transaction, view: &mut View) -> Result<B256, SubmitError> {
        let sender = transaction.sender();
        session::admit(&*view.reader, &transaction, view.timestamp)?
            .map_err(|error| SubmitError::Session(Box::new(error)))?;
        let hash = self.pool().insert(transaction, sender_state(&*view.reader, &sender)?)?;
        if self.head_height() != view.height {
            // A block became final meanwhile, and the pool knew nothing of this sender to be told about.
            *view = View::of(self);
            self.pool().advance(&sender, sender_state(&*view.reader, &sender)?);
        }
        Ok(hash)
    }
}
