//! Read the flat tables.

use crate::{
    key::{self, slot_row},
    tables::{ACCOUNTS, CODES, Fixed, SLOTS, store_error},
    version::Base,
};
use candela_primitives::{Account, Address, B256, Bytes, KECCAK256_EMPTY, StateError, StateReader, U256};
use redb::{ReadOnlyTable, ReadTransaction};

/// One committed version of the flat tables.
pub(crate) struct Snapshot {
    accounts: ReadOnlyTable<Fixed<20>, Fixed<72>>,
    slots: ReadOnlyTable<Fixed<52>, Fixed<32>>,
    codes: ReadOnlyTable<Fixed<32>, &'static [u8]>,
}

impl Snapshot {
    pub(crate) fn open(transaction: &ReadTransaction) -> Result<Self, StateError> {
        Ok(Self {
            accounts: transaction.open_table(ACCOUNTS).map_err(store_error)?,
            slots: transaction.open_table(SLOTS).map_err(store_error)?,
            codes: transaction.open_table(CODES).map_err(store_error)?,
        })
    }
}

impl StateReader for Snapshot {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        let row = self.accounts.get(&address.0.0).map_err(store_error)?;
        Ok(row.map(|row| key::decode_account(row.value())))
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let row = self.slots.get(&slot_row(address, slot)).map_err(store_error)?;
        Ok(row.map_or(U256::ZERO, |row| U256::from_be_bytes(*row.value())))
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        if *code_hash == KECCAK256_EMPTY {
            return Ok(Bytes::new());
        }
        let row = self.codes.get(&code_hash.0).map_err(store_error)?;
        row.map(|row| Bytes::copy_from_slice(row.value()))
            .ok_or_else(|| StateError(format!("code {code_hash} is missing")))
    }
}

impl Base for Snapshot {
    fn slots(&self, address: &Address) -> Result<Vec<U256>, StateError> {
        let (first, last) = (slot_row(address, &U256::ZERO), slot_row(address, &U256::MAX));
        let rows = self.slots.range::<&[u8; 52]>(&first..=&last).map_err(store_error)?;
        rows.map(|row| row.map(|(slot, _)| U256::from_be_slice(&slot.value()[20..])).map_err(store_error)).collect()
    }
}
