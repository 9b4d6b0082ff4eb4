//! Turn the configured validators into a committee and a network.

use crate::{Config, Distance, NodeError};
use candela_consensus::{Committee, Member, Network, Peer, Timings, VoteRecord};
use candela_primitives::B256;
use std::time::Duration;

/// Who agrees on blocks.
///
/// # Errors
/// When the node's own key is no key.
pub(crate) fn committee(config: &Config, secret: &[u8; 32]) -> Result<Committee, NodeError> {
    if config.validators.is_empty() {
        return Ok(Committee::solitary(secret)?);
    }
    let member =
        |validator: &crate::Validator| Member { public_key: validator.public_key.0, weight: validator.weight.into() };
    Ok(Committee { epoch: 0, members: config.validators.iter().map(member).collect() })
}

/// How they reach each other; `None` for one.
///
/// # Errors
/// When there are several and the node does not know where to listen.
pub(crate) fn network(config: &Config) -> Result<Option<Network>, NodeError> {
    if config.validators.len() < 2 {
        return Ok(None);
    }
    let missing = || NodeError::Config("`listen` is missing: with several validators a node has to listen".to_owned());
    let listen = config.listen.ok_or_else(missing)?;
    let peer = |validator: &crate::Validator| Peer { public_key: validator.public_key.0, address: validator.address };
    Ok(Some(Network { listen, peers: config.validators.iter().map(peer).collect() }))
}

/// The record of the node's votes; one alone keeps none.
///
/// # Errors
/// When it can't be used, or has no place.
pub(crate) fn votes(config: &Config, secret: &[u8; 32], genesis: &B256) -> Result<VoteRecord, NodeError> {
    if config.validators.len() < 2 {
        return Ok(VoteRecord::default());
    }
    let beside = || {
        let mut name = config.data_dir.file_name()?.to_owned();
        name.push(".votes");
        Some(config.data_dir.with_file_name(name))
    };
    let missing =
        || NodeError::Config("`votes` is missing: the data directory has no name to derive it from".to_owned());
    let directory = config.votes.clone().or_else(beside).ok_or_else(missing)?;
    Ok(VoteRecord::open(&directory, &candela_consensus::public_key(secret)?, genesis)?)
}

pub(crate) fn timings(config: &Config) -> Timings {
    let timings = match config.distance {
        _ if config.validators.len() < 2 => Timings::solitary(),
        Distance::Local => Timings::local(),
        Distance::Internet => Timings::internet(),
    };
    let block_interval = config.block_interval_ms.map_or(timings.block_interval, Duration::from_millis);
    Timings { block_interval, ..timings }
}
