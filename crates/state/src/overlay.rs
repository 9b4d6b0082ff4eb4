//! A state with the changes of some unfinalised blocks on top.

use candela_primitives::{Account, Address, B256, Bytes, StateChanges, StateError, StateReader, U256};
use std::sync::Arc;

/// Reads `layers`, the newest last, before `base`.
#[derive(Clone)]
pub struct Overlay<B> {
    pub(crate) base: B,
    pub(crate) layers: Vec<Arc<StateChanges>>,
}

impl<B: StateReader> StateReader for Overlay<B> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        match self.layers.iter().rev().find_map(|layer| layer.accounts.get(address)) {
            Some(change) => Ok(change.account),
            None => self.base.account(address),
        }
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        for change in self.layers.iter().rev().filter_map(|layer| layer.accounts.get(address)) {
            if let Some(value) = change.storage.get(slot) {
                return Ok(*value);
            }
            if change.storage_cleared {
                return Ok(U256::ZERO);
            }
        }
        self.base.storage(address, slot)
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        match self.layers.iter().rev().find_map(|layer| layer.codes.get(code_hash)) {
            Some(code) => Ok(code.clone()),
            None => self.base.code(code_hash),
        }
    }
}
