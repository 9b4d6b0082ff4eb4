//! Read and check a document as any client does, strictly and from the block hash alone.

use alloy_rlp::Decodable;
use candela_primitives::{Account, Address, B256, Header, U256, keccak256};
use candela_state::{Key, Proof, account_value, slot_value, verify};
use serde_json::{Value, json};

type Read<T> = Result<T, &'static str>;

fn text<'a>(value: &'a Value, name: &str) -> Read<&'a str> {
    let digits = value.get(name).and_then(Value::as_str).and_then(|text| text.strip_prefix("0x")).ok_or("document")?;
    let canonical = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { Ok(digits) } else { Err("document") }
}

pub(super) fn bytes(value: &Value, name: &str) -> Read<Vec<u8>> {
    alloy_primitives::hex::decode(text(value, name)?).map_err(|_| "document")
}

pub(super) fn fixed<const N: usize>(value: &Value, name: &str) -> Read<[u8; N]> {
    bytes(value, name)?.try_into().map_err(|_| "document")
}

pub(super) fn quantity(value: &Value, name: &str) -> Read<U256> {
    match text(value, name)? {
        "" => Err("document"),
        digits if digits.len() > 64 || (digits.len() > 1 && digits.starts_with('0')) => Err("document"),
        digits => U256::from_str_radix(digits, 16).map_err(|_| "document"),
    }
}

pub(super) fn proof(value: &Value) -> Read<Proof> {
    let list = value["siblings"].as_array().filter(|list| list.len() <= 256).ok_or("document")?;
    let hash = |each: &Value| fixed(&json!({ "hash": each }), "hash").map(B256::new);
    let siblings = list.iter().map(hash).collect::<Result<_, _>>()?;
    let leaf = match value.get("leaf") {
        Some(Value::Null) => None,
        Some(leaf) => Some((fixed(leaf, "path")?.into(), fixed(leaf, "valueHash")?.into())),
        None => return Err("document"),
    };
    Ok(Proof { siblings, leaf })
}

pub(super) fn account(value: &Value) -> Read<Option<Account>> {
    match value.get("account") {
        Some(Value::Null) => Ok(None),
        Some(fields) => Ok(Some(Account {
            nonce: quantity(fields, "nonce")?.try_into().map_err(|_| "document")?,
            balance: quantity(fields, "balance")?,
            code_hash: fixed(fields, "codeHash")?.into(),
        })),
        None => Err("document"),
    }
}
/// What a client does with a document: the account and the values that it shows, or the part that does not hold.
pub(super) fn check(case: &Value) -> Result<(Option<Account>, Vec<U256>), &'static str> {
    let document = &case["document"];
    let (address, account) = (Address::new(fixed(document, "address")?), account(document)?);
    let account_proof = proof(&document["accountProof"])?;
    let (hash, number) = (fixed(document, "blockHash")?, quantity(document, "blockNumber")?);
    let header_bytes = bytes(document, "headerBytes")?;
    let entry = |slot: &Value| -> Result<_, &'static str> {
        let key = U256::from_be_bytes::<32>(fixed(slot, "slot")?);
        Ok((key, U256::from_be_bytes::<32>(fixed(slot, "value")?), proof(&slot["proof"])?))
    };
    let storage = document["storageProof"].as_array().ok_or("document")?;
    let storage = storage.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let asked = case["slots"].as_array().unwrap().iter().map(|slot| slot.as_str().unwrap().parse::<U256>().unwrap());
    if json!(address) != case["address"] || !storage.iter().map(|(slot, _, _)| *slot).eq(asked) {
        return Err("document");
    }
    if json!(keccak256(&header_bytes)) != case["blockHash"] || json!(B256::new(hash)) != case["blockHash"] {
        return Err("header");
    }
    let header = Header::decode(&mut header_bytes.as_slice()).map_err(|_| "header")?;
    if header.version != Header::VERSION || U256::from(header.number) != number || header.shards.len() != 1 {
        return Err("header");
    }
    let root = header.shards[0].state_root;
    let value = account.as_ref().map(account_value);
    verify(&root, &Key::Account(address), value.as_ref().map(<[u8; 72]>::as_slice), &account_proof)
        .map_err(|_| "account")?;
    for (slot, value, proof) in &storage {
        let value = slot_value(value);
        verify(&root, &Key::Slot(address, *slot), value.as_ref().map(<[u8; 32]>::as_slice), proof)
            .map_err(|_| "slot")?;
    }
    Ok((account, storage.into_iter().map(|(_, value, _)| value).collect()))
}
