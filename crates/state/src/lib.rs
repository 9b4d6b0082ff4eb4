//! Keep authenticated key-value state with snapshots and proofs that survives a crash.
//!
//! # Design
//!
//! Values live in flat tables (one row per account, slot and code) with the previous value of every change kept by
//! height, so that past states can be read. The root comes from a binary radix tree over SHA-256 of the keys; the tree is
//! held in memory, shared between versions, and rebuilt from the flat tables when a directory is opened. The trees of the
//! last committed heights stay, as many as [`Options`] allow, so that a proof against a block that is no longer the head
//! can still be given.
//!
//! [`Options::unwritten_heights`] lets the last committed heights wait in memory, to be written by a thread of its own,
//! many in one transaction. They are read like all others; only a crash takes them away. What was read or written lately
//! is kept in one flat cache that all versions of the final chain read.
//!
//! An [`Export`] lets others copy one version while the head moves on, in the order of the keys, and an [`Import`] takes
//! such chunks into a file of its own: each is proved against the root before it is written, and none may be missing in
//! the end.
//!
//! # What a root commits to
//!
//! | leaf | key | value |
//! |---|---|---|
//! | account | SHA-256(address) | nonce (8 bytes) \| balance (32) \| code hash (32), big-endian |
//! | slot | SHA-256(address \| slot) | the value (32 bytes, big-endian), never zero |
//!
//! Leaf = SHA-256(0x00 \| key \| SHA-256(value)), branch = SHA-256(0x01 \| left \| right), an empty subtree is 32 zero
//! bytes, and a subtree with one leaf *is* that leaf. Bits are taken from the most significant one down.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod cache;
mod chunk;
mod disk;
mod export;
mod history;
mod import;
mod key;
mod multiproof;
mod overlay;
mod proof;
mod reader;
mod recent;
mod snapshot;
mod tables;
mod tree;
mod version;
mod writer;

pub use disk::{DiskState, OpenError, Options};
pub use export::Export;
pub use import::{Import, ImportError};
pub use key::{Key, account_value, slot_value};
pub use overlay::Overlay;
pub use proof::{Proof, ProofError, verify};
pub use recent::{Prover, Unprovable};
pub use version::{State, Version};
