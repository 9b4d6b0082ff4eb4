//! Lies about what a block did.

use crate::blocks::Generator;
use alloy_eip7928::{AccountChanges, BalanceChange, BlockAccessIndex, NonceChange, SlotChanges, StorageChange};
use candela_primitives::{Address, U256};

/// Changes one thing in `list`; says what, or `None` when there was nothing to change.
pub(crate) fn tamper(list: &mut Vec<AccountChanges>, generator: &mut Generator) -> Option<&'static str> {
    if list.is_empty() {
        return None;
    }
    let at = generator.below(list.len());
    let account = &mut list[at];
    let one = U256::from(1);
    match generator.below(12) {
        0 => {
            list.remove(at);
            Some("an account is missing")
        }
        1 => {
            list.insert(0, AccountChanges::new(Address::ZERO));
            (list.get(1)?.address != Address::ZERO).then_some("an account that nobody uses")
        }
        2 => {
            let change = account.balance_changes.first_mut()?;
            change.post_balance = change.post_balance.wrapping_add(one);
            Some("a balance is off by one")
        }
        3 => account.balance_changes.pop().map(|_| "a balance change is missing"),
        4 => {
            let change = account.nonce_changes.last_mut()?;
            change.new_nonce += 1;
            Some("a nonce is off by one")
        }
        5 => {
            let change = account.storage_changes.first_mut()?.changes.last_mut()?;
            change.new_value = change.new_value.wrapping_add(one);
            Some("a slot is off by one")
        }
        6 => account.storage_reads.pop().map(|_| "a read is missing"),
        7 => {
            account.storage_reads.push(U256::MAX);
            Some("a slot that nobody reads")
        }
        8 => {
            let change = account.balance_changes.last_mut()?;
            change.block_access_index = BlockAccessIndex::new(change.block_access_index.0 + 1);
            Some("a balance changes one transaction later")
        }
        9 => {
            let slot = account.storage_reads.pop()?;
            let change = StorageChange::new(BlockAccessIndex::new(1), U256::MAX);
            account.storage_changes.push(SlotChanges::new(slot, vec![change]));
            account.storage_changes.sort_unstable_by_key(|slot| slot.slot);
            Some("a read is called a write")
        }
        10 => {
            account.nonce_changes.insert(0, NonceChange::new(BlockAccessIndex::new(0), 0));
            Some("a change before the first transaction")
        }
        _ => {
            let last = account.balance_changes.last()?.clone();
            account.balance_changes.push(BalanceChange::new(last.block_access_index, last.post_balance));
            Some("a change twice")
        }
    }
}
