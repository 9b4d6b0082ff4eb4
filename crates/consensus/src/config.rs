//! What an engine needs to know.

use crate::{Announcements, Committee, EngineError, Evidence, Progress, TransactionPool, VoteRecord, WorkSignal};
use candela_primitives::Address;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Configuration of an [`Engine`](crate::Engine).
#[derive(Clone)]
pub struct Config {
    /// Directory for votes and certificates; created when missing, used by one engine at a time.
    pub directory: PathBuf,
    /// Ed25519 secret key of the validator.
    pub secret: [u8; 32],
    /// Who agrees on blocks where the state machine elects nobody, and then has to contain the validator.
    pub committee: Committee,
    /// How the members reach each other; a committee of one needs no network.
    pub network: Option<Network>,
    /// Separates this chain's votes from every other's.
    pub chain_id: u64,
    /// Whom proposed blocks name as their proposer.
    pub fee_recipient: Address,
    /// Most bytes of an encoded block, header included.
    pub max_block_bytes: usize,
    /// Threads that drive the actors.
    pub threads: usize,
    /// When things happen.
    pub timings: Timings,
    /// Announces pending transactions.
    pub work: WorkSignal,
    /// Tells the other members of transactions.
    pub announcements: Announcements,
    /// Takes the other members' transactions.
    pub pool: Arc<dyn TransactionPool>,
    /// The validator's votes, which are compared with the directory's and outlive it.
    pub votes: VoteRecord,
    /// Is told which validators voted twice, those found before the start included.
    pub evidence: Evidence,
    /// Is told where the engine is.
    pub progress: Progress,
}

/// Where a node listens and where it finds the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Every node that has a seat or may win one or follow; the validator itself may be among them. Others are not
    /// talked to, even when they are elected.
    pub peers: Vec<Peer>,
}

/// Where a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
    /// Where it listens; connections from other addresses are refused.
    pub address: SocketAddr,
}

/// When blocks are made and when views are given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Least time between the timestamps of a block and its child.
    pub block_interval: Duration,
    /// Age of the head at which an empty block is made, so that unfinalised views don't pile up.
    pub heartbeat: Duration,
    /// Time for a leader to propose before the view is given up.
    pub leader: Duration,
    /// Time for a view to be certified; also the longest stall after a crash in mid-view.
    pub certification: Duration,
    /// Time between two attempts to give a view up.
    pub retry: Duration,
    /// Silence after which a leader is skipped.
    pub skip: Duration,
    /// Least time between two attempts to connect to a member. Half of it, at random, keeps two from dialling each other
    /// again and again, so it has to exceed the time that a message takes.
    pub reconnect: Duration,
    /// Silence after which a connection is given up; a message may take as long. A divided network would otherwise wait
    /// for TCP, whose attempts are ever further apart.
    pub disconnect: Duration,
}

impl Timings {
    /// For a committee of one.
    #[must_use]
    pub const fn solitary() -> Self {
        Self {
            block_interval: Duration::from_millis(50),
            heartbeat: Duration::from_secs(60),
            leader: Duration::from_millis(1_000),
            certification: Duration::from_millis(2_000),
            retry: Duration::from_millis(2_000),
            skip: Duration::from_millis(5_000),
            reconnect: Duration::from_millis(250),
            disconnect: Duration::from_millis(4_000),
        }
    }

    /// For a committee on one machine or in one building.
    #[must_use]
    pub const fn local() -> Self {
        Self {
            block_interval: Duration::from_millis(100),
            certification: Duration::from_millis(1_500),
            retry: Duration::from_millis(500),
            ..Self::solitary()
        }
    }

    /// For a committee whose members are up to about 300 ms apart.
    #[must_use]
    pub const fn internet() -> Self {
        Self {
            block_interval: Duration::from_millis(250),
            heartbeat: Duration::from_secs(60),
            leader: Duration::from_millis(2_000),
            certification: Duration::from_millis(4_000),
            retry: Duration::from_millis(4_000),
            skip: Duration::from_millis(10_000),
            reconnect: Duration::from_millis(1_000),
            disconnect: Duration::from_millis(20_000),
        }
    }

    /// Views that may pass between two heartbeats; each is kept until the next finalisation.
    const MAX_IDLE_VIEWS: u32 = 60;

    /// # Errors
    /// When consensus could stall or grow without bound under these timings.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let fail = |why| Err(EngineError::Timings(why));
        if self.leader.is_zero() || self.retry.is_zero() || self.reconnect.is_zero() {
            return fail("leader, retry and reconnect must be greater than zero");
        }
        if self.certification <= self.leader {
            return fail("certification must be greater than leader");
        }
        if self.skip <= self.certification || self.skip <= self.retry {
            return fail("skip must be greater than certification and retry");
        }
        if self.disconnect <= self.reconnect {
            return fail("disconnect must be greater than reconnect");
        }
        if self.block_interval >= self.leader {
            return fail("block_interval must be less than leader");
        }
        if self.heartbeat > self.leader * Self::MAX_IDLE_VIEWS {
            return fail("heartbeat must be at most 60 times leader");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_each_inequality_is_enforced() {
        let good = Timings::solitary();
        for timings in [&good, &Timings::local(), &Timings::internet()] {
            assert!(timings.check().is_ok());
        }
        let second = Duration::from_secs(1);
        for bad in [
            Timings { leader: Duration::ZERO, ..good.clone() },
            Timings { reconnect: Duration::ZERO, ..good.clone() },
            Timings { certification: good.leader, ..good.clone() },
            Timings { disconnect: good.reconnect, ..good.clone() },
            Timings { skip: good.certification, ..good.clone() },
            Timings { block_interval: good.leader, ..good.clone() },
            Timings { heartbeat: good.heartbeat + second, ..good.clone() },
        ] {
            assert!(matches!(bad.check(), Err(EngineError::Timings(_))), "{bad:?}");
        }
    }
}
