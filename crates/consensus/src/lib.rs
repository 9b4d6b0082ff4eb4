//! Agree on the next block with commonware simplex and marshal.
//!
//! # Status
//!
//! A committee of many validators over authenticated connections, or of one without sockets: every actor, journal and
//! certificate is the same. The state machine elects the next committee in the last block of each epoch.
//!
//! # Design
//!
//! [`Engine::start`] runs simplex and marshal on threads of their own and drives a
//! [`StateMachine`](candela_ledger::StateMachine). Nothing generic leaves the crate. Blocks are made on demand: a
//! proposer holds its proposal until [`WorkSignal::notify`] announces work or the heartbeat is due. A block is
//! finalised, in order, through `StateMachine::finalize`, and only then acknowledged to marshal, so after a crash the
//! blocks that the state machine has not stored come again.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod announcements;
mod application;
mod block;
mod certificates;
mod committee;
mod config;
mod credit;
mod engine;
mod epochs;
mod error;
mod fault;
mod finalizer;
mod gate;
mod gossip;
pub mod inbound;
mod journal;
mod leaders;
mod lock;
mod mutation;
mod network;
mod progress;
mod record;
mod schemes;
mod stack;
mod wire;
mod witness;
mod work;

#[cfg(test)]
mod elections;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod toy;

pub use announcements::Announcements;
pub use committee::{Committee, MAX_MEMBERS, Member, public_key};
pub use config::{Config, Network, Peer, Timings};
pub use engine::Engine;
pub use error::EngineError;
pub use gossip::{TransactionPool, Verdict};
pub use lock::DirectoryLock;
pub use progress::{Position, Progress};
pub use record::VoteRecord;
pub use witness::{DoubleVote, Evidence};
pub use work::WorkSignal;
