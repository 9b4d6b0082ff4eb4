//! Who answers, and what it is connected to.

use super::quantity;
use crate::{
    RpcError,
    handler::Handler,
    protocol::{Json, Params},
};
use candela_primitives::{Address, Bytes, keccak256};

pub(super) fn chain_id(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    quantity(handler.context.chain.chain_id())
}

pub(super) fn version(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    Json::of(&handler.context.chain.chain_id().to_string())
}

pub(super) fn listening(_: &Handler, _: Params) -> Result<Json, RpcError> {
    Json::of(&true)
}

pub(super) fn peer_count(_: &Handler, _: Params) -> Result<Json, RpcError> {
    quantity(0)
}

pub(super) fn client_version(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    Json::of(&handler.context.client_version)
}

pub(super) fn sha3(_: &Handler, mut params: Params) -> Result<Json, RpcError> {
    Json::of(&keccak256(params.required::<Bytes>()?))
}

/// The node holds no keys.
pub(super) fn accounts(_: &Handler, _: Params) -> Result<Json, RpcError> {
    Json::of(&[] as &[Address])
}

pub(super) fn coinbase(handler: &Handler, _: Params) -> Result<Json, RpcError> {
    Json::of(&handler.context.chain.next_header(&handler.head()?.ethereum_header).beneficiary)
}

pub(super) fn mining(_: &Handler, _: Params) -> Result<Json, RpcError> {
    Json::of(&false)
}

/// A node answers only once it has its whole chain.
pub(super) fn syncing(_: &Handler, _: Params) -> Result<Json, RpcError> {
    Json::of(&false)
}
