//! Talk to the other members of the network over authenticated, encrypted connections.

use crate::block::{ChainBlock, Digest};
use crate::committee::{decode_key, private_key};
use crate::gossip::MAX_MESSAGE_BYTES as GOSSIP_BYTES;
use crate::wire::Links;
use crate::{Config, EngineError, MAX_MEMBERS, Network};
use commonware_consensus::marshal::{self, standard::Standard};
use commonware_consensus::simplex::{self, scheme::ed25519::Scheme};
use commonware_cryptography::{ChaCha20Poly1305, ed25519::PublicKey};
use commonware_p2p::authenticated::lookup;
use commonware_p2p::utils::mux::prefixed;
use commonware_p2p::{Address, AddressableManager, max_message_size};
use commonware_runtime::{Quota, Supervisor, tokio::Context};
use commonware_stream::cups::{self, Cups};
use commonware_stream::sake::{self, Sake};
use commonware_utils::{NZU32, NZUsize, ordered::Map};
use std::num::NonZeroUsize;
use std::time::Duration;

/// Clocks of two members may differ by this much, or they can't connect.
const SYNCHRONY_BOUND: Duration = Duration::from_secs(5);
const MAX_HANDSHAKE_AGE: Duration = Duration::from_secs(10);
/// Handshakes a second from one address, where all members of a small committee may be: 1 % of a core.
const HANDSHAKES: Quota = Quota::per_second(NZU32!(64));
const MAILBOX: NonZeroUsize = NZUsize!(1_024);

/// Links over sockets.
pub(crate) type Sockets =
    Links<lookup::Sender<PublicKey, Context>, lookup::Receiver<PublicKey>, lookup::Oracle<PublicKey>>;

/// Most bytes of any message that a committee of `members` sends about blocks of at most `max_block_bytes`.
pub(crate) fn message_bytes(members: usize, max_block_bytes: usize) -> Result<u32, EngineError> {
    let participants = u32::try_from(members).map_err(|_| EngineError::Committee("it is too large"))?;
    let votes = prefixed(simplex::max_payload_size::<Scheme, Digest>(participants));
    let blocks = marshal::max_payload_size::<Standard<ChainBlock>, Scheme>(participants, &max_block_bytes);
    u32::try_from(votes.max(blocks).max(GOSSIP_BYTES))
        .map_err(|_| EngineError::Committee("its messages would exceed 4 GiB"))?;
    Ok(max_message_size(&[votes, blocks, GOSSIP_BYTES]))
}

fn addresses(network: &Network) -> Result<Map<PublicKey, Address>, EngineError> {
    let peers = network.peers.iter().map(|peer| Ok((decode_key(&peer.public_key)?, Address::from(peer.address))));
    Ok(Map::from_iter_dedup(peers.collect::<Result<Vec<_>, EngineError>>()?))
}

/// Listens, dials the other members and opens every channel.
pub(crate) async fn connect(
    context: &Context,
    config: &Config,
    network: &Network,
    namespace: &str,
) -> Result<Sockets, EngineError> {
    let key = private_key(&config.secret)?;
    let peers = addresses(network)?;
    // This node counts, whether it is among them or not.
    let most = NZUsize!(1).saturating_add(peers.len());
    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer: key,
            synchrony_bound: SYNCHRONY_BOUND,
            max_handshake_age: MAX_HANDSHAKE_AGE,
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let settings = lookup::Config {
        tracked_peer_sets: NZUsize!(1),
        // Both ends say something several times before either takes the other's silence for a broken connection.
        ping_frequency: config.timings.disconnect / 4,
        dial_frequency: Duration::from_millis(100),
        // A member that comes back is needed at once; strangers never get past the list of addresses and keys.
        peer_connection_cooldown: config.timings.reconnect,
        allow_dns: false,
        allowed_handshake_rate_per_ip: HANDSHAKES,
        ..lookup::Config::local(
            handshake,
            namespace.as_bytes(),
            network.listen,
            most,
            message_bytes(MAX_MEMBERS, config.max_block_bytes)?,
            MAILBOX,
        )
    };
    let (mut network_actor, mut oracle) = lookup::Network::new(context.child("network"), settings);
    let _ = oracle.track(0, peers);
    let links = Links::connect(
        |channel, quota| std::future::ready(network_actor.register(channel, Quota::per_second(quota))),
        oracle,
    )
    .await;
    network_actor.start();
    Ok(links)
}
