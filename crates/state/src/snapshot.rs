//! Read one version of the flat tables: the current one, or an earlier one by its history.

use crate::{
    key::{self, slot_row},
    tables::{ACCOUNT_HISTORY, ACCOUNTS, CODES, SLOT_HISTORY, SLOTS, at_height, store_error},
    version::Base,
};
use candela_primitives::{Account, Address, B256, Bytes, KECCAK256_EMPTY, StateError, StateReader, U256};
use redb::{ReadOnlyTable, ReadTransaction};

/// One committed version of the flat tables.
pub(crate) struct Snapshot {
    accounts: ReadOnlyTable<[u8; 20], [u8; 72]>,
    slots: ReadOnlyTable<[u8; 52], [u8; 32]>,
    codes: ReadOnlyTable<[u8; 32], &'static [u8]>,
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
        let row = self.accounts.get(address.0.0).map_err(store_error)?;
        Ok(row.map(|row| key::decode_account(&row.value())))
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let row = self.slots.get(slot_row(address, slot)).map_err(store_error)?;
        Ok(row.map_or(U256::ZERO, |row| U256::from_be_bytes(row.value())))
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        if *code_hash == KECCAK256_EMPTY {
            return Ok(Bytes::new());
        }
        let row = self.codes.get(code_hash.0).map_err(store_error)?;
        row.map(|row| Bytes::copy_from_slice(row.value()))
            .ok_or_else(|| StateError(format!("code {code_hash} is missing")))
    }
}

impl Base for Snapshot {
    fn slots(&self, address: &Address) -> Result<Vec<U256>, StateError> {
        let range = slot_row(address, &U256::ZERO)..=slot_row(address, &U256::MAX);
        let rows = self.slots.range(range).map_err(store_error)?;
        rows.map(|row| row.map(|(slot, _)| U256::from_be_slice(&slot.value()[20..])).map_err(store_error)).collect()
    }
}

/// An earlier version: the value before the first later change, else the current one.
pub(crate) struct Past {
    height: u64,
    current: Snapshot,
    accounts: ReadOnlyTable<[u8; 28], Option<[u8; 72]>>,
    slots: ReadOnlyTable<[u8; 60], [u8; 32]>,
}

impl Past {
    pub(crate) fn open(transaction: &ReadTransaction, height: u64) -> Result<Self, StateError> {
        Ok(Self {
            height,
            current: Snapshot::open(transaction)?,
            accounts: transaction.open_table(ACCOUNT_HISTORY).map_err(store_error)?,
            slots: transaction.open_table(SLOT_HISTORY).map_err(store_error)?,
        })
    }
}

impl Past {
    /// The row of an account, if there is one.
    pub(crate) fn account_row(&self, address: &[u8; 20]) -> Result<Option<[u8; 72]>, StateError> {
        let range = at_height::<20, 28>(address, self.height + 1)..=at_height(address, u64::MAX);
        match self.accounts.range(range).map_err(store_error)?.next() {
            Some(row) => Ok(row.map_err(store_error)?.1.value()),
            None => Ok(self.current.accounts.get(address).map_err(store_error)?.map(|row| row.value())),
        }
    }

    /// The value of a slot's row; zero when there is none.
    pub(crate) fn slot_value(&self, row: &[u8; 52]) -> Result<[u8; 32], StateError> {
        let range = at_height::<52, 60>(row, self.height + 1)..=at_height(row, u64::MAX);
        match self.slots.range(range).map_err(store_error)?.next() {
            Some(row) => Ok(row.map_err(store_error)?.1.value()),
            None => Ok(self.current.slots.get(row).map_err(store_error)?.map_or([0; 32], |row| row.value())),
        }
    }
}

impl StateReader for Past {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        Ok(self.account_row(&address.0.0)?.map(|row| key::decode_account(&row)))
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        self.slot_value(&slot_row(address, slot)).map(U256::from_be_bytes)
    }

    fn code(&self, code_hash: &B256) -> Result<Bytes, StateError> {
        self.current.code(code_hash)
    }
}
