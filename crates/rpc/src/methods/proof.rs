//! Proofs of accounts and storage slots against the state root in a block's header.

use super::state::slot;
use crate::{
    RpcError,
    handler::Handler,
    protocol::{Json, Params},
    types::BlockId,
};
use candela_archive::ArchivedBlock;
use candela_primitives::{Account, Address, B256, StateReader, U256};
use candela_state::{Key, Prover, account_value, slot_value, verify};
use serde_json::{Value, json};
use std::sync::Arc;

#[cfg(test)]
mod document;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

/// Most slots of one request.
const MAX_SLOTS: usize = 64;

/// An account and some of its slots, with all that shows them from the block hash alone (docs/proofs.md).
pub(super) fn get_proof(handler: &Handler, mut params: Params) -> Result<Json, RpcError> {
    let address: Address = params.required()?;
    let texts: Vec<String> = params.required()?;
    if texts.len() > MAX_SLOTS {
        return Err(RpcError::limit_exceeded(format!("too many slots (max {MAX_SLOTS})")));
    }
    let slots = texts.iter().map(|text| slot(text)).collect::<Result<Vec<_>, _>>()?;
    let id = params.optional()?.unwrap_or(BlockId::Latest);
    if id == BlockId::Pending {
        return Err(RpcError::invalid_params("the pending block has no header to prove against: use \"latest\""));
    }
    let block = handler.known_block(id)?;
    let state = Proved::of(handler, &block)?;
    let (account, account_proof) = state.account(&address)?;
    let storage = slots.iter().map(|slot| state.slot(&address, slot)).collect::<Result<Vec<_>, _>>()?;
    Json::of(&json!({
        "blockHash": block.hash,
        "blockNumber": format!("{:#x}", block.number()),
        "headerBytes": block.header_bytes,
        "certificate": block.certificate,
        "address": format!("{address:#x}"),
        "account": account.as_ref().map(rendered),
        "accountProof": account_proof,
        "storageProof": storage,
    }))
}

/// The state after one block: values from the tables, proofs from the tree. A block is final, so that both stay what
/// they are when the head moves on.
struct Proved {
    prover: Prover,
    reader: Arc<dyn StateReader>,
}

impl Proved {
    fn of(handler: &Handler, block: &ArchivedBlock) -> Result<Self, RpcError> {
        let prover = handler.context.chain.prover_after(block.number())?;
        if prover.root() != block.ethereum_header.state_root {
            return Err(RpcError::internal(format!("the tree of block {} has another root", block.number())));
        }
        Ok(Self { prover, reader: handler.state(block)? })
    }

    fn account(&self, address: &Address) -> Result<(Option<Account>, Value), RpcError> {
        let account = self.reader.account(address)?;
        let value = account.as_ref().map(account_value);
        let proof = self.proof(&Key::Account(*address), value.as_ref().map(<[u8; 72]>::as_slice))?;
        Ok((account, proof))
    }

    fn slot(&self, address: &Address, slot: &U256) -> Result<Value, RpcError> {
        let value = self.reader.storage(address, slot)?;
        let encoded = slot_value(&value);
        let proof = self.proof(&Key::Slot(*address, *slot), encoded.as_ref().map(<[u8; 32]>::as_slice))?;
        Ok(json!({ "slot": B256::from(*slot), "value": B256::from(value), "proof": proof }))
    }

    /// The proof, checked before it leaves: it holds unless the files are damaged.
    fn proof(&self, key: &Key, value: Option<&[u8]>) -> Result<Value, RpcError> {
        let proof = self.prover.prove(key);
        verify(&self.prover.root(), key, value, &proof)
            .map_err(|error| RpcError::internal(format!("tables and tree disagree: {error}")))?;
        let leaf = proof.leaf.map(|(path, value_hash)| json!({ "path": path, "valueHash": value_hash }));
        Ok(json!({ "siblings": proof.siblings, "leaf": leaf }))
    }
}

fn rendered(account: &Account) -> Value {
    json!({
        "nonce": format!("{:#x}", account.nonce),
        "balance": format!("{:#x}", account.balance),
        "codeHash": account.code_hash,
    })
}
