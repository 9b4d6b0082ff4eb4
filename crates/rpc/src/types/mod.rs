//! Ethereum's JSON shapes, from and to the engine's types.

mod block_id;
mod call;
mod render;

pub(crate) use block_id::{BlockId, BlockNumber};
pub(crate) use call::{CallArguments, overrides};
pub(crate) use render::{block, header, log, pending_transaction, receipt, transaction, uncle};
