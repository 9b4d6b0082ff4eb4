//! The running server: one port, its own runtime, started and stopped by the node.

use crate::{RpcConfig, RpcContext, connection::serve, handler::Handler};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::{
    runtime::Runtime,
    sync::{Semaphore, watch},
    time::timeout,
};

const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

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
    runtime: Option<Runtime>,
    closing: watch::Sender<bool>,
}

/// What every connection shares.
pub(crate) struct Shared {
    pub(crate) handler: Arc<Handler>,
    pub(crate) config: RpcConfig,
    /// Requests that may execute at a time.
    pub(crate) executing: Semaphore,
    /// Connections that may be open at a time.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) closing: watch::Receiver<bool>,
}

impl Server {
    /// Binds `config.address` and serves `context` on threads of its own. Returns once the port accepts connections.
    ///
    /// # Errors
    /// When the port is taken or threads can't be made.
    pub fn start(context: RpcContext, config: RpcConfig) -> Result<Self, StartError> {
        let asked = config.address;
        let bind = |source| StartError::Bind { address: asked, source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads.max(1))
            .max_blocking_threads(config.limits.concurrent_requests + 8)
            .thread_name("candela-rpc")
            .enable_all()
            .build()
            .map_err(StartError::Runtime)?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind(asked)).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let (closing, closed) = watch::channel(false);
        let shared = Arc::new(Shared {
            handler: Arc::new(Handler::new(context, config.limits.clone())),
            room: Arc::new(Semaphore::new(config.limits.connections)),
            executing: Semaphore::new(config.limits.concurrent_requests),
            config,
            closing: closed,
        });
        runtime.spawn(expire(shared.clone()));
        runtime.spawn(serve(listener, shared));
        Ok(Self { address, runtime: Some(runtime), closing })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and every connection, and waits for requests that are executing.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.closing.send(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// Lets go of what nobody copies any more, until the server closes.
async fn expire(shared: Arc<Shared>) {
    let mut closing = shared.closing.clone();
    while timeout(EXPIRY_INTERVAL, closing.changed()).await.is_err() {
        shared.handler.exports.expire();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
