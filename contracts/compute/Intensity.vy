# pragma version 0.4.3
# pragma evm-version prague
"""
@title Proof of Intensity, version 1
@license MIT OR Apache-2.0
@author The Candela developers
@notice Providers commit to exact matrix products done in short windows. Anybody can make a prover show the tiles that
        later randomness draws, and refute a false one in one transaction: the contract recomputes one element of it.
@dev Formats: docs/intensity.md. A window opens at a multiple of PERIOD seconds and closes by block time; its matrices
     follow from the randomness of its opening, which nobody knew before, and the draws from that of DRAW_DELAY seconds
     after its closing, which nobody knew when committing. At any time: balance = sum of `bonds` + fees of open demands + burned.
"""

struct Device:
    active: bool
    kind: uint8
    sandbox_tier: uint8
    memory_bytes: uint64
    intensity_ucd: uint64
    name: String[64]

interface Registry:
    def offer(operator: address, device_id: uint32) -> (address, bool, Device): view

interface Beacon:
    def randomness(moment: uint256) -> bytes32: view

# @notice Tiles drawn from a window.
SAMPLES: public(constant(uint256)) = 64
# @notice Bond that a provider must hold for each device that it commits in a window, in nit; a false tile costs all of it.
PROOF_BOND: public(constant(uint256)) = 10**18
# @notice What a demand pays the prover for showing a tile, in nit.
DEMAND_FEE: public(constant(uint256)) = 10**16
# @notice Seconds from a window's closing to the moment whose randomness draws.
DRAW_DELAY: public(constant(uint256)) = 10
# @notice Seconds from a window's closing in which tiles can be demanded.
DEMAND_SECONDS: public(constant(uint256)) = 3600
# @notice Seconds in which a demanded tile must be shown.
SHOW_SECONDS: public(constant(uint256)) = 600
# @notice Share of a slashed bond that its challenger gets, in per cent; the rest is burned.
CHALLENGER_PERCENT: public(constant(uint256)) = 30

MAX_UNITS: constant(uint256) = 65536
TILE: constant(uint256) = 32
TILE_BYTES: constant(uint256) = 4096
GRID: constant(uint256) = 8
MAX_PATH: constant(uint256) = 48
MAX_WORDS: constant(uint256) = 4096
ROWS: constant(Bytes[1]) = b"A"
COLUMNS: constant(Bytes[1]) = b"B"

# Two 64-bit words side by side, 128 bits apart.
LANES: constant(uint256) = 2**64 - 1 + ((2**64 - 1) << 128)
GOLDEN: constant(uint256) = 11400714819323198485 + (11400714819323198485 << 128)
FIRST: constant(uint256) = 13787848793156543929
SECOND: constant(uint256) = 10723151780598845931
# One nibble in each 16 bits, and the steps to there.
LOW_32: constant(uint256) = 2**32 - 1
HIGH_32: constant(uint256) = (2**32 - 1) << 128
SPREAD_16: constant(uint256) = (2**16 - 1) * (1 + 2**64 + 2**128 + 2**192)
SPREAD_8: constant(uint256) = (2**8 - 1) * (1 + 2**32 + 2**64 + 2**96 + 2**128 + 2**160 + 2**192 + 2**224)
SPREAD_4: constant(uint256) = (2**4 - 1) * (1 + 2**16) * (1 + 2**32 + 2**64 + 2**96 + 2**128 + 2**160 + 2**192 + 2**224)
HALVES: constant(uint256) = (2**16 - 1) * (1 + 2**32 + 2**64 + 2**96 + 2**128 + 2**160 + 2**192 + 2**224)
ONES: constant(uint256) = 1 + 2**32 + 2**64 + 2**96 + 2**128 + 2**160 + 2**192 + 2**224

struct Shape:
    tile_rows: uint256
    tile_columns: uint256
    depth: uint256

struct Window:
    root: bytes32
    profile: uint8
    units: uint32
    refuted: bool
    pending: uint8
    shown: uint256

struct Demand:
    challenger: address
    deadline: uint64

event Committed:
    window: indexed(uint256)
    provider: indexed(address)
    device_id: indexed(uint32)
    profile: uint8
    root: bytes32
    units: uint32

event Demanded:
    window: indexed(uint256)
    provider: indexed(address)
    device_id: indexed(uint32)
    draw: uint256
    challenger: address

event Shown:
    window: indexed(uint256)
    provider: indexed(address)
    device_id: indexed(uint32)
    draw: uint256
    index: uint256

event Refuted:
    window: indexed(uint256)
    provider: indexed(address)
    device_id: indexed(uint32)
    challenger: address
    slashed: uint256

event BondChanged:
    provider: indexed(address)
    bond: uint256

registry: public(immutable(address))
beacon: public(immutable(address))
period: public(immutable(uint256))
open_seconds: public(immutable(uint256))

bonds: public(HashMap[address, uint256])
locked_until: public(HashMap[address, uint256])
commitments: public(HashMap[uint256, HashMap[address, uint256]])
windows: public(HashMap[uint256, HashMap[address, HashMap[uint32, Window]]])
demands: public(HashMap[uint256, HashMap[address, HashMap[uint32, HashMap[uint256, Demand]]]])


@deploy
def __init__(_registry: address, _beacon: address, _period: uint256, _open_seconds: uint256):
    """
    @param _registry The registry of providers.
    @param _beacon The contract that records randomness.
    @param _period Seconds from one window's opening to the next.
    @param _open_seconds Seconds for which a window is open: at most 2 % of the period.
    """
    assert _open_seconds > 0 and _open_seconds * 50 <= _period, "intensity: windows take more than 2 % of the time"
    registry = _registry
    beacon = _beacon
    period = _period
    open_seconds = _open_seconds


@external
@payable
def deposit(provider: address):
    """
    @notice Add the value to a provider's bond.
    @param provider The owner's address.
    """
    self.bonds[provider] += msg.value
    log BondChanged(provider=provider, bond=self.bonds[provider])


@external
@nonreentrant
def withdraw(amount: uint256):
    """
    @notice Take the caller's bond back, once its last window is final.
    @param amount In nit.
    """
    assert block.timestamp >= self.locked_until[msg.sender], "intensity: a window is not final yet"
    assert amount <= self.bonds[msg.sender], "intensity: bond is smaller"
    self.bonds[msg.sender] -= amount
    log BondChanged(provider=msg.sender, bond=self.bonds[msg.sender])
    raw_call(msg.sender, b"", value=amount)


@external
def commit(window: uint256, device_id: uint32, profile: uint8, root: bytes32, units: uint32):
    """
    @notice State what a device has computed in a window, before it closes.
    @param window The window's number: it opens at `window * period`.
    @param device_id One of the devices of the caller's provider.
    @param profile 1 for C1, 2 for G1.
    @param root Merkle root over the roots of the units.
    @param units Units computed.
    """
    assert block.timestamp >= window * period, "intensity: window is not open yet"
    assert block.timestamp < self._closes(window), "intensity: window is closed"
    assert units > 0 and convert(units, uint256) <= MAX_UNITS, "intensity: too many or no units"
    assert root != empty(bytes32), "intensity: root is empty"
    shape: Shape = self._shape(profile)
    # Without it no tile could be refuted.
    assert self._opening(window) != empty(bytes32), "intensity: the window's opening is not recorded"
    provider: address = empty(address)
    listed: bool = False
    device: Device = empty(Device)
    provider, listed, device = staticcall Registry(registry).offer(msg.sender, device_id)
    assert listed, "intensity: not a listed device of the caller's provider"
    assert self.windows[window][provider][device_id].units == 0, "intensity: already committed"
    devices: uint256 = self.commitments[window][provider] + 1
    assert self.bonds[provider] >= PROOF_BOND * devices, "intensity: bond is too small"
    self.commitments[window][provider] = devices
    self.windows[window][provider][device_id] = Window(
        root=root, profile=profile, units=units, refuted=False, pending=0, shown=0
    )
    self.locked_until[provider] = max(self.locked_until[provider], self._final_at(window))
    log Committed(window=window, provider=provider, device_id=device_id, profile=profile, root=root, units=units)


@external
@payable
def demand(window: uint256, provider: address, device_id: uint32, draw: uint256):
    """
    @notice Make a prover show a drawn tile; the value is DEMAND_FEE, which it gets for showing.
    @param window The window.
    @param provider The prover.
    @param device_id Its device.
    @param draw Which of the SAMPLES draws.
    """
    assert msg.value == DEMAND_FEE, "intensity: value is not the fee"
    assert draw < SAMPLES, "intensity: no such draw"
    state: Window = self._standing(window, provider, device_id)
    assert self._drawing(window) != empty(bytes32), "intensity: nothing is drawn yet"
    assert block.timestamp < self._closes(window) + DEMAND_SECONDS, "intensity: too late to demand"
    assert (state.shown >> draw) & 1 == 0, "intensity: already shown"
    assert self.demands[window][provider][device_id][draw].challenger == empty(address), "intensity: already demanded"
    self.demands[window][provider][device_id][draw] = Demand(
        challenger=msg.sender, deadline=convert(block.timestamp + SHOW_SECONDS, uint64)
    )
    self.windows[window][provider][device_id].pending += 1
    log Demanded(window=window, provider=provider, device_id=device_id, draw=draw, challenger=msg.sender)


@external
@nonreentrant
def show(
    window: uint256,
    provider: address,
    device_id: uint32,
    draw: uint256,
    tile: Bytes[TILE_BYTES],
    path: DynArray[bytes32, MAX_PATH],
):
    """
    @notice Show a demanded tile. Whether it is true is for others to refute.
    @param window The window.
    @param provider The prover, who gets the fee.
    @param device_id Its device.
    @param draw Which draw.
    @param tile 32 x 32 little-endian int32, row by row.
    @param path Siblings from the tile to the window's root.
    """
    state: Window = self._standing(window, provider, device_id)
    asked: Demand = self.demands[window][provider][device_id][draw]
    assert asked.challenger != empty(address), "intensity: not demanded"
    assert block.timestamp <= convert(asked.deadline, uint256), "intensity: too late to show"
    index: uint256 = self._draw(window, provider, device_id, state, draw)
    self._assert_committed(state, index, tile, path)
    self.demands[window][provider][device_id][draw] = empty(Demand)
    self.windows[window][provider][device_id].pending -= 1
    self.windows[window][provider][device_id].shown |= 1 << draw
    self.bonds[provider] += DEMAND_FEE
    log Shown(window=window, provider=provider, device_id=device_id, draw=draw, index=index)


@external
@nonreentrant
def expire(window: uint256, provider: address, device_id: uint32, draw: uint256):
    """
    @notice End a demand that was not met: the window no longer counts. The fee returns to who paid it.
    @param window The window.
    @param provider The prover.
    @param device_id Its device.
    @param draw Which draw.
    """
    asked: Demand = self.demands[window][provider][device_id][draw]
    assert asked.challenger != empty(address), "intensity: not demanded"
    refuted: bool = self.windows[window][provider][device_id].refuted
    assert refuted or block.timestamp > convert(asked.deadline, uint256), "intensity: still time to show"
    self.demands[window][provider][device_id][draw] = empty(Demand)
    self.windows[window][provider][device_id].pending -= 1
    if not refuted:
        self.windows[window][provider][device_id].refuted = True
        log Refuted(window=window, provider=provider, device_id=device_id, challenger=asked.challenger, slashed=0)
    raw_call(asked.challenger, b"", value=DEMAND_FEE)


@external
@nonreentrant
def prove_fraud(
    window: uint256,
    provider: address,
    device_id: uint32,
    index: uint256,
    tile: Bytes[TILE_BYTES],
    path: DynArray[bytes32, MAX_PATH],
    row: uint256,
    column: uint256,
):
    """
    @notice Refute a window by one element of a committed tile; 30 % of the prover's bond is the caller's.
    @param window The window.
    @param provider The prover.
    @param device_id Its device.
    @param index The tile's number in the window; drawn or not.
    @param tile 32 x 32 little-endian int32, row by row, as committed to.
    @param path Siblings from the tile to the window's root.
    @param row Row of the false element in the tile.
    @param column Its column.
    """
    state: Window = self._standing(window, provider, device_id)
    assert block.timestamp < self._final_at(window), "intensity: window is final"
    assert row < TILE and column < TILE, "intensity: no such element"
    self._assert_committed(state, index, tile, path)
    stated: int256 = self._entry(tile, row * TILE + column)
    assert stated != self._true(window, provider, device_id, state, index, row, column), "intensity: element is right"
    self.windows[window][provider][device_id].refuted = True
    slashed: uint256 = min(self.bonds[provider], PROOF_BOND)
    self.bonds[provider] -= slashed
    reward: uint256 = slashed * CHALLENGER_PERCENT // 100
    log Refuted(window=window, provider=provider, device_id=device_id, challenger=msg.sender, slashed=slashed)
    # The rest belongs to nobody and never leaves: it is burned.
    raw_call(msg.sender, b"", value=reward)


@external
@view
def measured(provider: address, device: uint256, window: uint256) -> uint256:
    """
    @notice What a device has verifiably computed in a window.
    @param provider The prover.
    @param device Its device.
    @param window The window.
    @return Integer operations: 2 m n k for each unit; 0 unless the window is final and unrefuted, tiles could be drawn
            from it, and nothing is pending.
    """
    if device > convert(max_value(uint32), uint256):
        return 0
    state: Window = self.windows[window][provider][convert(device, uint32)]
    if state.units == 0 or state.refuted or state.pending > 0 or block.timestamp < self._final_at(window):
        return 0
    if self._drawing(window) == empty(bytes32):
        return 0
    shape: Shape = self._shape(state.profile)
    return convert(state.units, uint256) * 2 * shape.tile_rows * shape.tile_columns * TILE * TILE * shape.depth


@external
@view
def drawn(window: uint256, provider: address, device_id: uint32, draw: uint256) -> uint256:
    """
    @notice The number of a drawn tile.
    @param window The window.
    @param provider The prover.
    @param device_id Its device.
    @param draw Which of the SAMPLES draws.
    @return The tile's number in the window.
    """
    assert draw < SAMPLES, "intensity: no such draw"
    return self._draw(window, provider, device_id, self._standing(window, provider, device_id), draw)


@external
@view
def element(
    window: uint256, provider: address, device_id: uint32, profile: uint8, index: uint256, row: uint256, column: uint256
) -> int256:
    """
    @notice The true value of one element of a tile.
    @param window The window, whose opening must be recorded.
    @param provider The prover.
    @param device_id Its device.
    @param profile 1 for C1, 2 for G1.
    @param index The tile's number in the window.
    @param row Row of the element in the tile.
    @param column Its column.
    @return The element of the product.
    """
    assert row < TILE and column < TILE, "intensity: no such element"
    state: Window = empty(Window)
    state.profile = profile
    return self._true(window, provider, device_id, state, index, row, column)


@internal
@view
def _closes(window: uint256) -> uint256:
    return window * period + open_seconds


@internal
@view
def _final_at(window: uint256) -> uint256:
    # A tile that is shown at the last moment can still be refuted.
    return self._closes(window) + DEMAND_SECONDS + 2 * SHOW_SECONDS


@internal
@view
def _opening(window: uint256) -> bytes32:
    return staticcall Beacon(beacon).randomness(window * period)


@internal
@view
def _drawing(window: uint256) -> bytes32:
    return staticcall Beacon(beacon).randomness(self._closes(window) + DRAW_DELAY)


@internal
@view
def _standing(window: uint256, provider: address, device_id: uint32) -> Window:
    state: Window = self.windows[window][provider][device_id]
    assert state.units > 0, "intensity: nothing was committed"
    assert not state.refuted, "intensity: window is refuted"
    return state


@internal
@pure
def _shape(profile: uint8) -> Shape:
    assert profile == 1 or profile == 2, "intensity: unknown profile"
    if profile == 1:
        return Shape(tile_rows=64, tile_columns=64, depth=2048)
    return Shape(tile_rows=256, tile_columns=256, depth=65536)


@internal
@view
def _context(window: uint256, provider: address, device_id: uint32, profile: uint8) -> Bytes[90]:
    opening: bytes32 = self._opening(window)
    assert opening != empty(bytes32), "intensity: the window's opening is not recorded"
    return concat(
        b"PoI/1",
        self._little_8(chain.id),
        convert(self, bytes20),
        convert(profile, bytes1),
        opening,
        convert(provider, bytes20),
        self._little_4(convert(device_id, uint256)),
    )


@internal
@view
def _draw(window: uint256, provider: address, device_id: uint32, state: Window, draw: uint256) -> uint256:
    later: bytes32 = self._drawing(window)
    assert later != empty(bytes32), "intensity: nothing is drawn yet"
    units: uint256 = convert(state.units, uint256)
    about: Bytes[90] = self._context(window, provider, device_id, state.profile)
    digest: bytes32 = sha256(concat(b"PoI/1 commitment", about, state.root, self._little_4(units)))
    source: bytes32 = sha256(concat(later, state.root, digest))
    shape: Shape = self._shape(state.profile)
    number: uint256 = self._key(sha256(concat(source, self._little_4(draw))))
    return number % (units * shape.tile_rows * shape.tile_columns)


@internal
@view
def _assert_committed(
    state: Window, index: uint256, tile: Bytes[TILE_BYTES], path: DynArray[bytes32, MAX_PATH]
):
    shape: Shape = self._shape(state.profile)
    tiles: uint256 = shape.tile_rows * shape.tile_columns
    units: uint256 = convert(state.units, uint256)
    assert index < units * tiles, "intensity: no such tile"
    assert len(tile) == TILE_BYTES, "intensity: a tile has 4096 bytes"
    grid_row: uint256 = 0
    grid_column: uint256 = 0
    grid_row, grid_column = self._position(shape, index)
    hashed: bytes32 = sha256(concat(b"\x00", self._little_4(grid_row), self._little_4(grid_column), tile))
    used: uint256 = 0
    hashed, used = self._fold(hashed, index % tiles, tiles, path, 0)
    hashed, used = self._fold(hashed, index // tiles, units, path, used)
    assert used == len(path), "intensity: path is too long"
    assert hashed == state.root, "intensity: tile was not committed to"


@internal
@pure
def _fold(
    leaf: bytes32, index: uint256, size: uint256, path: DynArray[bytes32, MAX_PATH], start: uint256
) -> (bytes32, uint256):
    # RFC 9162, section 2.1.3.2, with the siblings from `start` on; returns the root and how many are used up.
    hashed: bytes32 = leaf
    used: uint256 = start
    at: uint256 = index
    last: uint256 = size - 1
    for level: uint256 in range(MAX_PATH):
        if last == 0:
            break
        if at & 1 == 1 or at < last:
            assert used < len(path), "intensity: path is too short"
            if at & 1 == 1:
                hashed = sha256(concat(b"\x01", path[used], hashed))
            else:
                hashed = sha256(concat(b"\x01", hashed, path[used]))
            used += 1
        at //= 2
        last //= 2
    return hashed, used


@internal
@pure
def _position(shape: Shape, index: uint256) -> (uint256, uint256):
    # Where the tile is in its grid of panels, counted in tiles.
    tiles: uint256 = shape.tile_rows * shape.tile_columns
    within: uint256 = (index // tiles) % (GRID * GRID)
    number: uint256 = index % tiles
    row: uint256 = (within // GRID) * shape.tile_rows + number // shape.tile_columns
    column: uint256 = (within % GRID) * shape.tile_columns + number % shape.tile_columns
    return row, column


@internal
@pure
def _entry(tile: Bytes[TILE_BYTES], number: uint256) -> int256:
    word: uint256 = convert(slice(tile, number * 4, 4), uint256)
    value: uint256 = (word >> 24) | ((word >> 8) & 65280) | ((word & 65280) << 8) | ((word & 255) << 24)
    if value >= 2**31:
        return convert(value, int256) - 2**32
    return convert(value, int256)


@internal
@view
def _true(
    window: uint256,
    provider: address,
    device_id: uint32,
    state: Window,
    index: uint256,
    row: uint256,
    column: uint256,
) -> int256:
    shape: Shape = self._shape(state.profile)
    grid_row: uint256 = 0
    grid_column: uint256 = 0
    grid_row, grid_column = self._position(shape, index)
    grid: uint256 = index // (shape.tile_rows * shape.tile_columns) // (GRID * GRID)
    about: Bytes[90] = self._context(window, provider, device_id, state.profile)
    seed: bytes32 = sha256(concat(about, self._little_4(grid)))
    left: uint256 = self._key(sha256(concat(seed, ROWS, self._little_4(grid_row * TILE + row))))
    right: uint256 = self._key(sha256(concat(seed, COLUMNS, self._little_4(grid_column * TILE + column))))
    return self._dot(left, right, shape.depth // 16)


@internal
@pure
def _dot(row_key: uint256, column_key: uint256, words: uint256) -> int256:
    # Row and column side by side; entries are nibbles less 8, so (a - 8)(b - 8) = ab - 8a - 8b + 64.
    counter: uint256 = row_key | (column_key << 128)
    products: uint256 = 0
    lefts: uint256 = 0
    rights: uint256 = 0
    for t: uint256 in range(words, bound=MAX_WORDS):
        z: uint256 = unsafe_mul((counter ^ (counter >> 30)) & LANES, FIRST) & LANES
        z = unsafe_mul((z ^ (z >> 27)) & LANES, SECOND) & LANES
        z = (z ^ (z >> 31)) & LANES
        z = unsafe_mul((z ^ (z >> 30)) & LANES, FIRST) & LANES
        z = unsafe_mul((z ^ (z >> 27)) & LANES, SECOND) & LANES
        z = (z ^ (z >> 31)) & LANES
        counter = unsafe_add(counter, GOLDEN) & LANES
        # The row's sixteen nibbles in ascending order, the column's in descending order, 16 bits each: the highest 16
        # bits of their product are the sum of the products of the pairs.
        a: uint256 = (z & LOW_32) | ((z << 96) & HIGH_32)
        a = (a | (a << 48)) & SPREAD_16
        a = (a | (a << 24)) & SPREAD_8
        a = (a | (a << 12)) & SPREAD_4
        b: uint256 = (z & HIGH_32) | (z >> 160)
        b = ((b << 64) | (b >> 16)) & SPREAD_16
        b = ((b << 32) | (b >> 8)) & SPREAD_8
        b = ((b << 16) | (b >> 4)) & SPREAD_4
        products = unsafe_add(products, unsafe_mul(a, b) >> 240)
        lefts = unsafe_add(lefts, a)
        rights = unsafe_add(rights, b)
    # 4,096 words at most: no 16 bits overflow before this, nor 32 bits in it.
    lefts = (lefts & HALVES) + ((lefts >> 16) & HALVES)
    rights = (rights & HALVES) + ((rights >> 16) & HALVES)
    sums: uint256 = (unsafe_mul(lefts, ONES) >> 224) + (unsafe_mul(rights, ONES) >> 224)
    return convert(products + 1024 * words, int256) - convert(8 * sums, int256)


@internal
@pure
def _key(hashed: bytes32) -> uint256:
    # The first 8 bytes, little-endian.
    return self._reverse_8(convert(hashed, uint256) >> 192)


@internal
@pure
def _reverse_8(number: uint256) -> uint256:
    halves: uint256 = ((number & (2**32 - 1)) << 32) | (number >> 32)
    quarters: uint256 = ((halves & 281470681808895) << 16) | ((halves >> 16) & 281470681808895)
    return ((quarters & 71777214294589695) << 8) | ((quarters >> 8) & 71777214294589695)


@internal
@pure
def _little_8(number: uint256) -> bytes8:
    return convert(convert(self._reverse_8(number), uint64), bytes8)


@internal
@pure
def _little_4(number: uint256) -> bytes4:
    return convert(convert(self._reverse_8(number) >> 32, uint32), bytes4)
