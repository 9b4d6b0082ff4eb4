# pragma version 0.4.3
# pragma evm-version prague
"""
@title Randomness of moments
@license MIT OR Apache-2.0
@author The Candela developers
@notice The randomness of a moment is `prevrandao` of the first block at or after it. Anybody may record it later.
@dev Who records it chooses nothing: the two headers around the moment are shown, and the chain's own block hashes say
     that they are right. What is left: `prevrandao` follows from the signatures of the blocks' proposers, so a proposer
     can withhold its block or shift its time by what clocks may differ, and knows its own block's value before others.
     Headers are RLP lists of: version, parameters version, parent hash, number, time in ms, proposer, prevrandao, ...
"""

# @notice Most bytes of a header.
MAX_HEADER_BYTES: constant(uint256) = 8192

PARENT_HASH: constant(uint256) = 2
NUMBER: constant(uint256) = 3
TIMESTAMP_MS: constant(uint256) = 4
PREVRANDAO: constant(uint256) = 6
FIELDS: constant(uint256) = 7

event Recorded:
    moment: indexed(uint256)
    number: indexed(uint256)
    randomness: bytes32

randomness: public(HashMap[uint256, bytes32])


@external
def record(moment: uint256, before: Bytes[MAX_HEADER_BYTES], at: Bytes[MAX_HEADER_BYTES]):
    """
    @notice Record the randomness of a moment, within 256 blocks of it.
    @param moment Unix time in seconds.
    @param before RLP of the header of the last block before the moment.
    @param at RLP of the header of the first block at or after it: its child.
    """
    assert self.randomness[moment] == empty(bytes32), "beacon: already recorded"
    first: uint256[FIELDS] = self._fields(before)
    second: uint256[FIELDS] = self._fields(at)
    number: uint256 = second[NUMBER]
    assert number < block.number and number + 256 >= block.number, "beacon: block is not among the last 256"
    assert blockhash(number) == keccak256(at), "beacon: header is not in this chain"
    assert convert(second[PARENT_HASH], bytes32) == keccak256(before), "beacon: headers do not follow"
    assert first[TIMESTAMP_MS] < moment * 1000, "beacon: an earlier block is at the moment"
    assert second[TIMESTAMP_MS] >= moment * 1000, "beacon: block is before the moment"
    self.randomness[moment] = convert(second[PREVRANDAO], bytes32)
    log Recorded(moment=moment, number=number, randomness=self.randomness[moment])


@internal
@pure
def _fields(header: Bytes[MAX_HEADER_BYTES]) -> uint256[FIELDS]:
    # Every item before the bloom filter is a string of at most 32 bytes.
    assert len(header) > 0, "beacon: header is empty"
    prefix: uint256 = convert(slice(header, 0, 1), uint256)
    assert prefix > 247, "beacon: header is not a long list"
    at: uint256 = prefix - 246
    fields: uint256[FIELDS] = empty(uint256[FIELDS])
    for field: uint256 in range(FIELDS):
        item: uint256 = convert(slice(header, at, 1), uint256)
        at += 1
        if item < 128:
            fields[field] = item
        else:
            assert item <= 160, "beacon: header is malformed"
            size: uint256 = item - 128
            if size > 0:
                fields[field] = convert(slice(header, at, 32), uint256) >> (256 - 8 * size)
            at += size
    return fields
