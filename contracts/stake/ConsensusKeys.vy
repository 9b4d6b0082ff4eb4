# pragma version 0.4.3
# pragma evm-version prague
"""
@title What consensus keys have signed
@license MIT OR Apache-2.0
@author The Candela developers
@notice Checks signatures of validators' Ed25519 keys: that a key's holder wants it to be an account's, and that a key has
        signed two votes of which an honest validator signs at most one.
@dev Without storage. Bytes are those of commonware 2026.10.0: numbers are LEB128 without needless bytes, and what a key
     signs is length of the namespace | namespace | message. The namespace of votes is `_CANDELA_` with the chain id in
     decimal and `_NOTARIZE`, `_NULLIFY` or `_FINALIZE` (crates/consensus, stack.rs). Chains with one id and one key
     therefore share their faults: a validator needs another key for each network.
       proposal = epoch | view | view of the parent | payload (32 bytes)      what notarize and finalize sign
       round    = epoch | view                                                what nullify signs
       vote     = proposal or round | place of the signer in the set | signature (64 bytes)
       activity = tag | vote | vote
"""

# @notice Longest activity: a tag and two votes with the largest numbers.
MAX_ACTIVITY: public(constant(uint256)) = 263
# @notice Tags of activities (commonware-consensus, simplex/types.rs).
CONFLICTING_NOTARIZE: public(constant(uint256)) = 7
CONFLICTING_FINALIZE: public(constant(uint256)) = 8
NULLIFY_FINALIZE: public(constant(uint256)) = 9

# @notice Ed25519 verification by the rules of ZIP-215: key | signature | message to one word, 1 when valid.
ED25519: public(constant(address)) = 0x0000000000000000000000000000000000000ced

MAX_NAMESPACE: constant(uint256) = 96
MAX_MESSAGE: constant(uint256) = MAX_NAMESPACE + 1 + MAX_ACTIVITY
MAX_UINT32: constant(uint256) = 2**32 - 1
MAX_UINT64: constant(uint256) = 2**64 - 1
# The neutral point and 0: only a key of small order makes this a signature, and then of every message.
UNIVERSAL_SIGNATURE: constant(Bytes[64]) = (
    x"01000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
)

struct Vote:
    epoch: uint256
    view: uint256
    subject: Bytes[MAX_ACTIVITY]
    signer: uint256
    signature: Bytes[64]


@external
@view
def possesses(owner: address, staking: address, key: bytes32, proof: Bytes[64]) -> bool:
    """
    @notice Whether the holder of a key wants it to be a validator key of an account.
    @dev The namespace is `_CANDELA_POSSESSION`, the message chain id (32 bytes) | staking contract (20) | owner (20). Keys
         of small order are refused: anybody can sign with them.
    @param owner The account.
    @param staking The contract that the key is shown to.
    @param key Ed25519 public key.
    @param proof The signature.
    @return True when it does.
    """
    if len(proof) != 64 or self._valid(key, UNIVERSAL_SIGNATURE, b""):
        return False
    message: Bytes[72] = concat(convert(chain.id, bytes32), convert(staking, bytes20), convert(owner, bytes20))
    return self._valid(key, proof, concat(self._framed(b"_CANDELA_POSSESSION"), message))


@external
@view
def subject(activity: Bytes[MAX_ACTIVITY]) -> (uint256, uint256):
    """
    @notice Whom evidence accuses.
    @param activity An encoded activity.
    @return The epoch, and the place of the accused in its set.
    """
    first: Vote = empty(Vote)
    second: Vote = empty(Vote)
    first, second = self._votes(activity)
    return first.epoch, first.signer


@external
@view
def proves(activity: Bytes[MAX_ACTIVITY], key: bytes32) -> bool:
    """
    @notice Whether a key has signed two votes of one view that contradict each other.
    @param activity An encoded activity.
    @param key The key of the accused in the epoch of the votes.
    @return True when it has.
    """
    tag: uint256 = self._byte(activity, 0)
    first: Vote = empty(Vote)
    second: Vote = empty(Vote)
    first, second = self._votes(activity)
    if tag == CONFLICTING_NOTARIZE:
        return self._voted(key, b"_NOTARIZE", first) and self._voted(key, b"_NOTARIZE", second)
    if tag == CONFLICTING_FINALIZE:
        return self._voted(key, b"_FINALIZE", first) and self._voted(key, b"_FINALIZE", second)
    return self._voted(key, b"_NULLIFY", first) and self._voted(key, b"_FINALIZE", second)


@internal
@view
def _voted(key: bytes32, suffix: Bytes[9], vote: Vote) -> bool:
    """
    @dev Whether a key has signed a vote of this chain.
    """
    namespace: Bytes[MAX_NAMESPACE] = concat(b"_CANDELA_", convert(uint2str(chain.id), Bytes[78]), suffix)
    return self._valid(key, vote.signature, concat(self._framed(namespace), vote.subject))


@internal
@pure
def _framed(namespace: Bytes[MAX_NAMESPACE]) -> Bytes[MAX_NAMESPACE + 1]:
    """
    @dev A namespace after its length, which is below 128 and so has one byte.
    """
    return concat(convert(convert(len(namespace), uint8), bytes1), namespace)


@internal
@view
def _valid(key: bytes32, signature: Bytes[64], message: Bytes[MAX_MESSAGE]) -> bool:
    """
    @dev Whether a signature is a key's. False too where the chain has no such precompile.
    """
    success: bool = False
    output: Bytes[32] = b""
    success, output = raw_call(
        ED25519, concat(key, signature, message), max_outsize=32, is_static_call=True, revert_on_failure=False
    )
    return success and len(output) == 32 and convert(output, uint256) == 1


@internal
@pure
def _votes(activity: Bytes[MAX_ACTIVITY]) -> (Vote, Vote):
    """
    @dev The two votes of an activity; reverts unless one signer's votes of one view contradict each other.
    """
    tag: uint256 = self._byte(activity, 0)
    assert tag >= CONFLICTING_NOTARIZE and tag <= NULLIFY_FINALIZE, "consensus keys: activity is no fault"
    first: Vote = empty(Vote)
    second: Vote = empty(Vote)
    at: uint256 = 1
    first, at = self._vote(activity, at, tag != NULLIFY_FINALIZE)
    second, at = self._vote(activity, at, True)
    assert at == len(activity), "consensus keys: bytes after the votes"
    assert first.epoch == second.epoch and first.view == second.view, "consensus keys: votes are of two views"
    assert first.signer == second.signer, "consensus keys: votes are of two signers"
    # Nullify signs less than finalize does, so this holds for every pair of those.
    assert keccak256(first.subject) != keccak256(second.subject), "consensus keys: votes agree"
    return first, second


@internal
@pure
def _vote(activity: Bytes[MAX_ACTIVITY], start: uint256, has_proposal: bool) -> (Vote, uint256):
    """
    @dev The vote at `start`, and the place behind it.
    """
    vote: Vote = empty(Vote)
    at: uint256 = start
    vote.epoch, at = self._number(activity, at, MAX_UINT64)
    vote.view, at = self._number(activity, at, MAX_UINT64)
    if has_proposal:
        parent: uint256 = 0
        parent, at = self._number(activity, at, MAX_UINT64)
        at += 32
    assert at <= len(activity), "consensus keys: activity is cut short"
    vote.subject = slice(activity, start, at - start)
    vote.signer, at = self._number(activity, at, MAX_UINT32)
    assert at + 64 <= len(activity), "consensus keys: activity is cut short"
    vote.signature = slice(activity, at, 64)
    return vote, at + 64


@internal
@pure
def _number(activity: Bytes[MAX_ACTIVITY], start: uint256, most: uint256) -> (uint256, uint256):
    """
    @dev The number at `start`, and the place behind it; reverts unless its encoding is the one that commonware writes.
    """
    number: uint256 = 0
    for i: uint256 in range(10):
        byte: uint256 = self._byte(activity, start + i)
        number |= (byte & 127) << (7 * i)
        if byte < 128:
            assert byte != 0 or i == 0, "consensus keys: number has needless bytes"
            assert number <= most, "consensus keys: number is too large"
            return number, start + i + 1
    raise "consensus keys: number is too large"


@internal
@pure
def _byte(activity: Bytes[MAX_ACTIVITY], place: uint256) -> uint256:
    """
    @dev One byte.
    """
    assert place < len(activity), "consensus keys: activity is cut short"
    return convert(slice(activity, place, 1), uint256)
