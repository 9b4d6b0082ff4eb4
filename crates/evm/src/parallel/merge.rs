//! Put private overlays together once nothing in them clashes.

use super::lane::Clash;
use crate::{
    claim::Conflict,
    overlay::{Entry, History, Shard, Slot},
};
use candela_primitives::{Account, U256};

/// The accounts at which two workers' parts clash.
pub(super) fn clashes<'p>(one: &'p Shard, other: &'p Shard) -> impl Iterator<Item = Clash> + 'p {
    one.entries().filter_map(|(address, mine)| {
        let theirs = other.get(address)?;
        let accounts = mine.claim.clash(&theirs.claim);
        accounts.or_else(|| slots_clash(mine, theirs)).map(|conflict| (conflict, *address))
    })
}

fn slots_clash(one: &Entry, other: &Entry) -> Option<Conflict> {
    let (fewer, more) = if one.storage.len() <= other.storage.len() { (one, other) } else { (other, one) };
    fewer.storage.iter().find_map(|(key, slot)| slot.claim.clash(&more.storage.get(key)?.claim))
}

/// Adds a worker's part, which began at position `first`, to what the block has done.
pub(super) fn absorb(into: &mut Shard, from: &mut Shard, first: u32) {
    for (address, mut entry) in from.drain() {
        if entry.claim.credited_by_several() {
            let start = entry.original.map_or(U256::ZERO, |account| account.balance);
            entry.balances = resum(start, &mut credits(start, &entry.balances));
        }
        entry.claim = <_>::default();
        match into.get_mut(&address) {
            Some(known) => join(known, entry, first),
            None => {
                into.insert(address, unclaimed(entry));
            }
        }
    }
}

fn unclaimed(mut entry: Entry) -> Entry {
    entry.storage.values_mut().for_each(|slot| slot.claim = <_>::default());
    entry
}

/// What was added each time a balance rose.
fn credits(start: U256, balances: &[(u32, U256)]) -> Vec<(u32, U256)> {
    let before = std::iter::once(start).chain(balances.iter().map(|(_, balance)| *balance));
    balances.iter().zip(before).map(|((position, after), before)| (*position, *after - before)).collect()
}

/// Balances after each of `credits`, in order.
fn resum(start: U256, credits: &mut [(u32, U256)]) -> History<U256> {
    credits.sort_unstable_by_key(|(position, _)| *position);
    let mut balance = start;
    credits
        .iter()
        .map(|(position, credit)| {
            balance += *credit;
            (*position, balance)
        })
        .collect()
}

/// Joins two workers' entries for one account, or an entry with that of an earlier window.
fn join(known: &mut Entry, entry: Entry, first: u32) {
    known.accessed |= entry.accessed;
    known.cleared |= entry.cleared;
    let start = entry.original;
    let since = known.balances.partition_point(|(position, _)| *position < first);
    if since == known.balances.len() || entry.balances.is_empty() {
        known.balances.extend(entry.balances);
        if known.current == start {
            known.current = entry.current;
        }
    } else {
        // Several workers added to this balance.
        let before = start.map_or(U256::ZERO, |account| account.balance);
        let mut all = credits(before, &known.balances[since..]);
        all.extend(credits(before, &entry.balances));
        known.balances.truncate(since);
        known.balances.extend(resum(before, &mut all));
        let balance = known.balances.last().map_or(before, |(_, balance)| *balance);
        known.current = Some(Account { balance, ..known.current.or(entry.current).unwrap_or_default() });
    }
    known.nonces.extend(entry.nonces);
    known.codes.extend(entry.codes);
    for (key, slot) in entry.storage {
        join_slot(known, key, slot);
    }
}

fn join_slot(known: &mut Entry, key: U256, mut slot: Slot) {
    slot.claim = <_>::default();
    match known.storage.get_mut(&key) {
        Some(earlier) => {
            earlier.accessed |= slot.accessed;
            if !slot.changes.is_empty() {
                earlier.changes.extend(slot.changes);
                earlier.current = slot.current;
            }
        }
        None => {
            known.storage.insert(key, slot);
        }
    }
}
