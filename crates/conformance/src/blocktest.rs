//! Blocks of Ethereum's public chain, each with the part of the state that it touches.

use crate::{
    agreement::{self, Speed, agree},
    block::{EthereumBlock, Rules, environment, execute_block},
    fork,
    memory::MemoryState,
    quantity::Quantity,
    receipts,
    report::{self, Case, Format, Verdict},
};
use alloy_consensus::{Header, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::{eip2718::Encodable2718, eip4895::Withdrawal, eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS};
use candela_evm::{BlockHashes, SpecId};
use candela_primitives::{Address, B256, Bytes, Transaction, U256, keccak256};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fmt::{Debug, Display},
    io,
    path::{Path, PathBuf},
};

/// Folders with `block.json`, `pre_state.json` and perhaps `block_hashes.json`, plain or packed.
pub const FORMAT: Format = Format { find, check };

const MAINNET: u64 = 1;

#[derive(Deserialize)]
struct Block {
    #[serde(flatten)]
    header: Header,
    transactions: Vec<SentTransaction>,
    #[serde(default)]
    withdrawals: Vec<Withdrawal>,
}

#[derive(Deserialize)]
struct SentTransaction {
    from: Address,
    #[serde(flatten)]
    envelope: TxEnvelope,
}

#[derive(Deserialize)]
struct PreAccount {
    basic: Basic,
    code: Option<Code>,
    #[serde(default)]
    storage: BTreeMap<U256, Quantity>,
    code_hash: Option<B256>,
}

#[derive(Deserialize)]
struct Basic {
    balance: Quantity,
    nonce: Quantity,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Code {
    Plain(Bytes),
    /// Padded with zeros behind the code itself.
    Padded {
        bytecode: Bytes,
        original_len: usize,
    },
}

/// The hashes that a block's `BLOCKHASH` instructions ask for.
struct KnownHashes(BTreeMap<u64, B256>);

impl BlockHashes for KnownHashes {
    fn block_hash(&self, number: u64) -> Option<B256> {
        self.0.get(&number).copied()
    }
}

/// `name` or `name.gz` in `folder`.
fn member(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|path| path.is_file())
}

/// Adds the folders at or below a path.
///
/// # Errors
/// When it can't be read, or holds none.
pub fn find(path: &Path, folders: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("block.json")) {
        folders.push(path.parent().unwrap_or(path).to_owned());
    } else if member(path, "block.json").is_some() {
        folders.push(path.to_owned());
    } else {
        let inner: Vec<_> = report::entries(path)?.into_iter().filter(|entry| entry.is_dir()).collect();
        if inner.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no block.json"));
        }
        for entry in inner {
            find(&entry, folders)?;
        }
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let bytes = report::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn state(folder: &Path) -> Result<MemoryState, String> {
    let path = member(folder, "pre_state.json").ok_or("there is no pre_state.json")?;
    let mut state = MemoryState::default();
    for (address, account) in parse::<BTreeMap<Address, PreAccount>>(&path)? {
        let code = match account.code {
            Some(Code::Plain(code)) => code,
            Some(Code::Padded { bytecode, original_len }) => bytecode.slice(..original_len.min(bytecode.len())),
            None => Bytes::new(),
        };
        let storage = account.storage.iter().map(|(slot, value)| Ok((*slot, value.get()?)));
        let storage = storage.collect::<Result<_, String>>()?;
        let (nonce, balance) = (account.basic.nonce.narrow()?, account.basic.balance.get()?);
        state.insert(address, nonce, balance, code.clone(), storage);
        if let Some(expected) = account.code_hash {
            expect("code hash", &state.insert_code(code), &expected)?;
        }
    }
    Ok(state)
}

fn hashes(folder: &Path) -> Result<KnownHashes, String> {
    let Some(path) = member(folder, "block_hashes.json") else {
        return Ok(KnownHashes(BTreeMap::new()));
    };
    let hashes = parse::<BTreeMap<String, B256>>(&path)?.into_iter().map(|(number, hash)| {
        let parsed = number.strip_prefix("0x").map_or_else(|| number.parse(), |digits| u64::from_str_radix(digits, 16));
        Ok((parsed.map_err(|error| format!("block number {number}: {error}"))?, hash))
    });
    Ok(KnownHashes(hashes.collect::<Result<_, String>>()?))
}

fn transaction(sent: SentTransaction) -> Result<Transaction, String> {
    let encoded = Bytes::from(sent.envelope.encoded_2718());
    expect("transaction hash", &keccak256(&encoded), sent.envelope.tx_hash())?;
    // High-s signatures were valid before Homestead.
    let sender = sent.envelope.recover_signer_unchecked().map_err(|error| error.to_string())?;
    expect("sender", &sender, &sent.from)?;
    Ok(Transaction::new_unchecked(sent.envelope, encoded, sender))
}

fn expect<T: PartialEq + Debug>(what: &str, actual: &T, expected: &T) -> Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("{what} is {actual:?}, expected {expected:?}")) }
}

fn words(error: impl Display) -> String {
    error.to_string()
}

/// A block with all that its execution needs.
struct Loaded {
    header: Header,
    transactions: Vec<Transaction>,
    withdrawals: Vec<Withdrawal>,
    state: MemoryState,
    hashes: KnownHashes,
    rules: Rules,
}

fn load(folder: &Path) -> Result<Loaded, String> {
    let path = member(folder, "block.json").ok_or("there is no block.json")?;
    let Block { header, transactions, withdrawals } = parse(&path)?;
    let (state, hashes) = (state(folder)?, hashes(folder)?);
    let transactions = transactions.into_iter().map(transaction).collect::<Result<_, _>>()?;
    let (spec, blobs) = fork::mainnet(header.number, header.timestamp);
    let deposit_contract = Some(MAINNET_DEPOSIT_CONTRACT_ADDRESS);
    let rules = Rules { chain_id: MAINNET, spec, blobs, deposit_contract };
    Ok(Loaded { header, transactions, withdrawals, state, hashes, rules })
}

/// What the block in a folder takes in the different executors; `None` for one of before Cancun, which can't be replayed.
///
/// # Errors
/// When the folder can't be read, or the executors disagree.
pub fn speed(folder: &Path) -> Result<Option<Speed>, String> {
    let Loaded { header, transactions, state, hashes, rules, .. } = load(folder)?;
    if !rules.spec.is_enabled_in(SpecId::CANCUN) {
        return Ok(None);
    }
    agreement::speed(&state, &hashes, &environment(&rules, &header), &transactions).map(Some)
}

fn check_block(folder: &Path) -> Result<(), String> {
    let Loaded { header, transactions, withdrawals, state, hashes, rules } = load(folder)?;
    let block = EthereumBlock { header: &header, transactions: &transactions, ommers: &[], withdrawals: &withdrawals };
    let execution = execute_block(&state, &hashes, &rules, &block).map_err(words)?;
    agree(&state, &hashes, &environment(&rules, &header), &transactions)?;
    expect("gas used", &execution.gas_used, &header.gas_used)?;
    expect("logs bloom", &execution.logs_bloom, &header.logs_bloom)?;
    // Earlier receipts hold the root of the whole state after each transaction, which these files don't have.
    if rules.spec.is_enabled_in(SpecId::BYZANTIUM) {
        expect("receipts root", &receipts::root(&execution.receipts).map_err(words)?, &header.receipts_root)?;
    }
    Ok(())
}

fn check(folder: &Path) -> Vec<Case> {
    let verdict = check_block(folder).map_or_else(Verdict::Failed, |()| Verdict::Passed);
    vec![Case { name: folder.display().to_string(), verdict }]
}
