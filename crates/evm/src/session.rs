//! What a session key may do, and what it has spent: read from, and kept in, the storage of the `SessionKeys` contract.
//!
//! This is the only place that knows where the contract keeps its words and how they are packed; the contract's own
//! documentation (`contracts/ledger/SessionKeys.vy`) specifies both. Nothing is called, so a session transaction costs
//! its sender the same gas as any other.

use crate::view::ViewError;
use alloy_consensus::Transaction as _;
use candela_primitives::{Address, B256, SESSION_KEYS, StateError, StateReader, Transaction, U256, keccak256};
use revm::{
    Database,
    state::{Account as EvmAccount, EvmState, EvmStorageSlot},
};

const WORDS: U256 = U256::ZERO;
const SCOPES: U256 = U256::ONE;

/// Why a transaction that a session key signed can't be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what its fields are")]
pub enum SessionError {
    /// The sender never authorized the key.
    #[error("session key {key} is not authorized by {owner}: call authorize of SessionKeys at {SESSION_KEYS} first")]
    Unknown { owner: Address, key: B256 },
    /// The sender revoked the key.
    #[error("session key {key} was revoked by {owner}: authorize another one")]
    Revoked { owner: Address, key: B256 },
    /// The key's time is over.
    #[error("session key {key} expired at {expiry}, and it is {now}: authorize another one")]
    Expired { key: B256, expiry: u64, now: u64 },
    /// The key may call certain addresses only, and this is none of them.
    #[error("session key {key} may not call {callee}: authorize a key with that address in its scope")]
    Scope { key: B256, callee: Address },
    /// A key with a scope can't create contracts.
    #[error("session key {key} has a scope and may not create contracts: use the account's own key")]
    Creation { key: B256 },
    /// No key may manage keys, nor act as the account towards itself.
    #[error("a session key may not call {callee}: use the account's own key")]
    Reserved { callee: Address },
    /// The transaction might cost more than the key has left.
    #[error(
        "session key {key} has {left} nit left, the transaction may cost {cost}: authorize a key with a higher limit"
    )]
    Limit { key: B256, left: u128, cost: U256 },
}

/// The unpacked word of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    expiry: u64,
    flags: u8,
    limit: u128,
    spent: u128,
}

impl Session {
    const SCOPED: u8 = 1;
    const REVOKED: u8 = 2;
    const AMOUNT_BITS: usize = 104;
    const FLAGS_AT: usize = 208;
    const EXPIRY_AT: usize = 216;
    const MOST: u128 = (1 << Self::AMOUNT_BITS) - 1;

    /// `None` for a key that was never authorized.
    fn unpack(word: U256) -> Option<Self> {
        let part = |at: usize, bits: usize| (word >> at) & ((U256::ONE << bits) - U256::ONE);
        (!word.is_zero()).then(|| Self {
            expiry: part(Self::EXPIRY_AT, 40).saturating_to(),
            flags: part(Self::FLAGS_AT, 8).saturating_to(),
            limit: part(Self::AMOUNT_BITS, Self::AMOUNT_BITS).saturating_to(),
            spent: part(0, Self::AMOUNT_BITS).saturating_to(),
        })
    }

    fn pack(self) -> U256 {
        (U256::from(self.expiry) << Self::EXPIRY_AT)
            | (U256::from(self.flags) << Self::FLAGS_AT)
            | (U256::from(self.limit) << Self::AMOUNT_BITS)
            | U256::from(self.spent)
    }

    const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Where Vyper keeps `map[key]` of the map at slot `map`.
fn entry(map: U256, key: B256) -> U256 {
    let mut preimage = [0; 64];
    preimage[..32].copy_from_slice(&map.to_be_bytes::<32>());
    preimage[32..].copy_from_slice(key.as_slice());
    keccak256(preimage).into()
}

fn word_slot(owner: Address, key: B256) -> U256 {
    entry(entry(WORDS, owner.into_word()), key)
}

fn scope_slot(owner: Address, key: B256, callee: Address) -> U256 {
    entry(entry(entry(SCOPES, owner.into_word()), key), callee.into_word())
}

/// Most nit that a transaction can cost its sender: value, and all its gas at the price it offers at most.
#[must_use]
pub fn most_cost(transaction: &Transaction) -> U256 {
    U256::from(transaction.gas_limit())
        .saturating_mul(U256::from(transaction.max_fee_per_gas()))
        .saturating_add(transaction.value())
}

/// The slots that decide about a transaction; none for one that no session key signed.
pub(crate) fn slots(transaction: &Transaction) -> Vec<U256> {
    let Some(key) = transaction.session_key() else { return Vec::new() };
    let owner = transaction.sender();
    let scope = transaction.to().map(|callee| scope_slot(owner, key, callee));
    std::iter::once(word_slot(owner, key)).chain(scope).collect()
}

/// What allowed a session key to act: the slot of its word, and that of its scope if it has one. Finding them costs more
/// than a transfer, so it is done once.
pub(crate) struct Permit {
    word: U256,
    scope: Option<U256>,
}

/// Whether the session key of `transaction`, if it has one, may have it executed at `timestamp` (Unix seconds).
///
/// A transaction whose nonce is not the sender's next is let through: execution refuses it for that.
pub(crate) fn authorize(
    database: &mut impl Database<Error = ViewError>,
    transaction: &Transaction,
    timestamp: u64,
) -> Result<Result<Option<Permit>, SessionError>, StateError> {
    let Some(key) = transaction.session_key() else { return Ok(Ok(None)) };
    let sender = database.basic(transaction.sender()).map_err(|ViewError(error)| error)?;
    if sender.unwrap_or_default().nonce != transaction.nonce() {
        return Ok(Ok(None));
    }
    let verdict = judge(|slot| read(database, slot), transaction, key, timestamp, most_cost(transaction))?;
    Ok(verdict.map(Some))
}

/// Whether the session key of a transaction that has just arrived, if it has one, may have it executed.
///
/// # Errors
/// When the state can't be read.
pub fn admit(
    reader: &dyn StateReader,
    transaction: &Transaction,
    timestamp: u64,
) -> Result<Result<(), SessionError>, StateError> {
    let Some(key) = transaction.session_key() else { return Ok(Ok(())) };
    let read = |slot| reader.storage(&SESSION_KEYS, &slot);
    let verdict = judge(read, transaction, key, timestamp, most_cost(transaction))?;
    Ok(verdict.map(|_| ()))
}

/// Adds to what the session key of `transaction` has spent: gas that was paid and value that was moved. The change
/// becomes part of what the transaction did.
pub(crate) fn charge(
    database: &mut impl Database<Error = ViewError>,
    state: &mut EvmState,
    permit: &Permit,
    gas_fee: U256,
    moved: U256,
) -> Result<(), StateError> {
    let info = database.basic(SESSION_KEYS).map_err(|ViewError(error)| error)?;
    let scope = permit.scope.map(|slot| Ok((slot, read(database, slot)?))).transpose()?;
    let known = [Some((permit.word, read(database, permit.word)?)), scope];
    let contract = state.entry(SESSION_KEYS).or_insert_with(|| EvmAccount::from(info.unwrap_or_default()));
    contract.mark_touch();
    let transaction_id = contract.transaction_id;
    for (slot, value) in known.into_iter().flatten() {
        contract.storage.entry(slot).or_insert_with(|| EvmStorageSlot::new(value, transaction_id));
    }
    let Some(word) = contract.storage.get_mut(&permit.word) else { return Ok(()) };
    let Some(session) = Session::unpack(word.present_value) else { return Ok(()) };
    let spent = U256::from(session.spent).saturating_add(gas_fee).saturating_add(moved).min(U256::from(Session::MOST));
    word.present_value = Session { spent: spent.saturating_to(), ..session }.pack();
    Ok(())
}

fn read(database: &mut impl Database<Error = ViewError>, slot: U256) -> Result<U256, StateError> {
    // The account comes before its slots, as it does in the EVM.
    database.basic(SESSION_KEYS).map_err(|ViewError(error)| error)?;
    database.storage(SESSION_KEYS, slot).map_err(|ViewError(error)| error)
}

fn judge(
    mut read: impl FnMut(U256) -> Result<U256, StateError>,
    transaction: &Transaction,
    key: B256,
    now: u64,
    cost: U256,
) -> Result<Result<Permit, SessionError>, StateError> {
    let owner = transaction.sender();
    let word = word_slot(owner, key);
    let Some(session) = Session::unpack(read(word)?) else {
        return Ok(Err(SessionError::Unknown { owner, key }));
    };
    let Session { expiry, limit, spent, .. } = session;
    if session.has(Session::REVOKED) {
        return Ok(Err(SessionError::Revoked { owner, key }));
    }
    if now >= expiry {
        return Ok(Err(SessionError::Expired { key, expiry, now }));
    }
    let mut scope = None;
    match transaction.to() {
        Some(callee) if callee == SESSION_KEYS || callee == owner => {
            return Ok(Err(SessionError::Reserved { callee }));
        }
        None if session.has(Session::SCOPED) => return Ok(Err(SessionError::Creation { key })),
        Some(callee) if session.has(Session::SCOPED) => {
            let slot = scope_slot(owner, key, callee);
            if read(slot)?.is_zero() {
                return Ok(Err(SessionError::Scope { key, callee }));
            }
            scope = Some(slot);
        }
        _ => {}
    }
    let left = limit.saturating_sub(spent);
    if cost > U256::from(left) {
        return Ok(Err(SessionError::Limit { key, left, cost }));
    }
    Ok(Ok(Permit { word, scope }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_unpacks_to_what_was_packed() {
        let session = Session { expiry: (1 << 40) - 1, flags: 3, limit: Session::MOST, spent: 42 };
        assert_eq!(Session::unpack(session.pack()), Some(session));
        assert_eq!(Session::unpack(U256::ZERO), None);
        let spent_all = Session { expiry: 1, flags: 0, limit: 5, spent: Session::MOST };
        assert_eq!(Session::unpack(spent_all.pack()), Some(spent_all));
    }
}
