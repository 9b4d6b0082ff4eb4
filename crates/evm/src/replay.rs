//! Execute a block whose access list is known: every transaction at once, and no trust in the list.
//!
//! The list says what each transaction leaves behind, so that any of them can start from there without waiting for those
//! before it. Afterwards every change that was made must be in the list, every change in the list must have been made,
//! and so for every account and slot that was used: then the list is the one that executing in order would have given,
//! and so is everything else.

use crate::{
    BlockEnvironment, BlockHashes, Execution, ExecutionError, Workers, collision,
    executor::{Facts, Outcome, admit, blob_fee},
    overlay::Map,
    precompiles,
    view::{ViewError, account_info, bytecode},
    vm::{LogsBloom, receipt, run_with},
};
use alloy_eip7928::{AccountChanges, BlockAccessIndex};
use alloy_primitives::U512;
use candela_primitives::{
    Account, AccountChange, Address, B256, Bloom, Bytes, KECCAK256_EMPTY, Receipt, StateChanges, StateError,
    StateReader, Transaction, U256, keccak256,
};
use parking_lot::RwLock;
use rayon::prelude::*;
use revm::{
    Context, Database, MainBuilder, MainContext, MainnetEvm,
    bytecode::Bytecode,
    context::result::EVMError,
    handler::{EthFrame, Handler, MainnetContext, MainnetHandler},
    primitives::hardfork::SpecId,
    state::{Account as EvmAccount, AccountInfo, EvmState},
};
use std::{
    borrow::Borrow,
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering},
};

/// Into how many parts a block is cut, each of which a worker takes as a whole.
const CHUNKS: usize = 128;
/// Transactions of a part at most.
const LONGEST_CHUNK: usize = 32;

/// Why a block is not what its access list says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The state could not be read, or a transaction can't be in the block.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// The list is not what execution gives.
    #[error("access list is false: {0}")]
    List(String),
}

fn false_list(reason: impl Into<String>) -> ReplayError {
    ReplayError::List(reason.into())
}

/// A slot of the list, with its value before the block.
struct ListedSlot {
    base: U256,
    /// Place in `storage_changes`; none for a slot that is only read.
    place: Option<usize>,
    used: AtomicBool,
}

/// One account of the list, with what was there before the block.
struct Listed<'l> {
    changes: &'l AccountChanges,
    base: Option<Account>,
    /// Hashes of the code changes.
    codes: Vec<B256>,
    slots: Map<U256, ListedSlot>,
    used: AtomicBool,
    cleared: AtomicBool,
    removed: AtomicBool,
}

/// The last of `changes` before `index`, by their own order.
fn before<T>(changes: &[T], index: u64, at: impl Fn(&T) -> BlockAccessIndex) -> Option<&T> {
    changes[..changes.partition_point(|change| at(change).0 < index)].last()
}

fn exactly<T>(changes: &[T], index: u64, at: impl Fn(&T) -> BlockAccessIndex) -> Option<&T> {
    changes.get(changes.partition_point(|change| at(change).0 < index)).filter(|change| at(change).0 == index)
}

impl<'l> Listed<'l> {
    fn load(changes: &'l AccountChanges, state: &dyn StateReader) -> Result<Self, StateError> {
        let address = &changes.address;
        let base = state.account(address)?;
        let read = |slot: &U256| if base.is_some() { state.storage(address, slot) } else { Ok(U256::ZERO) };
        let mut slots = Map::default();
        let changed = changes.storage_changes.iter().enumerate().map(|(place, change)| (change.slot, Some(place)));
        for (slot, place) in changed.chain(changes.storage_reads.iter().map(|slot| (*slot, None))) {
            slots.insert(slot, ListedSlot { base: read(&slot)?, place, used: AtomicBool::new(false) });
        }
        let hash = |code: &Bytes| if code.is_empty() { KECCAK256_EMPTY } else { keccak256(code) };
        Ok(Self {
            changes,
            base,
            codes: changes.code_changes.iter().map(|change| hash(&change.new_code)).collect(),
            slots,
            used: AtomicBool::new(false),
            cleared: AtomicBool::new(false),
            removed: AtomicBool::new(false),
        })
    }

    /// The account before the transaction with an index.
    fn account(&self, index: u64) -> Option<Account> {
        let balance = before(&self.changes.balance_changes, index, |change| change.block_access_index);
        let nonce = before(&self.changes.nonce_changes, index, |change| change.block_access_index);
        let codes = self.changes.code_changes.partition_point(|change| change.block_access_index.0 < index);
        if balance.is_none() && nonce.is_none() && codes == 0 {
            return self.base;
        }
        let base = self.base.unwrap_or_default();
        let account = Account {
            nonce: nonce.map_or(base.nonce, |change| change.new_nonce),
            balance: balance.map_or(base.balance, |change| change.post_balance),
            code_hash: codes.checked_sub(1).map_or(base.code_hash, |last| self.codes[last]),
        };
        (account != Account::default()).then_some(account)
    }

    /// A slot before the transaction with an index; `None` when it is not listed.
    fn slot(&self, slot: &U256, index: u64) -> Option<U256> {
        let known = self.slots.get(slot)?;
        let Some(place) = known.place else { return Some(known.base) };
        let changes = &self.changes.storage_changes[place].changes;
        Some(before(changes, index, |change| change.block_access_index).map_or(known.base, |change| change.new_value))
    }

    /// Compares what a transaction left with what is listed for it; returns how many changes it made.
    fn check(&self, index: u64, account: &EvmAccount, spec: SpecId) -> Result<u64, String> {
        self.used.store(true, Ordering::Relaxed);
        let before = self.account(index);
        let gone = account.is_selfdestructed() || account.state_clear_aware_is_empty(spec);
        let mut made = 0;
        if account.is_touched() {
            if gone && before == Some(Account::default()) {
                self.removed.store(true, Ordering::Relaxed);
            }
            if account.is_created() || account.is_selfdestructed() {
                self.cleared.store(true, Ordering::Relaxed);
            }
            let info = if gone { AccountInfo::default() } else { account.info.clone() };
            made += self.check_account(index, before.unwrap_or_default(), &info)?;
        }
        for (key, slot) in &account.storage {
            let value = match account.is_touched() {
                true if gone => Some(U256::ZERO),
                true => Some(slot.present_value),
                false => None,
            };
            made += self.check_slot(index, key, value)?;
        }
        Ok(made)
    }

    fn check_account(&self, index: u64, before: Account, after: &AccountInfo) -> Result<u64, String> {
        let (changes, address, mut made) = (self.changes, self.changes.address, 0);
        let differs = |what: &str| format!("{what} of {address} after transaction {index}");
        if before.balance != after.balance {
            let listed = exactly(&changes.balance_changes, index, |change| change.block_access_index);
            if listed.is_none_or(|change| change.post_balance != after.balance) {
                return Err(differs("balance"));
            }
            made += 1;
        }
        if before.nonce != after.nonce {
            let listed = exactly(&changes.nonce_changes, index, |change| change.block_access_index);
            if listed.is_none_or(|change| change.new_nonce != after.nonce) {
                return Err(differs("nonce"));
            }
            made += 1;
        }
        let code_hash = if after.code_hash.is_zero() { KECCAK256_EMPTY } else { after.code_hash };
        if before.code_hash != code_hash {
            let place = changes.code_changes.partition_point(|change| change.block_access_index.0 < index);
            let listed = changes.code_changes.get(place).filter(|change| change.block_access_index.0 == index);
            if listed.is_none() || self.codes[place] != code_hash {
                return Err(differs("code"));
            }
            made += 1;
        }
        Ok(made)
    }

    fn check_slot(&self, index: u64, key: &U256, value: Option<U256>) -> Result<u64, String> {
        let differs = || format!("slot {key} of {} after transaction {index}", self.changes.address);
        let known = self.slots.get(key).ok_or_else(differs)?;
        known.used.store(true, Ordering::Relaxed);
        let before = self.slot(key, index).ok_or_else(differs)?;
        let Some(value) = value.filter(|value| *value != before) else { return Ok(0) };
        let changes = known.place.map_or(&[][..], |place| &self.changes.storage_changes[place].changes);
        let listed = exactly(changes, index, |change| change.block_access_index);
        if listed.is_none_or(|change| change.new_value != value) { Err(differs()) } else { Ok(1) }
    }

    /// Whether everything that is listed was used.
    fn check_used(&self) -> Result<(), ReplayError> {
        let address = self.changes.address;
        if !self.used.load(Ordering::Relaxed) {
            return Err(false_list(format!("no transaction uses {address}")));
        }
        match self.slots.iter().find(|(_, slot)| !slot.used.load(Ordering::Relaxed)) {
            Some((slot, _)) => Err(false_list(format!("no transaction uses slot {slot} of {address}"))),
            None => Ok(()),
        }
    }

    /// What the block did to the account; `None` when nothing.
    fn change(&self) -> Option<AccountChange> {
        let after = match self.account(u64::MAX) {
            Some(account) if account == Account::default() && self.removed.load(Ordering::Relaxed) => None,
            account => account,
        };
        let storage_cleared = self.cleared.load(Ordering::Relaxed) && self.base.is_some();
        let last = |place: usize| self.changes.storage_changes[place].changes.last().map(|change| change.new_value);
        let storage = self.slots.iter().filter_map(|(key, slot)| {
            let value = slot.place.and_then(last)?;
            (value != slot.base).then_some((*key, value))
        });
        let storage: std::collections::BTreeMap<_, _> = storage.collect();
        if after == self.base && storage.is_empty() && !storage_cleared {
            return None;
        }
        Some(AccountChange { account: after, storage_cleared, storage })
    }
}

fn count(changes: &AccountChanges) -> u64 {
    let slots = changes.storage_changes.iter().map(|slot| slot.changes.len()).sum::<usize>();
    (slots + changes.balance_changes.len() + changes.nonce_changes.len() + changes.code_changes.len()) as u64
}

/// Whether changes are in order, and made where something may be changed.
fn proper<T>(changes: &[T], indexes: &RangeInclusive<u64>, at: impl Fn(&T) -> BlockAccessIndex) -> bool {
    changes.is_sorted_by(|one, next| at(one) < at(next)) && changes.iter().all(|change| indexes.contains(&at(change).0))
}

/// Whether a list has the one form that EIP-7928 allows: everything in order, nothing twice, nothing empty.
///
/// `indexes` are those that something may change at: 0 is the ledger's own call, the others are transactions.
fn check_form(list: &[AccountChanges], indexes: &RangeInclusive<u64>) -> Result<(), ReplayError> {
    if !list.is_sorted_by(|one, next| one.address < next.address) {
        return Err(false_list("accounts are not in order"));
    }
    list.par_iter().try_for_each(|changes| {
        let slots = &changes.storage_changes;
        let fine = proper(&changes.balance_changes, indexes, |change| change.block_access_index)
            && proper(&changes.nonce_changes, indexes, |change| change.block_access_index)
            && proper(&changes.code_changes, indexes, |change| change.block_access_index)
            && slots.is_sorted_by(|one, next| one.slot < next.slot)
            && changes.storage_reads.is_sorted_by(|one, next| one < next)
            && slots.iter().all(|slot| {
                !slot.changes.is_empty()
                    && proper(&slot.changes, indexes, |change| change.block_access_index)
                    && changes.storage_reads.binary_search(&slot.slot).is_err()
            });
        if fine { Ok(()) } else { Err(false_list(format!("the changes of {} are not in order", changes.address))) }
    })
}

/// The list, ready to be looked things up in.
struct Index<'l> {
    accounts: Vec<Listed<'l>>,
    places: Map<Address, usize>,
    codes: Map<B256, Bytecode>,
}

impl<'l> Index<'l> {
    fn new(list: &'l [AccountChanges], state: &dyn StateReader) -> Result<Self, StateError> {
        let load = || list.par_iter().map(|changes| Listed::load(changes, state)).collect::<Result<Vec<_>, _>>();
        let find = || list.iter().enumerate().map(|(place, changes)| (changes.address, place)).collect();
        let (accounts, places) = rayon::join(load, find);
        let accounts = accounts?;
        let codes = accounts.iter().flat_map(|listed| listed.codes.iter().zip(&listed.changes.code_changes));
        let codes = codes.map(|(hash, change)| (*hash, bytecode(change.new_code.clone()))).collect();
        Ok(Self { accounts, places, codes })
    }

    fn get(&self, address: &Address) -> Option<&Listed<'l>> {
        self.places.get(address).map(|place| &self.accounts[*place])
    }
}

/// The state as one transaction finds it, according to the list.
struct ListedView<'a> {
    index: &'a Index<'a>,
    state: &'a dyn StateReader,
    hashes: &'a dyn BlockHashes,
    /// Code that was looked up, by this worker.
    codes: Map<B256, Bytecode>,
    /// Code that was looked up by any worker, ready to run, which takes longer than running a little of it.
    known: &'a RwLock<Map<B256, Bytecode>>,
    /// EIP-7928 index of the transaction.
    at: u64,
    /// Something that was used but is not in the list.
    unlisted: Option<String>,
}

impl ListedView<'_> {
    fn unlisted<T>(&mut self, what: String) -> Result<T, ViewError> {
        self.unlisted = Some(what.clone());
        Err(ViewError(StateError(what)))
    }
}

impl Database for ListedView<'_> {
    type Error = ViewError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ViewError> {
        let Some(listed) = self.index.get(&address) else { return self.unlisted(format!("account {address}")) };
        Ok(listed.account(self.at).map(account_info))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, ViewError> {
        if let Some(code) = self.codes.get(&code_hash).or_else(|| self.index.codes.get(&code_hash)) {
            return Ok(code.clone());
        }
        let known = self.known.read().get(&code_hash).cloned();
        let code = match known {
            Some(code) => code,
            None => {
                let code = bytecode(self.state.code(&code_hash)?);
                self.known.write().entry(code_hash).or_insert(code).clone()
            }
        };
        self.codes.insert(code_hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ViewError> {
        match self.index.get(&address).and_then(|listed| listed.slot(&slot, self.at)) {
            Some(value) => Ok(value),
            None => self.unlisted(format!("slot {slot} of {address}")),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ViewError> {
        Ok(self.hashes.block_hash(number).unwrap_or_default())
    }
}

/// What a worker made of its share.
#[derive(Default)]
struct Share {
    receipts: Vec<Receipt>,
    bloom: Bloom,
    made: u64,
    destroyed: bool,
}

struct Replay<'a> {
    index: &'a Index<'a>,
    state: &'a dyn StateReader,
    hashes: &'a dyn BlockHashes,
    environment: &'a BlockEnvironment,
    codes: &'a RwLock<Map<B256, Bytecode>>,
}

impl<'a> Replay<'a> {
    /// An EVM that finds the state that the list says there is before the transactions.
    fn evm(&self) -> MainnetEvm<MainnetContext<ListedView<'a>>> {
        let (index, state, hashes) = (self.index, self.state, self.hashes);
        let view = ListedView { index, state, hashes, codes: Map::default(), known: self.codes, at: 0, unlisted: None };
        let mut evm = Context::mainnet()
            .with_db(view)
            .with_block(self.environment.block())
            .with_cfg(self.environment.configuration())
            .build_mainnet();
        collision::install(&mut evm.instruction);
        precompiles::install(&mut evm.precompiles, self.environment.spec);
        evm
    }

    /// Makes the ledger's own call.
    fn begin(&self) -> Result<Share, ReplayError> {
        let mut share = Share::default();
        let Some(call) = &self.environment.system_call else { return Ok(share) };
        let mut evm = self.evm();
        let ran = call.run(&mut evm);
        if let Some(unlisted) = evm.ctx.journaled_state.database.unlisted.take() {
            return Err(false_list(format!("the system call uses {unlisted}, which is not listed")));
        }
        self.check(0, &ran?, &mut share)?;
        Ok(share)
    }

    fn share<T: Borrow<Transaction>>(
        &self,
        (evm, blooms): &mut (MainnetEvm<MainnetContext<ListedView<'a>>>, LogsBloom),
        first: usize,
        transactions: &[T],
    ) -> Result<Share, ReplayError> {
        let mut share = Share::default();
        for (place, transaction) in (first..).zip(transactions.iter().map(Borrow::borrow)) {
            let invalid = |reason| ExecutionError::Invalid { index: place, reason };
            admit(transaction, self.environment, self.environment.gas_limit).map_err(invalid)?;
            let at = place as u64 + 1;
            evm.ctx.journaled_state.database.at = at;
            let ran = run_with(evm, transaction, |evm| {
                MainnetHandler::<_, EVMError<ViewError>, EthFrame>::default().run(evm)
            });
            if let Some(unlisted) = evm.ctx.journaled_state.database.unlisted.take() {
                return Err(false_list(format!("transaction {place} uses {unlisted}, which is not listed")));
            }
            let (result, state) = ran.map_err(ExecutionError::from)?.map_err(invalid)?;
            self.check(at, &state, &mut share)?;
            let receipt = receipt(transaction, result, self.environment.base_fee_per_gas);
            blooms.accrue(&receipt);
            share.receipts.push(receipt);
        }
        // Logs of what the worker did before are the block's as well.
        share.bloom = blooms.bloom;
        Ok(share)
    }

    fn check(&self, at: u64, state: &EvmState, share: &mut Share) -> Result<(), ReplayError> {
        for (address, account) in state {
            let listed = self.index.get(address).ok_or_else(|| false_list(format!("{address} is not listed")))?;
            share.made += listed.check(at, account, self.environment.spec).map_err(false_list)?;
            share.destroyed |= account.is_selfdestructed();
        }
        Ok(())
    }
}

/// Executes a block of which every transaction must be valid, on all workers at once, as `list` (EIP-7928) allows.
///
/// The list is believed to be of EIP-7928's shape but nothing more: it may be a lie.
///
/// # Errors
/// When a transaction is invalid, when the list is not exactly what execution gives, or when the state can't be read.
pub fn replay<T: Borrow<Transaction> + Sync>(
    workers: &Workers,
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    transactions: &[T],
    list: Vec<AccountChanges>,
) -> Result<Execution, ReplayError> {
    // Before Cancun contracts that existed before a transaction can be destroyed with their storage.
    if !environment.spec.is_enabled_in(SpecId::CANCUN) {
        return Err(false_list("access lists start with Cancun"));
    }
    let first = u64::from(environment.system_call.is_none());
    let execution = workers.run(|| {
        check_form(&list, &(first..=transactions.len() as u64))?;
        let index = Index::new(&list, state).map_err(ExecutionError::from)?;
        let codes = RwLock::default();
        let replay = Replay { index: &index, state, hashes, environment, codes: &codes };
        let length = (transactions.len() / CHUNKS).clamp(1, LONGEST_CHUNK);
        let chunks = transactions.par_chunks(length).enumerate();
        let start = || (replay.evm(), LogsBloom::new());
        let chunks = chunks.map_init(start, |worker, (chunk, part)| replay.share(worker, chunk * length, part));
        let mut shares = chunks.collect::<Result<Vec<_>, _>>()?;
        shares.push(replay.begin()?);
        let made: u64 = shares.iter().map(|share| share.made).sum();
        if made != list.par_iter().map(count).sum::<u64>() {
            return Err(false_list("a change is listed that no transaction makes"));
        }
        index.accounts.par_iter().try_for_each(Listed::check_used)?;
        let execution = conclude(&index, environment, transactions, shares)?;
        // Letting go of so much takes about as long as loading it.
        index.accounts.into_par_iter().for_each(drop);
        Ok(execution)
    });
    execution.map(|execution| Execution { access_list: list, ..execution })
}

/// All that the block did, but for its access list.
fn conclude<T: Borrow<Transaction>>(
    index: &Index<'_>,
    environment: &BlockEnvironment,
    transactions: &[T],
    shares: Vec<Share>,
) -> Result<Execution, ReplayError> {
    let mut outcome = Outcome::new();
    let mut destroyed = false;
    let mut receipts = Vec::with_capacity(transactions.len());
    for share in shares {
        destroyed |= share.destroyed;
        outcome.blooms.bloom |= share.bloom;
        receipts.extend(share.receipts);
    }
    for (place, (transaction, receipt)) in transactions.iter().map(Borrow::borrow).zip(receipts).enumerate() {
        let left = environment.gas_limit.saturating_sub(outcome.gas_used);
        admit(transaction, environment, left).map_err(|reason| ExecutionError::Invalid { index: place, reason })?;
        outcome.burned += blob_fee(transaction, environment);
        outcome.push(receipt, environment.base_fee_per_gas);
    }
    let changed: Vec<_> = index
        .accounts
        .par_iter()
        .map(|listed| listed.change().map(|change| (listed.changes.address, listed.base, change)))
        .collect();
    let (mut sums, mut changes) = ((U512::ZERO, U512::ZERO), StateChanges::default());
    for (address, base, change) in changed.iter().flatten() {
        sums.0 += base.map_or(U512::ZERO, |account| U512::from(account.balance));
        sums.1 += change.account.map_or(U512::ZERO, |account| U512::from(account.balance));
        let coded = index.get(address).is_some_and(|listed| !listed.codes.is_empty());
        if let Some(code_hash) = change.account.map(|account| account.code_hash).filter(|_| coded)
            && let Some(code) = index.codes.get(&code_hash).filter(|_| code_hash != KECCAK256_EMPTY)
        {
            changes.codes.insert(code_hash, code.original_bytes());
        }
    }
    changes.accounts = changed.into_iter().flatten().map(|(address, _, change)| (address, change)).collect();
    let facts = Facts { balance_sums: sums, destroyed, changes, access_list: Vec::new() };
    Ok(outcome.finish(environment, facts)?)
}
