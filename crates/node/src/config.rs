//! The node's configuration, as JSON.

use crate::NodeError;
use candela_primitives::{Address, B256, Genesis};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Everything a node needs to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Directory of the node; created with mode 0700 when missing.
    pub data_dir: PathBuf,
    /// The chain.
    pub genesis: Genesis,
    /// Whom the node's blocks name as their proposer, and pay their priority fees where nobody is elected.
    pub fee_recipient: Address,
    /// Where clients connect.
    pub rpc: Rpc,
    /// The committee, equal on every node; missing or empty: the node's own key alone, without sockets.
    #[serde(default)]
    pub validators: Vec<Validator>,
    /// Where the other validators connect to; needed when there are any.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Directory of the record of votes, which no backup may bring back; missing: that of the node with `.votes` added to
    /// its name. One validator alone keeps none.
    #[serde(default)]
    pub votes: Option<PathBuf>,
    /// How far apart the validators are.
    #[serde(default)]
    pub distance: Distance,
    /// Least time between a block and its child, in milliseconds; missing: 50 alone, 100 locally, 250 on the internet.
    #[serde(default)]
    pub block_interval_ms: Option<u64>,
    /// Threads for signature checking and for consensus.
    #[serde(default = "default_threads")]
    pub threads: usize,
    /// What is logged; nothing when missing, so that an embedding process keeps its own logs.
    #[serde(default)]
    pub logging: Option<Logging>,
}

/// A member of the committee.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// Ed25519 public key.
    pub public_key: B256,
    /// Its stake relative to the others', where nobody is elected: how often it leads.
    #[serde(default = "default_weight")]
    pub weight: u64,
    /// Where it listens; it has to connect from the same host.
    pub address: SocketAddr,
}

/// How far apart the validators are, which sets the time limits of consensus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// One machine or one building.
    #[default]
    Local,
    /// Up to about 300 ms.
    Internet,
}

/// Where clients connect.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rpc {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port for HTTP and WebSocket; 0 lets the system choose.
    pub port: u16,
    /// Origins that browsers may call from; `*` allows every one.
    #[serde(default)]
    pub cors_origins: Vec<String>,
}

/// What is logged to standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// A `tracing` filter such as `info` or `candela=debug,warn`.
    pub filter: String,
    /// Shape of a line.
    #[serde(default)]
    pub format: LogFormat,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Plain,
    /// One JSON object a line.
    Json,
}

const fn default_weight() -> u64 {
    1
}

const fn default_threads() -> usize {
    2
}

impl Config {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// When it is not JSON, a field is missing, unknown or out of range.
    pub fn from_json(text: &str) -> Result<Self, NodeError> {
        serde_json::from_str(text).map_err(|error| NodeError::Config(error.to_string()))
    }
}
