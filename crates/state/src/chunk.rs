//! Carry rows of the flat tables with the proof that a root commits to them.

use crate::{
    Key,
    key::{sha256, slot_row},
    multiproof::{self, Leaf},
    tree::Tree,
};
use candela_primitives::{Address, B256, U256};

/// A key and its value in a flat table.
pub(crate) type Row<const KEY: usize, const VALUE: usize> = ([u8; KEY], [u8; VALUE]);

/// Rows in the order of their keys, accounts first.
///
/// Encoded: number of accounts and of slots (4 bytes each, big-endian), the rows, and the proof in what is left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) accounts: Vec<Row<20, 72>>,
    pub(crate) slots: Vec<Row<52, 32>>,
    pub(crate) proof: Vec<u8>,
}

impl Chunk {
    /// How many rows there are.
    pub(crate) const fn len(&self) -> usize {
        self.accounts.len() + self.slots.len()
    }

    /// The bytes of the rows.
    pub(crate) const fn row_bytes(&self) -> usize {
        self.accounts.len() * (20 + 72) + self.slots.len() * (52 + 32)
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        let accounts = self.accounts.iter().map(|(address, _)| Key::Account(Address::from(*address)));
        accounts.chain(self.slots.iter().map(|(row, _)| slot_key(row)))
    }

    /// The last key; `None` when there are no rows.
    pub(crate) fn last(&self) -> Option<Key> {
        self.keys().last()
    }

    /// Whether the keys ascend from `after`.
    pub(crate) fn follows(&self, after: Option<Key>) -> bool {
        after.into_iter().chain(self.keys()).is_sorted_by(|one, next| one < next)
    }

    fn leaves(&self) -> Vec<Leaf> {
        let accounts = self.accounts.iter().map(|(address, account)| (sha256(address), sha256(account)));
        let slots = self.slots.iter().map(|(slot, value)| (sha256(slot), sha256(value)));
        let mut leaves: Vec<_> = accounts.chain(slots).collect();
        leaves.sort_unstable();
        leaves
    }

    /// Adds the proof for the rows, all of which `tree` holds.
    pub(crate) fn prove(&mut self, tree: &Tree) {
        self.proof.clear();
        multiproof::prove(tree.top(), &self.leaves(), 0, &mut self.proof);
    }

    /// Whether `root` commits to every row.
    pub(crate) fn is_proved(&self, root: &B256) -> bool {
        multiproof::root(&self.leaves(), &self.proof) == Some(*root)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let count = |rows: usize| u32::try_from(rows).unwrap_or(u32::MAX).to_be_bytes();
        let mut bytes = Vec::with_capacity(8 + self.row_bytes() + self.proof.len());
        bytes.extend(count(self.accounts.len()));
        bytes.extend(count(self.slots.len()));
        self.accounts.iter().for_each(|(address, account)| bytes.extend(address.iter().chain(account)));
        self.slots.iter().for_each(|(slot, value)| bytes.extend(slot.iter().chain(value)));
        bytes.extend(&self.proof);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (accounts, rest) = bytes.split_first_chunk::<4>()?;
        let (slots, rest) = rest.split_first_chunk::<4>()?;
        let (accounts, rest) = rows(u32::from_be_bytes(*accounts), rest)?;
        let (slots, proof) = rows(u32::from_be_bytes(*slots), rest)?;
        Some(Self { accounts, slots, proof: proof.to_vec() })
    }
}

/// Takes `count` rows from the front of `bytes`.
fn rows<const KEY: usize, const VALUE: usize>(count: u32, bytes: &[u8]) -> Option<(Vec<Row<KEY, VALUE>>, &[u8])> {
    let (rows, rest) = bytes.split_at_checked((count as usize).checked_mul(KEY + VALUE)?)?;
    let row = |row: &[u8]| Some((*row.first_chunk()?, *row.last_chunk()?));
    Some((rows.chunks_exact(KEY + VALUE).map(row).collect::<Option<_>>()?, rest))
}

pub(crate) fn slot_key(row: &[u8; 52]) -> Key {
    Key::Slot(Address::from_slice(&row[..20]), U256::from_be_slice(&row[20..]))
}

impl Key {
    /// The key's row in the flat tables: 20 bytes of the address, and 32 of the slot, if it is one.
    #[must_use]
    pub fn to_row(&self) -> Vec<u8> {
        match self {
            Self::Account(address) => address.to_vec(),
            Self::Slot(address, slot) => slot_row(address, slot).to_vec(),
        }
    }

    /// The key of a row; `None` when the bytes are neither 20 nor 52.
    #[must_use]
    pub fn of_row(row: &[u8]) -> Option<Self> {
        let account = <[u8; 20]>::try_from(row).ok().map(|address| Self::Account(Address::from(address)));
        account.or_else(|| <[u8; 52]>::try_from(row).ok().map(|row| slot_key(&row)))
    }
}
