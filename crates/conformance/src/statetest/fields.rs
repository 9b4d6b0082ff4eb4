//! Turn the fields of a state test into a transaction.

use super::format::{Authorization, Fields, Post, Test};
use crate::quantity::Quantity;
use alloy_consensus::{
    Signed, Transaction as _, TxEip1559, TxEip2930, TxEip4844, TxEip4844Variant, TxEip7702, TxEnvelope, TxLegacy,
    transaction::SignerRecoverable,
};
use alloy_eips::{
    eip2718::Decodable2718,
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization as Authorized, SignedAuthorization},
};
use alloy_primitives::{Signature, TxKind};
use candela_primitives::{Address, B256, Bytes, Transaction, U256};
use candela_signing::SecretKey;

/// Why there is no transaction.
pub(super) enum FieldError {
    /// The test itself is not well-formed.
    Format(String),
    /// The fields can't be those of any transaction.
    Refused(String),
}

impl From<String> for FieldError {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

fn pick<'a, T>(values: &'a [T], index: usize, what: &str) -> Result<&'a T, FieldError> {
    values.get(index).ok_or_else(|| FieldError::Format(format!("there is no {what} number {index}")))
}

fn sender(fields: &Fields) -> Result<Address, FieldError> {
    match (fields.sender, fields.secret_key) {
        (Some(sender), _) => Ok(sender),
        (None, Some(key)) => SecretKey::from_bytes(&key.0)
            .map(|key| key.address())
            .map_err(|error| FieldError::Format(error.to_string())),
        (None, None) => Err(FieldError::Format("there is neither sender nor secretKey".to_owned())),
    }
}

fn recipient(fields: &Fields) -> Result<TxKind, FieldError> {
    if fields.to.is_empty() || fields.to == "0x" {
        return Ok(TxKind::Create);
    }
    fields.to.parse().map(TxKind::Call).map_err(|error| FieldError::Format(format!("recipient: {error}")))
}

fn access_list(fields: &Fields, index: usize) -> Result<Option<AccessList>, FieldError> {
    let Some(Some(items)) = fields.access_lists.as_ref().and_then(|lists| lists.get(index)) else {
        return Ok(None);
    };
    let items = items.iter().map(|item| {
        let keys = item.storage_keys.iter().map(|key| key.get().map(B256::from)).collect::<Result<_, _>>()?;
        Ok(AccessListItem { address: item.address, storage_keys: keys })
    });
    Ok(Some(AccessList(items.collect::<Result<_, String>>()?)))
}

fn authorization(fields: &Authorization) -> Result<SignedAuthorization, String> {
    let inner = Authorized { chain_id: fields.chain_id.get()?, address: fields.address, nonce: fields.nonce.narrow()? };
    let parity = fields.v.as_ref().map_or(Ok(0), Quantity::narrow)?;
    Ok(SignedAuthorization::new_unchecked(inner, parity, fields.r.get()?, fields.s.get()?))
}

fn sign<T>(transaction: T) -> Signed<T> {
    Signed::new_unchecked(transaction, Signature::test_signature(), B256::ZERO)
}

/// The signed bytes must belong to the sender; returns the chain id that they name.
fn signed(bytes: &Bytes, sender: Address) -> Result<Option<u64>, String> {
    let mut rest = bytes.as_ref();
    let envelope = TxEnvelope::decode_2718(&mut rest).map_err(|error| error.to_string())?;
    let signer = envelope.recover_signer().map_err(|error| error.to_string())?;
    if signer != sender || !rest.is_empty() {
        return Err("the signed bytes are not those of the sender".to_owned());
    }
    Ok(envelope.chain_id())
}

/// The transaction that a test expects `post` of.
pub(super) fn transaction(test: &Test, post: &Post) -> Result<Transaction, FieldError> {
    let fields = &test.transaction;
    let sender = sender(fields)?;
    let signed_chain_id = match post.txbytes.as_ref().map(|bytes| signed(bytes, sender)) {
        Some(Err(reason)) if post.expect_exception.is_some() => return Err(FieldError::Refused(reason)),
        Some(Ok(chain_id)) => chain_id,
        Some(Err(_)) | None => None,
    };
    let envelope = envelope(test, post, signed_chain_id)?;
    Ok(Transaction::new_unchecked(envelope, post.txbytes.clone().unwrap_or_default(), sender))
}

fn envelope(test: &Test, post: &Post, signed_chain_id: Option<u64>) -> Result<TxEnvelope, FieldError> {
    let fields = &test.transaction;
    let input = pick(&fields.data, post.indexes.data, "data")?.clone();
    let gas_limit: u64 = pick(&fields.gas_limit, post.indexes.gas, "gas limit")?.narrow()?;
    let value: U256 = pick(&fields.value, post.indexes.value, "value")?.get()?;
    let nonce: u64 = fields.nonce.narrow()?;
    let to = recipient(fields)?;
    let list = access_list(fields, post.indexes.data)?;
    let chain_id = signed_chain_id.map_or_else(|| test.chain_id(), Ok)?;
    let optional = |fee: &Option<Quantity>| fee.as_ref().map_or(Ok(0), Quantity::narrow::<u128>);
    let gas_price = optional(&fields.gas_price)?;
    let max_fee_per_gas = optional(&fields.max_fee_per_gas)?;
    let max_priority_fee_per_gas = optional(&fields.max_priority_fee_per_gas)?;
    let called = || to.to().copied().ok_or_else(|| "this type can't create a contract".to_owned());
    if let Some(authorizations) = &fields.authorization_list {
        let authorization_list = authorizations.iter().map(authorization).collect::<Result<_, _>>()?;
        let access_list = list.unwrap_or_default();
        return Ok(sign(TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: called()?,
            value,
            access_list,
            authorization_list,
            input,
        })
        .into());
    }
    if fields.max_fee_per_blob_gas.is_some() || fields.blob_versioned_hashes.is_some() {
        let transaction = TxEip4844 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: called()?,
            value,
            access_list: list.unwrap_or_default(),
            blob_versioned_hashes: fields.blob_versioned_hashes.clone().unwrap_or_default(),
            max_fee_per_blob_gas: optional(&fields.max_fee_per_blob_gas)?,
            input,
        };
        return Ok(TxEnvelope::Eip4844(sign(TxEip4844Variant::TxEip4844(transaction))));
    }
    if fields.max_fee_per_gas.is_some() {
        let access_list = list.unwrap_or_default();
        return Ok(sign(TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            input,
        })
        .into());
    }
    Ok(match list {
        Some(access_list) => {
            sign(TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input }).into()
        }
        None => sign(TxLegacy { chain_id: signed_chain_id, nonce, gas_price, gas_limit, to, value, input }).into(),
    })
}
