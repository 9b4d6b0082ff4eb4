//! Why a node could not start or had to stop.

use candela_consensus::EngineError;
use candela_ledger::OpenError;
use candela_rpc::StartError;
use std::path::{Path, PathBuf};

/// Why a node could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration cannot be read.
    #[error("the node's configuration is invalid: {0}")]
    Config(String),
    /// Another node uses the directory.
    #[error("the directory {0} is in use by another node: stop that node, or choose another one with --data-dir")]
    Locked(PathBuf),
    /// A file or directory could not be used.
    #[error("{path} cannot be used: {reason}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The port is taken.
    #[error("port {0} is taken by another program: stop it, or choose another port with --port")]
    PortTaken(u16),
    /// The RPC server could not start otherwise.
    #[error(transparent)]
    Rpc(StartError),
    /// The data belong to another chain.
    #[error("{0}; use the genesis file that the data were made with, or an empty --data-dir")]
    WrongGenesis(OpenError),
    /// The ledger could not be opened.
    #[error("the ledger could not be opened: {0}")]
    Ledger(OpenError),
    /// The state could not be opened.
    #[error(transparent)]
    State(#[from] candela_state::OpenError),
    /// The archive could not be opened.
    #[error(transparent)]
    Archive(#[from] candela_archive::ArchiveError),
    /// A sync into the directory is not complete.
    #[error("state sync into {0} was interrupted: run candela validator sync again")]
    Unsynced(PathBuf),
    /// Consensus could not start or had to stop.
    #[error(transparent)]
    Consensus(EngineError),
}

impl NodeError {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "node-config",
            Self::Locked(_) => "node-directory-locked",
            Self::File { .. } => "node-file",
            Self::PortTaken(_) => "node-port-taken",
            Self::Rpc(_) => "node-rpc",
            Self::WrongGenesis(_) => "node-wrong-genesis",
            Self::Ledger(_) => "node-ledger",
            Self::State(_) => "node-state",
            Self::Archive(_) => "node-archive",
            Self::Unsynced(_) => "node-unsynced",
            Self::Consensus(_) => "node-consensus",
        }
    }

    pub(crate) fn file(path: &Path, error: impl std::fmt::Display) -> Self {
        Self::File { path: path.to_owned(), reason: error.to_string() }
    }
}

impl From<EngineError> for NodeError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Locked(directory) => Self::Locked(directory),
            other => Self::Consensus(other),
        }
    }
}

impl From<OpenError> for NodeError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::OtherChain { .. } => Self::WrongGenesis(error),
            other => Self::Ledger(other),
        }
    }
}

impl From<StartError> for NodeError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Bind { address, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Self::PortTaken(address.port())
            }
            other => Self::Rpc(other),
        }
    }
}
