//! JSON-RPC 2.0 itself: bounded parsing, envelopes, parameters, answers.

mod answer;
mod budget;
mod hex;
mod params;
mod request;

pub(crate) use answer::{Answer, Answers, Json};
pub(crate) use budget::check as check_budget;
pub(crate) use hex::{BlockCount, HexError, data, fixed, hex_bytes, quantity_u64, quantity_u256};
pub(crate) use params::{Argument, Params, fields, unmarshal};
pub use request::count_requests;
pub(crate) use request::{Call, Id, Incoming, Member};
