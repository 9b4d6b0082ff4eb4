//! Read one version: its own layers, then the cache, then the file.

use crate::{
    Overlay,
    cache::{Cache, Found},
    version::Base,
};
use candela_primitives::{Account, AccountChange, Address, B256, Bytes, StateError, StateReader, U256};
use std::sync::Arc;

/// Reads a version. The overlay alone would do; the cache is the way around its final layers.
pub(crate) struct Reader {
    pub(crate) overlay: Overlay<Arc<dyn Base>>,
    /// How many of the overlay's layers, the oldest first, are in the cache.
    pub(crate) cached_layers: usize,
    /// Blocks in the overlay's base.
    pub(crate) base_blocks: u64,
    pub(crate) cache: Arc<Cache>,
}

impl Reader {
    /// Changes by layers that are not in the cache, the newest first.
    fn own<'a>(&'a self, address: &'a Address) -> impl Iterator<Item = &'a AccountChange> {
        self.overlay.layers[self.cached_layers..].iter().rev().filter_map(|layer| layer.accounts.get(address))
    }

    const fn cached_blocks(&self) -> u64 {
        self.base_blocks + self.cached_layers as u64
    }
}

impl StateReader for Reader {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        if let Some(change) = self.own(address).next() {
            return Ok(change.account);
        }
        match self.cache.account(address, self.cached_blocks(), self.base_blocks) {
            Found::Value(account) => Ok(account),
            Found::Unchanged => {
                let account = self.overlay.base.account(address)?;
                self.cache.keep_account(address, account, self.base_blocks);
                Ok(account)
            }
            Found::Newer | Found::Unknown => self.overlay.account(address),
        }
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        for change in self.own(address) {
            if let Some(value) = change.storage.get(slot) {
                return Ok(*value);
            }
            if change.storage_cleared {
                return Ok(U256::ZERO);
            }
        }
        match self.cache.slot(address, slot, self.cached_blocks(), self.base_blocks) {
            Found::Value(value) => Ok(value),
            Found::Unchanged => {
                let value = self.overlay.base.storage(address, slot)?;
                self.cache.keep_slot(address, slot, value, self.base_blocks);
                Ok(value)
            }
            Found::Newer | Found::Unknown => self.overlay.storage(address, slot),
        }
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        if let Some(code) = self.cache.code(code_hash) {
            return Ok(code);
        }
        let code = self.overlay.code(code_hash)?;
        self.cache.keep_code(*code_hash, code.clone());
        Ok(code)
    }
}
