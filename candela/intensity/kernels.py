"""Expansion and SHA-256 on a GPU, in Triton: one lane a line, a tile or a pair of hashes.

Digests are kept as eight int32 whose bytes in memory are those of the digest. ``TRITON_INTERPRET=1`` runs the same code
without a GPU.
"""

from __future__ import annotations

# Names that the compiler sees are bound to what it makes of them: nothing here can be annotated or typed further.
# pyright: basic, reportMissingImports=false, reportArgumentType=false
import triton
import triton.language as tl

ROUNDS = bytes.fromhex(
    "428a2f9871374491b5c0fbcfe9b5dba53956c25b59f111f1923f82a4ab1c5ed5"
    "d807aa9812835b01243185be550c7dc372be5d7480deb1fe9bdc06a7c19bf174"
    "e49b69c1efbe47860fc19dc6240ca1cc2de92c6f4a7484aa5cb0a9dc76f988da"
    "983e5152a831c66db00327c8bf597fc7c6e00bf3d5a7914706ca635114292967"
    "27b70a852e1b21384d2c6dfc53380d13650a7354766a0abb81c2c92e92722c85"
    "a2bfe8a1a81a664bc24b8b70c76c51a3d192e819d6990624f40e3585106aa070"
    "19a4c1161e376c082748774c34b0bcb5391c0cb34ed8aa4a5b9cca4f682e6ff3"
    "748f82ee78a5636f84c878148cc7020890befffaa4506cebbef9a3f7c67178f2"
)
"""The constants of SHA-256's rounds, big-endian words (FIPS 180-4, section 4.2.2)."""


@triton.jit
def _mix(word):
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB
    return word ^ (word >> 31)


@triton.jit
def expand(keys, out, words, WORDS: tl.constexpr):
    """Entries of lines from their keys: a program makes 16 * WORDS of one line."""
    line = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * WORDS + tl.arange(0, WORDS)
    key = tl.load(keys + line).to(tl.uint64, bitcast=True)
    made = _mix(_mix(key + at.to(tl.uint64) * 0x9E3779B97F4A7C15))
    nibbles = tl.arange(0, 16)
    entries = ((made[:, None] >> (4 * nibbles).to(tl.uint64)[None, :]) & 15).to(tl.int32) - 8
    where = out + line * words * 16 + at[:, None] * 16 + nibbles[None, :]
    if out.dtype.element_ty == tl.int8:
        tl.store(where, entries.to(tl.int8), mask=(at < words)[:, None])
    else:
        tl.store(where, entries.to(tl.float32).to(out.dtype.element_ty), mask=(at < words)[:, None])


@triton.jit
def _swap(word):
    return (word << 24) | ((word & 0xFF00) << 8) | ((word >> 8) & 0xFF00) | (word >> 24)


@triton.jit
def _turn(word, count: tl.constexpr):
    return (word >> count) | (word << (32 - count))


@triton.jit
def _round(a, b, c, d, e, f, g, h, word, constant):
    first = h + (_turn(e, 6) ^ _turn(e, 11) ^ _turn(e, 25)) + (g ^ (e & (f ^ g))) + constant + word
    second = (_turn(a, 2) ^ _turn(a, 13) ^ _turn(a, 22)) + ((a & b) | (c & (a | b)))
    return d + first, first + second


@triton.jit
def _eight(a, b, c, d, e, f, g, h, k, w0, w1, w2, w3, w4, w5, w6, w7):
    d, h = _round(a, b, c, d, e, f, g, h, w0, tl.load(k))
    c, g = _round(h, a, b, c, d, e, f, g, w1, tl.load(k + 1))
    b, f = _round(g, h, a, b, c, d, e, f, w2, tl.load(k + 2))
    a, e = _round(f, g, h, a, b, c, d, e, w3, tl.load(k + 3))
    h, d = _round(e, f, g, h, a, b, c, d, w4, tl.load(k + 4))
    g, c = _round(d, e, f, g, h, a, b, c, w5, tl.load(k + 5))
    f, b = _round(c, d, e, f, g, h, a, b, w6, tl.load(k + 6))
    e, a = _round(b, c, d, e, f, g, h, a, w7, tl.load(k + 7))
    return a, b, c, d, e, f, g, h


@triton.jit
def _next(word, after, ninth, last):
    """A word of the schedule from those 16, 15, 7 and 2 before it."""
    low = _turn(after, 7) ^ _turn(after, 18) ^ (after >> 3)
    high = _turn(last, 17) ^ _turn(last, 19) ^ (last >> 10)
    return word + low + ninth + high


@triton.jit
def _compress(s0, s1, s2, s3, s4, s5, s6, s7, k, w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, wa, wb, wc, wd, we, wf):
    a, b, c, d, e, f, g, h = s0, s1, s2, s3, s4, s5, s6, s7
    for part in tl.static_range(4):
        a, b, c, d, e, f, g, h = _eight(a, b, c, d, e, f, g, h, k + 16 * part, w0, w1, w2, w3, w4, w5, w6, w7)
        a, b, c, d, e, f, g, h = _eight(a, b, c, d, e, f, g, h, k + 16 * part + 8, w8, w9, wa, wb, wc, wd, we, wf)
        if part < 3:
            w0 = _next(w0, w1, w9, we)
            w1 = _next(w1, w2, wa, wf)
            w2 = _next(w2, w3, wb, w0)
            w3 = _next(w3, w4, wc, w1)
            w4 = _next(w4, w5, wd, w2)
            w5 = _next(w5, w6, we, w3)
            w6 = _next(w6, w7, wf, w4)
            w7 = _next(w7, w8, w0, w5)
            w8 = _next(w8, w9, w1, w6)
            w9 = _next(w9, wa, w2, w7)
            wa = _next(wa, wb, w3, w8)
            wb = _next(wb, wc, w4, w9)
            wc = _next(wc, wd, w5, wa)
            wd = _next(wd, we, w6, wb)
            we = _next(we, wf, w7, wc)
            wf = _next(wf, w0, w8, wd)
    return s0 + a, s1 + b, s2 + c, s3 + d, s4 + e, s5 + f, s6 + g, s7 + h


@triton.jit
def _start(zero):
    return (
        zero + 0x6A09E667,
        zero + 0xBB67AE85,
        zero + 0x3C6EF372,
        zero + 0xA54FF53A,
        zero + 0x510E527F,
        zero + 0x9B05688C,
        zero + 0x1F83D9AB,
        zero + 0x5BE0CD19,
    )


@triton.jit
def _put(where, word, mask):
    tl.store(where, _swap(word).to(tl.int32, bitcast=True), mask=mask)


@triton.jit
def _digest(where, s0, s1, s2, s3, s4, s5, s6, s7, mask):
    _put(where, s0, mask)
    _put(where + 1, s1, mask)
    _put(where + 2, s2, mask)
    _put(where + 3, s3, mask)
    _put(where + 4, s4, mask)
    _put(where + 5, s5, mask)
    _put(where + 6, s6, mask)
    _put(where + 7, s7, mask)


@triton.jit(do_not_specialize=["first"])
def hash_keys(seed, keys, constants, first, count, SIDE: tl.constexpr, LANES: tl.constexpr):
    """Keys of lines: the first 8 bytes of SHA-256(seed | SIDE | index), of 37 bytes, as little-endian int64."""
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    zero = (lane * 0).to(tl.uint32)
    index = _swap((first + lane).to(tl.uint32))
    s0, s1, s2, s3, s4, s5, s6, s7 = _start(zero)
    s0, s1, _, _, _, _, _, _ = _compress(
        s0, s1, s2, s3, s4, s5, s6, s7, constants,
        _swap(zero + tl.load(seed).to(tl.uint32, bitcast=True)),
        _swap(zero + tl.load(seed + 1).to(tl.uint32, bitcast=True)),
        _swap(zero + tl.load(seed + 2).to(tl.uint32, bitcast=True)),
        _swap(zero + tl.load(seed + 3).to(tl.uint32, bitcast=True)),
        _swap(zero + tl.load(seed + 4).to(tl.uint32, bitcast=True)),
        _swap(zero + tl.load(seed + 5).to(tl.uint32, bitcast=True)),
        _swap(zero + tl.load(seed + 6).to(tl.uint32, bitcast=True)),
        _swap(zero + tl.load(seed + 7).to(tl.uint32, bitcast=True)),
        (zero + (SIDE << 24)) | (index >> 8),
        (index << 24) | 0x800000,
        zero, zero, zero, zero, zero,
        zero + 37 * 8,
    )  # fmt: skip
    key = _swap(s0).to(tl.uint64) | (_swap(s1).to(tl.uint64) << 32)
    tl.store(keys + lane, key.to(tl.int64, bitcast=True), mask=lane < count)


@triton.jit
def _entry(start, stride, number, mask):
    value = tl.load(start + (number >> 5) * stride + (number & 31), mask=mask, other=0)
    return value.to(tl.int32).to(tl.uint32, bitcast=True)


@triton.jit
def _join(before, word):
    """Four bytes of the message: what precedes the tile has nine bytes, so each word joins two of its integers."""
    return (before & 0xFF000000) | (_swap(word) >> 8)


@triton.jit
def _block(s0, s1, s2, s3, s4, s5, s6, s7, k, last, u0, u1, u2, u3, u4, u5, u6, u7, u8, u9, ua, ub, uc, ud, ue, uf):
    return _compress(
        s0, s1, s2, s3, s4, s5, s6, s7, k,
        _join(last, u0), _join(u0, u1), _join(u1, u2), _join(u2, u3),
        _join(u3, u4), _join(u4, u5), _join(u5, u6), _join(u6, u7),
        _join(u7, u8), _join(u8, u9), _join(u9, ua), _join(ua, ub),
        _join(ub, uc), _join(uc, ud), _join(ud, ue), _join(ue, uf),
    )  # fmt: skip


@triton.jit(do_not_specialize=["row", "column"])
def hash_tiles(product, digests, constants, tiles, across, row, column, LANES: tl.constexpr):
    """Leaves of a row-major product, ``across`` tiles wide: SHA-256(0x00 | row | column | tile), of 4,105 bytes."""
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    mask = lane < tiles
    down, over = lane // across, lane % across
    stride = across.to(tl.int64) * 32
    start = product + down.to(tl.int64) * 32 * stride + over * 32
    zero = (lane * 0).to(tl.uint32)
    r, c = (row + down).to(tl.uint32), (column + over).to(tl.uint32)
    s0, s1, s2, s3, s4, s5, s6, s7 = _start(zero)
    last = _entry(start, stride, 13, mask)
    s0, s1, s2, s3, s4, s5, s6, s7 = _block(
        s0, s1, s2, s3, s4, s5, s6, s7, constants, zero, r, c,
        _entry(start, stride, 0, mask), _entry(start, stride, 1, mask), _entry(start, stride, 2, mask),
        _entry(start, stride, 3, mask), _entry(start, stride, 4, mask), _entry(start, stride, 5, mask),
        _entry(start, stride, 6, mask), _entry(start, stride, 7, mask), _entry(start, stride, 8, mask),
        _entry(start, stride, 9, mask), _entry(start, stride, 10, mask), _entry(start, stride, 11, mask),
        _entry(start, stride, 12, mask), last,
    )  # fmt: skip
    for block in range(1, 64):
        at = block * 16 - 2
        end = _entry(start, stride, at + 15, mask)
        s0, s1, s2, s3, s4, s5, s6, s7 = _block(
            s0, s1, s2, s3, s4, s5, s6, s7, constants, last,
            _entry(start, stride, at, mask), _entry(start, stride, at + 1, mask),
            _entry(start, stride, at + 2, mask), _entry(start, stride, at + 3, mask),
            _entry(start, stride, at + 4, mask), _entry(start, stride, at + 5, mask),
            _entry(start, stride, at + 6, mask), _entry(start, stride, at + 7, mask),
            _entry(start, stride, at + 8, mask), _entry(start, stride, at + 9, mask),
            _entry(start, stride, at + 10, mask), _entry(start, stride, at + 11, mask),
            _entry(start, stride, at + 12, mask), _entry(start, stride, at + 13, mask),
            _entry(start, stride, at + 14, mask), end,
        )  # fmt: skip
        last = end
    u0, u1 = _entry(start, stride, 1022, mask), _entry(start, stride, 1023, mask)
    s0, s1, s2, s3, s4, s5, s6, s7 = _compress(
        s0, s1, s2, s3, s4, s5, s6, s7, constants,
        _join(last, u0), _join(u0, u1), (u1 & 0xFF000000) | 0x800000,
        zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero + 4105 * 8,
    )  # fmt: skip
    _digest(digests + lane * 8, s0, s1, s2, s3, s4, s5, s6, s7, mask)


@triton.jit
def _hash_word(start, number, mask):
    return _swap(tl.load(start + number, mask=mask, other=0).to(tl.uint32, bitcast=True))


@triton.jit
def hash_pairs(below, above, constants, pairs, LANES: tl.constexpr):
    """The level over a level of digests: SHA-256(0x01 | left | right), of 65 bytes."""
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    mask = lane < pairs
    start = below + lane.to(tl.int64) * 16
    zero = (lane * 0).to(tl.uint32)
    c0, c1 = _hash_word(start, 0, mask), _hash_word(start, 1, mask)
    c2, c3 = _hash_word(start, 2, mask), _hash_word(start, 3, mask)
    c4, c5 = _hash_word(start, 4, mask), _hash_word(start, 5, mask)
    c6, c7 = _hash_word(start, 6, mask), _hash_word(start, 7, mask)
    c8, c9 = _hash_word(start, 8, mask), _hash_word(start, 9, mask)
    ca, cb = _hash_word(start, 10, mask), _hash_word(start, 11, mask)
    cc, cd = _hash_word(start, 12, mask), _hash_word(start, 13, mask)
    ce, cf = _hash_word(start, 14, mask), _hash_word(start, 15, mask)
    s0, s1, s2, s3, s4, s5, s6, s7 = _start(zero)
    s0, s1, s2, s3, s4, s5, s6, s7 = _compress(
        s0, s1, s2, s3, s4, s5, s6, s7, constants,
        (c0 >> 8) | 0x01000000, (c0 << 24) | (c1 >> 8), (c1 << 24) | (c2 >> 8), (c2 << 24) | (c3 >> 8),
        (c3 << 24) | (c4 >> 8), (c4 << 24) | (c5 >> 8), (c5 << 24) | (c6 >> 8), (c6 << 24) | (c7 >> 8),
        (c7 << 24) | (c8 >> 8), (c8 << 24) | (c9 >> 8), (c9 << 24) | (ca >> 8), (ca << 24) | (cb >> 8),
        (cb << 24) | (cc >> 8), (cc << 24) | (cd >> 8), (cd << 24) | (ce >> 8), (ce << 24) | (cf >> 8),
    )  # fmt: skip
    s0, s1, s2, s3, s4, s5, s6, s7 = _compress(
        s0, s1, s2, s3, s4, s5, s6, s7, constants, (cf << 24) | 0x800000,
        zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero + 65 * 8,
    )  # fmt: skip
    _digest(above + lane.to(tl.int64) * 8, s0, s1, s2, s3, s4, s5, s6, s7, mask)
