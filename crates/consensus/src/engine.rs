//! Run the stack on threads of its own, behind a facade without generics.

use crate::lock::DirectoryLock;
use crate::network::{self, Sockets};
use crate::{Config, EngineError, stack};
use candela_ledger::StateMachine;
use commonware_runtime::{Runner as _, tokio as runtime};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

/// How the engine ended; `None` while it runs.
type Outcome = Option<Result<(), EngineError>>;

/// A running consensus engine. Dropping it stops it.
pub struct Engine {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    outcome: watch::Receiver<Outcome>,
}

/// The text of a panic.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a thread panicked without a message".to_owned())
}

fn run(
    config: Config,
    machine: Arc<dyn StateMachine>,
    ready: oneshot::Sender<()>,
    stop: oneshot::Receiver<()>,
) -> Result<(), EngineError> {
    let settings = runtime::Config::new()
        .with_storage_directory(&config.directory)
        .with_worker_threads(config.threads)
        .with_connect_timeout(config.timings.disconnect / 4)
        .with_read_write_timeout(config.timings.disconnect)
        .with_catch_panics(false);
    let run = AssertUnwindSafe(|| {
        runtime::Runner::new(settings).start(|context| async move {
            let links = match &config.network {
                // Members that started from different blocks can't even connect.
                Some(network) => {
                    let namespace = format!("_CANDELA_P2P_{}_{}", config.chain_id, machine.genesis().hash());
                    network::connect(&context, &config, network, &namespace).await?
                }
                None => Sockets::alone(),
            };
            let stack = stack::start(&context, "", &config, machine, links).await?;
            let _ = ready.send(());
            tokio::select! {
                biased;
                _ = stop => Ok(()),
                error = stack.failed() => Err(error),
            }
        })
    });
    catch_unwind(run).unwrap_or_else(|panic| Err(EngineError::Panicked(panic_text(panic.as_ref()))))
}

impl Engine {
    /// Starts agreeing on blocks; returns once the stores are open and the actors run.
    ///
    /// # Errors
    /// When the directory is in use or unusable, the configuration is inconsistent, or the stores are damaged.
    pub fn start(config: Config, machine: Arc<dyn StateMachine>) -> Result<Self, EngineError> {
        config.timings.check()?;
        let lock = DirectoryLock::acquire(&config.directory)?;
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = oneshot::channel();
        let (sender, mut outcome) = watch::channel(None);
        let directory = config.directory.clone();
        let thread = std::thread::Builder::new()
            .name("consensus".to_owned())
            .spawn(move || {
                let result = run(config, machine, ready, stopped);
                drop(lock);
                sender.send_replace(Some(result));
            })
            .map_err(|error| EngineError::Directory { directory, reason: error.to_string() })?;
        match started.blocking_recv() {
            Ok(()) => Ok(Self { stop: Some(stop), thread: Some(thread), outcome }),
            Err(_) => {
                let _ = thread.join();
                let result = outcome.borrow_and_update().clone();
                Err(result.and_then(Result::err).unwrap_or(EngineError::Actor("start")))
            }
        }
    }

    /// Waits until the engine ends by [`Self::stop`] or by an error, without ending it.
    ///
    /// # Errors
    /// The one that ended it.
    pub fn wait(&self) -> Result<(), EngineError> {
        let mut outcome = self.outcome.clone();
        let ended = futures::executor::block_on(outcome.wait_for(Option::is_some));
        match ended.as_deref() {
            Ok(Some(result)) => result.clone(),
            _ => Err(EngineError::Actor("engine thread")),
        }
    }

    /// Why the engine ended, or `None` while it runs.
    #[must_use]
    pub fn ended(&self) -> Option<Result<(), EngineError>> {
        self.outcome.borrow().clone()
    }

    /// A watch that holds how the engine ended.
    #[must_use]
    pub fn outcome(&self) -> watch::Receiver<Outcome> {
        self.outcome.clone()
    }

    /// Ends the engine and waits for its threads.
    ///
    /// # Errors
    /// The one that ended it before, if any.
    pub fn stop(mut self) -> Result<(), EngineError> {
        self.end();
        self.ended().unwrap_or(Err(EngineError::Actor("engine thread")))
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::Toy;
    use crate::{Timings, WorkSignal};
    use candela_primitives::Address;
    use std::path::Path;
    use std::time::{Duration, Instant};

    fn config(directory: &Path, toy: &Arc<Toy>) -> Config {
        let (work, announcements) = (WorkSignal::new(), crate::Announcements::default());
        toy.listen(&work, &announcements);
        Config {
            directory: directory.to_owned(),
            secret: [9; 32],
            committee: crate::Committee::solitary(&[9; 32]).unwrap(),
            network: None,
            chain_id: 1,
            fee_recipient: Address::ZERO,
            max_block_bytes: 1 << 20,
            threads: 2,
            timings: Timings::solitary(),
            work,
            announcements,
            pool: toy.clone(),
            votes: crate::VoteRecord::default(),
            evidence: crate::Evidence::default(),
            progress: crate::Progress::default(),
        }
    }

    #[test]
    fn it_finalises_stops_promptly_and_continues() {
        let (directory, toy) = (tempfile::tempdir().unwrap(), Toy::new());
        for round in 1..=3 {
            let engine = Engine::start(config(directory.path(), &toy), toy.clone()).unwrap();
            toy.submit(round);
            let deadline = Instant::now() + Duration::from_secs(20);
            while toy.hashes().len() as u64 <= round {
                assert!(Instant::now() < deadline, "block {round} is not final after 20 s");
                std::thread::yield_now();
            }
            let stopping = Instant::now();
            engine.stop().unwrap();
            assert!(stopping.elapsed() < Duration::from_secs(5), "stop took {:?}", stopping.elapsed());
        }
    }

    /// Addresses on loopback that were free a moment ago.
    fn free_addresses(count: usize) -> Vec<std::net::SocketAddr> {
        let listeners: Vec<_> = (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
    }

    /// The configurations of a committee of four on loopback.
    fn committee(directory: &Path, toys: &[Arc<Toy>]) -> Vec<Config> {
        let secrets: Vec<[u8; 32]> = (1..=4).map(|number| [number; 32]).collect();
        let keys: Vec<_> = secrets.iter().map(|secret| crate::public_key(secret).unwrap()).collect();
        let members = keys.iter().map(|key| crate::Member { public_key: *key, weight: 1 }).collect();
        let committee = crate::Committee { epoch: 0, members };
        let peers: Vec<_> = keys
            .iter()
            .zip(free_addresses(4))
            .map(|(key, address)| crate::Peer { public_key: *key, address })
            .collect();
        let of = |(index, secret): (usize, &[u8; 32])| Config {
            secret: *secret,
            committee: committee.clone(),
            network: Some(crate::Network { listen: peers[index].address, peers: peers.clone() }),
            timings: Timings::local(),
            ..config(&directory.join(index.to_string()), &toys[index])
        };
        secrets.iter().enumerate().map(of).collect()
    }

    /// Submits to one of `running` after the other until all of `running` have finalised `height`.
    fn reach(toys: &[Arc<Toy>], running: &[usize], height: u64) {
        let deadline = Instant::now() + Duration::from_secs(40);
        let mut number = height * 1_000;
        while running.iter().any(|index| toys[*index].head().header.number < height) {
            let heights: Vec<_> = toys.iter().map(|toy| toy.head().header.number).collect();
            assert!(Instant::now() < deadline, "{running:?} are not at {height}: {heights:?}");
            number += 1;
            toys[running[usize::try_from(number).unwrap() % running.len()]].submit(number);
            std::thread::park_timeout(Duration::from_millis(30));
        }
    }

    #[test]
    fn four_engines_agree_over_sockets_and_one_that_was_gone_catches_up() {
        let directory = tempfile::tempdir().unwrap();
        let toys = [(); 4].map(|()| Toy::new());
        let configs = committee(directory.path(), &toys);
        let start = |index: usize| Engine::start(configs[index].clone(), toys[index].clone()).unwrap();
        let mut engines: Vec<_> = (0..4).map(start).collect();
        reach(&toys, &[0, 1, 2, 3], 5);
        engines.pop().unwrap().stop().unwrap();
        let alone = toys[0].head().header.number;
        reach(&toys, &[0, 1, 2], alone + 10);
        engines.push(start(3));
        let target = toys[0].head().header.number + 3;
        reach(&toys, &[0, 1, 2, 3], target);
        let chains: Vec<_> = toys.iter().map(|toy| toy.hashes()[..usize::try_from(target).unwrap()].to_vec()).collect();
        assert!(chains.iter().all(|chain| *chain == chains[0]));
        engines.into_iter().for_each(|engine| engine.stop().unwrap());
    }

    #[test]
    fn a_validator_without_a_seat_is_an_error_in_words() {
        let directory = tempfile::tempdir().unwrap();
        let toy = Toy::new();
        let stranger =
            Config { committee: crate::Committee::solitary(&[5; 32]).unwrap(), ..config(directory.path(), &toy) };
        let error = Engine::start(stranger, toy.clone()).err().unwrap();
        assert!(error.to_string().contains("has no seat"), "{error}");
    }

    #[test]
    fn a_held_directory_is_an_error_in_words() {
        let directory = tempfile::tempdir().unwrap();
        let start = |toy: &Arc<Toy>| Engine::start(config(directory.path(), toy), toy.clone());
        let (one, other) = (Toy::new(), Toy::new());
        let first = start(&one).unwrap();
        let second = start(&other).err();
        assert!(second.unwrap().to_string().contains("in use by another node"));
        first.stop().unwrap();
        start(&one).unwrap().stop().unwrap();
    }

    #[test]
    fn a_panic_in_the_state_machine_ends_the_engine_with_its_text() {
        struct Panics(Arc<Toy>);
        impl StateMachine for Panics {
            fn genesis(&self) -> Arc<candela_primitives::Block> {
                self.0.genesis()
            }
            fn head(&self) -> Arc<candela_primitives::Block> {
                self.0.head()
            }
            fn hash(&self, number: u64) -> Result<Option<candela_primitives::B256>, candela_ledger::MachineError> {
                self.0.hash(number)
            }
            fn begin(&self, _ancestry: &[Arc<candela_primitives::Block>]) {}

            fn has_work(&self) -> bool {
                true
            }
            fn propose(
                &self,
                _ancestry: &[Arc<candela_primitives::Block>],
                _slot: candela_ledger::Slot,
            ) -> Result<Arc<candela_primitives::Block>, candela_ledger::MachineError> {
                panic!("the toy broke")
            }
            fn verify(
                &self,
                _ancestry: &[Arc<candela_primitives::Block>],
                _block: &Arc<candela_primitives::Block>,
                _now_ms: u64,
            ) -> Result<(), candela_ledger::MachineError> {
                Ok(())
            }
            fn finalize(
                &self,
                _block: &Arc<candela_primitives::Block>,
                _certificate: &[u8],
            ) -> Result<(), candela_ledger::MachineError> {
                Ok(())
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let toy = Toy::new();
        let engine = Engine::start(config(directory.path(), &toy), Arc::new(Panics(toy.clone()))).unwrap();
        assert!(engine.wait().unwrap_err().to_string().contains("the toy broke"));
    }
}
