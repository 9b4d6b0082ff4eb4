//! Make blocks of a state test's transactions: some that meet in everything, some that have nothing in common.

use super::{
    format::{Post, Test},
    {fields, fields::FieldError},
};
use crate::memory::MemoryState;
use alloy_consensus::{Signed, TxEnvelope};
use alloy_primitives::TxKind;
use candela_primitives::{Address, Envelope, Transaction};

/// How often a test's transactions are repeated with accounts of their own.
const COPIES: u8 = 4;

/// A block and the state below it.
pub(super) type Scene = (MemoryState, Vec<Transaction>);

fn transactions(test: &Test, posts: &[Post]) -> Result<Vec<Transaction>, String> {
    let mut all = Vec::new();
    for post in posts {
        match fields::transaction(test, post) {
            Ok(transaction) => all.push(transaction),
            Err(FieldError::Refused(_)) => {}
            Err(FieldError::Format(reason)) => return Err(reason),
        }
    }
    Ok(all)
}

/// All transactions of a test one after the other, from the same sender to the same contracts.
pub(super) fn colliding(test: &Test, posts: &[Post]) -> Result<Scene, String> {
    let transactions = transactions(test, posts)?.into_iter().zip(0..);
    Ok((test.state()?, transactions.map(|(transaction, later)| changed(&transaction, later, 0)).collect()))
}

/// The transactions of a test on several copies of its accounts.
pub(super) fn disjoint(test: &Test, posts: &[Post]) -> Result<Scene, String> {
    let (mut state, mut block) = (test.state()?, Vec::new());
    let transactions = transactions(test, posts)?;
    for copy in 0..COPIES {
        for (address, account) in &test.pre {
            let storage = account.storage.iter().map(|(slot, value)| Ok((*slot, value.get()?)));
            let storage = storage.collect::<Result<_, String>>()?;
            let (nonce, balance) = (account.nonce.narrow()?, account.balance.get()?);
            state.insert(moved(*address, copy), nonce, balance, account.code.clone(), storage);
        }
        block.extend(transactions.iter().zip(0..).map(|(transaction, later)| changed(transaction, later, copy)));
    }
    Ok((state, block))
}

/// The address of an account's copy; the first copy is the account itself.
fn moved(mut address: Address, copy: u8) -> Address {
    address.0.0[0] ^= copy << 4;
    address
}

/// The transaction with a later nonce, between copies of its accounts.
fn changed(transaction: &Transaction, later: u64, copy: u8) -> Transaction {
    let kind = |to: TxKind| match to {
        TxKind::Call(to) => TxKind::Call(moved(to, copy)),
        TxKind::Create => TxKind::Create,
    };
    macro_rules! with {
        ($signed:expr, $to:expr) => {{
            let (mut fields, signature, hash) = $signed.clone().into_parts();
            fields.nonce = fields.nonce.saturating_add(later);
            fields.to = $to(fields.to);
            Signed::new_unchecked(fields, signature, hash).into()
        }};
    }
    let Envelope::Ethereum(ethereum) = transaction.envelope() else { return transaction.clone() };
    let envelope: TxEnvelope = match ethereum {
        TxEnvelope::Legacy(signed) => with!(signed, kind),
        TxEnvelope::Eip2930(signed) => with!(signed, kind),
        TxEnvelope::Eip1559(signed) => with!(signed, kind),
        TxEnvelope::Eip7702(signed) => with!(signed, |to| moved(to, copy)),
        blob => blob.clone(),
    };
    Transaction::new_unchecked(envelope, transaction.encoded().clone(), moved(transaction.sender(), copy))
}
