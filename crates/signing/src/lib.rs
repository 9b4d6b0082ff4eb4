//! Recover and check who signed a transaction, one by one or in batches.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod decode;
mod ed25519;
mod known;
mod sequence;
mod session;
mod sign;

pub use decode::{SigningError, decode, decode_batch};
pub use ed25519::verify_ed25519;
pub use sequence::split_transactions;
pub use session::{SessionKey, sign_session};
pub use sign::{KeyError, SecretKey, sign_transaction};
