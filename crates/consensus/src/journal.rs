//! Read what simplex's journal remembers, to compare it with the record of votes.

use crate::block::Digest;
use crate::record::Cast;
use crate::stack::{BUFFER_BYTES, Runtime};
use commonware_consensus::Viewable;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Artifact, Vote};
use commonware_cryptography::certificate::Verifier as _;
use commonware_runtime::{ReadOptions, buffer::paged::CacheRef};
use commonware_storage::journal::{Error, segmented::variable};
use std::collections::BTreeSet;

/// What a journal holds of a validator that opens it.
#[derive(Default)]
pub(crate) struct Memory {
    /// The view of the newest final block: simplex never votes at or below it again.
    pub(crate) floor: u64,
    pub(crate) votes: BTreeSet<Cast>,
}

/// Reads the journal in `partition` as simplex is going to.
///
/// # Errors
/// When it is damaged so that simplex could not open it.
pub(crate) async fn read<E: Runtime>(
    context: &E,
    partition: String,
    scheme: &Scheme,
    page_cache: CacheRef,
) -> Result<Memory, Error> {
    let config = variable::Config {
        partition,
        compression: None,
        codec_config: scheme.certificate_codec_config(),
        page_cache,
        write_buffer: BUFFER_BYTES,
    };
    let journal = variable::Journal::<_, Artifact<Scheme, Digest>>::init(context.child("journal"), config).await?;
    let mut replay = journal.replay(0, 0, BUFFER_BYTES, ReadOptions::DONT_CACHE).await?;
    let mut memory = Memory::default();
    while let Some(artifact) = replay.next().await {
        let (_, _, _, artifact) = artifact?;
        let vote = match artifact {
            Artifact::Notarize(vote) => Vote::Notarize(vote),
            Artifact::Nullify(vote) => Vote::Nullify(vote),
            Artifact::Finalize(vote) => Vote::Finalize(vote),
            Artifact::Finalization(finalization) => {
                memory.floor = memory.floor.max(finalization.view().get());
                continue;
            }
            _ => continue,
        };
        memory.votes.insert(Cast::from(&vote));
    }
    replay.finish()?;
    Ok(memory)
}
