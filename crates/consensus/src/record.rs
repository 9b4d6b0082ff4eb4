//! Record what the validator votes, apart from the rest of its data, so that an old copy of these can't vote again.
//!
//! Simplex keeps its votes in a journal inside the node's folder. Whoever restores that folder from a backup, or whose
//! disk damages it, has lost the newest ones. Every vote is therefore written here as well before it leaves, and at the
//! start of an epoch the two are compared: what the journal lacks, the validator waits out (`epochs.rs`).

use crate::EngineError;
use crate::block::Digest;
use crate::lock::DirectoryLock;
use crate::mutation::{Rule, broken};
use candela_primitives::{B256, keccak256};
use commonware_codec::Encode;
use commonware_consensus::simplex::{scheme::ed25519::Scheme, types::Vote};
use commonware_consensus::{Epochable, Viewable};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// On-disk format: never change.
const MAGIC: &[u8; 16] = b"CANDELA VOTES 1\n";
const CHECK_BYTES: usize = 4;
/// Magic, public key, hash of the genesis block.
pub(crate) const HEADER_BYTES: usize = MAGIC.len() + 32 + 32 + CHECK_BYTES;
/// Epoch, view, kind, what is voted for.
const ENTRY_BYTES: usize = 8 + 8 + 1 + 32 + CHECK_BYTES;
const FILE: &str = "votes";
/// Views below the newest one whose votes are kept; simplex may return to those since the last final block.
const KEPT_VIEWS: u64 = 1_024;
/// Votes in the file until those that are not kept any more are taken out.
const MOST_ENTRIES: usize = 16_384;

/// What a vote says of its view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Notarize = 0,
    Nullify = 1,
    Finalize = 2,
}

impl Kind {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Notarize),
            1 => Some(Self::Nullify),
            2 => Some(Self::Finalize),
            _ => None,
        }
    }
}

/// A vote of this validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cast {
    pub(crate) epoch: u64,
    pub(crate) view: u64,
    pub(crate) kind: Kind,
    /// Hash of the proposal; zero where there is none.
    pub(crate) proposal: B256,
}

impl From<&Vote<Scheme, Digest>> for Cast {
    fn from(vote: &Vote<Scheme, Digest>) -> Self {
        let (kind, proposal) = match vote {
            Vote::Notarize(vote) => (Kind::Notarize, keccak256(vote.proposal.encode())),
            Vote::Nullify(_) => (Kind::Nullify, B256::ZERO),
            Vote::Finalize(vote) => (Kind::Finalize, keccak256(vote.proposal.encode())),
        };
        Self { epoch: vote.epoch().get(), view: vote.view().get(), kind, proposal }
    }
}

/// Distinguishes what was written from what a crash left unwritten: never zero.
fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&keccak256(bytes)[..CHECK_BYTES]);
    if check == [0; CHECK_BYTES] { [0xff; CHECK_BYTES] } else { check }
}

fn header(public_key: &[u8; 32], genesis: &B256) -> Vec<u8> {
    let mut bytes = [MAGIC.as_slice(), public_key, genesis.as_slice()].concat();
    bytes.extend(check(&bytes));
    bytes
}

impl Cast {
    fn encode(&self) -> Vec<u8> {
        let (epoch, view) = (self.epoch.to_be_bytes(), self.view.to_be_bytes());
        let mut bytes = [epoch.as_slice(), &view, &[self.kind as u8], self.proposal.as_slice()].concat();
        bytes.extend(check(&bytes));
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (content, tail) = bytes.split_at(ENTRY_BYTES - CHECK_BYTES);
        if check(content) != tail {
            return None;
        }
        let (epoch, view) = (content[..8].try_into().ok()?, content[8..16].try_into().ok()?);
        Some(Self {
            epoch: u64::from_be_bytes(epoch),
            view: u64::from_be_bytes(view),
            kind: Kind::of(content[16])?,
            proposal: B256::from_slice(&content[17..]),
        })
    }
}

/// Where the bytes of a record are; every change is durable when it returns.
trait Medium: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A file in a folder of its own.
struct OnDisk {
    directory: PathBuf,
    /// Open from the first replacement on.
    file: Option<File>,
    _lock: DirectoryLock,
}

impl Medium for OnDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (path, part) = (self.directory.join(FILE), self.directory.join("votes.new"));
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(part, &path)?;
        File::open(&self.directory)?.sync_all()?;
        self.file = Some(OpenOptions::new().append(true).open(&path)?);
        Ok(())
    }
}

/// The votes of one validator on one chain; clones share them.
///
/// The default keeps nothing, which is for a committee of one: nobody else could tell what it has voted.
#[derive(Clone, Default)]
pub struct VoteRecord(Option<Arc<Mutex<Record>>>);

struct Record {
    medium: Box<dyn Medium>,
    /// Names the record in errors.
    place: PathBuf,
    header: Vec<u8>,
    fresh: bool,
    /// The newest epoch with a vote.
    epoch: u64,
    /// The votes of that epoch.
    votes: BTreeMap<(u64, Kind), B256>,
    entries: usize,
    /// Whether a vote could not be recorded; then nothing may leave any more.
    halted: bool,
}

/// The votes in a record with this header.
pub(crate) fn parse(bytes: &[u8], header: &[u8]) -> Result<Vec<Cast>, &'static str> {
    let Some((begin, entries)) = bytes.split_at_checked(HEADER_BYTES) else { return Err("it is damaged") };
    if begin[HEADER_BYTES - CHECK_BYTES..] != check(&begin[..HEADER_BYTES - CHECK_BYTES]) {
        return Err("it is damaged");
    }
    if begin != header {
        return Err("it belongs to another key, chain or version");
    }
    let (whole, rest) = entries.as_chunks::<ENTRY_BYTES>();
    // The end of an entry that a crash interrupted is missing or zero; its vote has not left.
    let whole = match whole {
        [before @ .., last] if rest.is_empty() && last.ends_with(&[0; CHECK_BYTES]) => before,
        all => all,
    };
    whole.iter().map(Cast::decode).collect::<Option<_>>().ok_or("it is damaged")
}

impl VoteRecord {
    /// Opens the record in `directory`, or makes both when there is none.
    ///
    /// # Arguments
    /// `public_key` is the key that votes, `genesis` the hash of the chain's first block.
    ///
    /// # Errors
    /// When another node holds it, it can't be read or written, it is damaged, or belongs to another key or chain.
    pub fn open(directory: &Path, public_key: &[u8; 32], genesis: &B256) -> Result<Self, EngineError> {
        let path = directory.join(FILE);
        let unusable = |reason: String| EngineError::Record { path: path.clone(), reason };
        let failed = |error: io::Error| unusable(error.to_string());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let lock = DirectoryLock::acquire(directory)?;
        let bytes = match fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let medium = OnDisk { directory: directory.to_owned(), file: None, _lock: lock };
        Self::on(Box::new(medium), path, bytes, header(public_key, genesis))
    }

    fn on(
        medium: Box<dyn Medium>,
        place: PathBuf,
        bytes: Option<Vec<u8>>,
        header: Vec<u8>,
    ) -> Result<Self, EngineError> {
        let damaged = |reason: &str| EngineError::Record { path: place.clone(), reason: reason.to_owned() };
        let casts = bytes.as_ref().map_or(Ok(Vec::new()), |bytes| parse(bytes, &header)).map_err(damaged)?;
        let mut record = Record {
            medium,
            place,
            header,
            fresh: bytes.is_none(),
            epoch: 0,
            votes: BTreeMap::new(),
            entries: 0,
            halted: false,
        };
        casts.iter().for_each(|cast| record.note(cast));
        record.compact()?;
        Ok(Self(Some(Arc::new(Mutex::new(record)))))
    }

    fn record(&self) -> Option<MutexGuard<'_, Record>> {
        self.0.as_ref().map(|record| record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the record is if it was made by this start.
    pub(crate) fn fresh(&self) -> Option<PathBuf> {
        self.record().filter(|record| record.fresh).map(|record| record.place.clone())
    }

    /// The newest epoch with a vote, and its votes in order.
    pub(crate) fn newest(&self) -> Option<(u64, Vec<Cast>)> {
        let record = self.record()?;
        let cast =
            |(&(view, kind), &proposal): (&(u64, Kind), &B256)| Cast { epoch: record.epoch, view, kind, proposal };
        Some((record.epoch, record.votes.iter().map(cast).collect::<Vec<_>>())).filter(|(_, votes)| !votes.is_empty())
    }

    /// Makes a vote durable; whether it may leave. One of an epoch before the newest may not.
    ///
    /// # Errors
    /// When it contradicts an earlier one or can't be written. From then on nothing may leave.
    pub(crate) fn add(&self, cast: &Cast) -> Result<bool, EngineError> {
        let Some(mut record) = self.record().filter(|_| !broken(Rule::Journal)) else { return Ok(true) };
        if record.halted || cast.epoch < record.epoch {
            return Ok(false);
        }
        let result = record.add(cast);
        record.halted = result.is_err();
        result.map(|()| true)
    }

    /// Whether a vote could not be recorded.
    pub(crate) fn is_halted(&self) -> bool {
        self.record().is_some_and(|record| record.halted)
    }
}

impl Record {
    fn failed(&self, error: impl std::fmt::Display) -> EngineError {
        EngineError::Record { path: self.place.clone(), reason: error.to_string() }
    }

    fn note(&mut self, cast: &Cast) {
        if cast.epoch > self.epoch {
            self.votes.clear();
            self.epoch = cast.epoch;
        }
        if cast.epoch == self.epoch {
            self.votes.insert((cast.view, cast.kind), cast.proposal);
            let newest = self.votes.last_key_value().map_or(0, |((view, _), _)| *view);
            self.votes = self.votes.split_off(&(newest.saturating_sub(KEPT_VIEWS), Kind::Notarize));
        }
        self.entries += 1;
    }

    fn add(&mut self, cast: &Cast) -> Result<(), EngineError> {
        if cast.epoch == self.epoch {
            match self.votes.get(&(cast.view, cast.kind)) {
                Some(proposal) if *proposal == cast.proposal => return Ok(()),
                Some(_) => return Err(EngineError::Contradiction { epoch: cast.epoch, view: cast.view }),
                None => {}
            }
            let opposite = match cast.kind {
                Kind::Nullify => Some(Kind::Finalize),
                Kind::Finalize => Some(Kind::Nullify),
                Kind::Notarize => None,
            };
            if opposite.is_some_and(|kind| self.votes.contains_key(&(cast.view, kind))) {
                return Err(EngineError::Contradiction { epoch: cast.epoch, view: cast.view });
            }
        }
        self.medium.append(&cast.encode()).map_err(|error| self.failed(error))?;
        self.note(cast);
        if self.entries > MOST_ENTRIES { self.compact() } else { Ok(()) }
    }

    /// Writes what is kept and nothing else.
    fn compact(&mut self) -> Result<(), EngineError> {
        let mut bytes = self.header.clone();
        for ((view, kind), proposal) in &self.votes {
            bytes.extend(Cast { epoch: self.epoch, view: *view, kind: *kind, proposal: *proposal }.encode());
        }
        self.entries = self.votes.len();
        self.medium.replace(&bytes).map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The bytes of a record in memory; `None` before it is made.
    pub(crate) type Bytes = Arc<Mutex<Option<Vec<u8>>>>;

    struct InMemory(Bytes);

    impl Medium for InMemory {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().as_mut().unwrap().extend(bytes);
            Ok(())
        }

        fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
            *self.0.lock().unwrap() = Some(bytes.to_vec());
            Ok(())
        }
    }

    /// A record that a simulated crash does not touch.
    pub(crate) fn in_memory(bytes: &Bytes, public_key: &[u8; 32]) -> VoteRecord {
        let before = bytes.lock().unwrap().clone();
        let medium = Box::new(InMemory(bytes.clone()));
        VoteRecord::on(medium, PathBuf::from("memory"), before, header(public_key, &B256::ZERO)).unwrap()
    }

    fn cast(view: u64, kind: Kind, proposal: u8) -> Cast {
        Cast { epoch: 3, view, kind, proposal: B256::repeat_byte(proposal) }
    }

    fn open(directory: &Path) -> Result<VoteRecord, EngineError> {
        VoteRecord::open(directory, &[1; 32], &B256::repeat_byte(2))
    }

    #[test]
    fn votes_outlive_the_process_and_are_kept_once() {
        let directory = tempfile::tempdir().unwrap();
        let votes = [cast(5, Kind::Notarize, 1), cast(5, Kind::Finalize, 1), cast(6, Kind::Nullify, 0)];
        let record = open(directory.path()).unwrap();
        assert!(record.fresh().is_some());
        for vote in votes.iter().chain(&votes) {
            assert!(record.add(vote).unwrap());
        }
        assert!(open(directory.path()).err().unwrap().to_string().contains("in use"));
        drop(record);
        let again = open(directory.path()).unwrap();
        assert_eq!((again.newest(), again.fresh()), (Some((3, votes.to_vec())), None));
        assert!(!again.add(&Cast { epoch: 2, ..votes[0] }).unwrap(), "a vote of a past epoch may leave");
    }

    #[test]
    fn a_contradiction_stops_everything() {
        let pairs = [
            (cast(5, Kind::Notarize, 1), cast(5, Kind::Notarize, 2)),
            (cast(5, Kind::Finalize, 1), cast(5, Kind::Finalize, 2)),
            (cast(5, Kind::Nullify, 0), cast(5, Kind::Finalize, 1)),
            (cast(5, Kind::Finalize, 1), cast(5, Kind::Nullify, 0)),
        ];
        for (one, other) in pairs {
            let record = in_memory(&Bytes::default(), &[1; 32]);
            assert!(record.add(&one).unwrap());
            assert!(matches!(record.add(&other), Err(EngineError::Contradiction { epoch: 3, view: 5 })));
            assert!(record.is_halted());
            assert!(!record.add(&cast(9, Kind::Notarize, 1)).unwrap());
        }
    }

    #[test]
    fn an_unfinished_entry_is_dropped_and_a_damaged_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let votes = [cast(5, Kind::Notarize, 1), cast(6, Kind::Notarize, 2)];
        let record = open(directory.path()).unwrap();
        votes.iter().for_each(|vote| assert!(record.add(vote).unwrap()));
        drop(record);
        let intact = fs::read(&path).unwrap();
        for kept in 1..ENTRY_BYTES {
            for padded in [intact.len() - ENTRY_BYTES + kept, intact.len()] {
                let mut torn = intact[..intact.len() - ENTRY_BYTES + kept.min(ENTRY_BYTES - CHECK_BYTES)].to_vec();
                torn.resize(padded.max(torn.len()), 0);
                fs::write(&path, torn).unwrap();
                assert_eq!(open(directory.path()).unwrap().newest().unwrap().1, votes[..1], "{kept} {padded}");
            }
        }
        for place in 0..intact.len() {
            let mut damaged = intact.clone();
            damaged[place] ^= 0x10;
            fs::write(&path, damaged).unwrap();
            let error = open(directory.path()).err().unwrap();
            assert!(matches!(error, EngineError::Record { .. }), "byte {place}: {error}");
        }
        fs::write(&path, intact).unwrap();
        assert!(VoteRecord::open(directory.path(), &[9; 32], &B256::repeat_byte(2)).is_err(), "another key");
        assert!(VoteRecord::open(directory.path(), &[1; 32], &B256::ZERO).is_err(), "another chain");
    }

    #[test]
    fn it_stays_small_and_keeps_the_newest_views() {
        let bytes = Bytes::default();
        let record = in_memory(&bytes, &[1; 32]);
        let views = 3 * u64::try_from(MOST_ENTRIES).unwrap();
        (1..=views).for_each(|view| assert!(record.add(&cast(view, Kind::Notarize, 1)).unwrap()));
        assert!(bytes.lock().unwrap().as_ref().unwrap().len() <= HEADER_BYTES + MOST_ENTRIES * ENTRY_BYTES);
        drop(record);
        let (_, kept) = in_memory(&bytes, &[1; 32]).newest().unwrap();
        assert_eq!(kept.first().unwrap().view, views - KEPT_VIEWS);
        assert_eq!(kept.last().unwrap().view, views);
    }
}
