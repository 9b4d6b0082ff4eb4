//! Name the types, codecs, hashes and protocol parameters every other crate agrees on.
//!
//! This is the leaf of the dependency graph: it holds no rules about *when* something is valid, only what it looks like
//! and how it is encoded. Encodings are RLP; hashes of blocks and transactions are Keccak-256; Merkle roots inside a
//! shard header are SHA-256 (see [`merkle`]).

mod block;
mod candela_transaction;
mod changes;
mod envelope;
mod epochs;
mod ethereum;
mod genesis;
pub mod merkle;
mod parameters;
mod participation;
mod receipt;
mod transaction;

pub use alloy_primitives::{Address, B256, Bloom, Bytes, KECCAK256_EMPTY, Log, U256, keccak256};
pub use block::{Block, BlockDecodeError, Header, ShardHeader};
pub use candela_transaction::CandelaTransaction;
pub use changes::{Account, AccountChange, StateChanges, StateError, StateReader};
pub use envelope::Envelope;
pub use epochs::Epochs;
pub use genesis::{Deployment, Genesis, GenesisAccount};
pub use parameters::{CHAIN_ID, MARKET, Parameters, REGISTRY, SESSION_KEYS, STAKING, SYSTEM};
pub use participation::{Participation, ParticipationError};
pub use receipt::Receipt;
pub use transaction::Transaction;
