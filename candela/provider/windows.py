"""Fill windows of Proof of Intensity while a device has no paying task, and show the tiles that are demanded."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from candela.chain.beacon import Beacon
from candela.chain.intensity import Intensity
from candela.chain.randomness import recorded
from candela.chain.sender import Sender
from candela.errors import DeviceBusyError, Error, IntensityError, NetworkError
from candela.intensity.opening import Opening
from candela.intensity.profile import C1, MAX_UNITS, Profile
from candela.intensity.prover import Prover, Window
from candela.intensity.remote import RemoteProver
from candela.intensity.sampling import drawn
from candela.intensity.seed import Context
from candela.provider.config import write_atomically
from candela.provider.logs import logger
from candela.provider.tended import Tended

_COMMIT_SECONDS = 5
"""Time left for the commitment to be in a block before the window closes; at most a quarter of the window."""
_LOOK_SECONDS = 2.0
_WARM_SECONDS = 20.0
"""A GPU's prover needs about so long to start."""
_TEND_SECONDS = 0.25


class _Attempt:
    """A window being filled: it ends by itself when a task arrives or time is up."""

    def __init__(self, number: int, block: int, until: float, idle: Callable[[], bool]) -> None:
        self.number, self.block, self._until, self._idle = number, block, until, idle
        self.window: Window | None = None
        self.failure: IntensityError | None = None
        self._cancelled = False
        self._thread: threading.Thread | None = None

    def is_set(self) -> bool:
        """Whether the prover must stop; it asks before every block of rows."""
        return self._cancelled or time.time() >= self._until or not self._idle()

    def start(self, prove: Callable[[], Window], name: str) -> None:
        """Begin in a thread of its own."""

        def run() -> None:
            try:
                self.window = prove()
            except IntensityError as error:
                self.failure = error

        self._thread = threading.Thread(target=run, name=name, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop within one block of rows."""
        self._cancelled = True

    @property
    def running(self) -> bool:
        """Whether the prover still works."""
        return self._thread is not None and self._thread.is_alive()


class Held(msgspec.Struct):
    """A committed window that can still be asked about."""

    window: Window
    block: int
    """No demand is older."""
    looked_at: float = 0.0


class _Kept(msgspec.Struct, frozen=True):
    """What is written of a window before it is committed: enough to do any of its units again."""

    number: int
    context: Context
    block: int
    roots: list[bytes]


class Windows(Tended):
    """One device's windows, tended by a thread of their own, so that no transaction holds up whoever starts it.

    What is committed is kept in a folder as well, so that an agent that was restarted can show its tiles.

    Args:
        sender: the operator's.
        provider: address of the provider.
        device_id: the device's number on chain.
        idle: whether the device has no paying task; asked from the prover's thread before every block of rows.
        beacon, intensity: the contracts.
        folder: where committed windows are kept until they are final.
        profile: sizes of the units.
        make_prover: called once, when it is first needed; raises if the device is not exact.
    """

    def __init__(
        self,
        sender: Sender,
        provider: str,
        device_id: int,
        idle: Callable[[], bool],
        beacon: Beacon,
        intensity: Intensity,
        folder: Path,
        profile: Profile = C1,
        make_prover: Callable[[], Prover | RemoteProver] = Prover,
    ) -> None:
        super().__init__(f"candela-windows-{device_id}", _TEND_SECONDS)
        self._sender, self._provider, self._device_id, self._idle = sender, provider, device_id, idle
        self._beacon, self._intensity, self._profile = beacon, intensity, profile
        self._folder, self._make_prover = folder, make_prover
        self._prover: Prover | RemoteProver | None = None
        self._making = threading.Lock()
        self._attempt: _Attempt | None = None
        self._last = -1
        self.held: dict[int, Held] = {}
        """Committed windows by number, until they are final."""
        self._resumed = False
        self._warmed = -1
        self.unable = ""
        """Why the device may not prove; empty while it may."""

    def close(self, timeout: float = 5) -> None:
        """Stop proving, and wait for the thread."""
        self._stopped.set()
        if self._attempt is not None:
            self._attempt.cancel()
        super().close(timeout)
        if self._prover is not None:
            self._prover.release()

    def tend(self) -> None:
        """Do what is due now.

        Raises:
            NetworkError: the node can't be reached; what was due is tried again with the next call.
            RpcError: the node refused a transaction.
            TransactionFailed: a contract did.
        """
        self._resume()
        self._warm()
        self._begin()
        self._commit()
        for number in list(self.held):
            self._answer(number)

    def openings(self, number: int) -> list[Opening]:
        """All drawn tiles of a committed window, for whoever checks it.

        Raises:
            KeyError: the window is not held.
            IntensityError: nothing is drawn yet.
        """
        held, later = self.held[number], self._beacon.value(self._intensity.times.draws(number))
        if later is None:
            raise IntensityError(f"nothing is drawn from window {number} yet", why="no randomness is recorded for it")
        return held.window.open(drawn(held.window.context, held.window.commitment(), later))

    def _warn(self, reason: str) -> None:
        logger().warning("a window is in trouble", device=self._device_id, reason=reason)

    def _begin(self) -> None:
        times, now = self._intensity.times, time.time()
        number = times.window(now)
        until = times.closes(number) - min(_COMMIT_SECONDS, times.open_seconds / 4)
        if self.unable or self._attempt is not None or number == self._last or now >= until or not self._idle():
            return
        opening = self._randomness(times.opens(number))
        if opening is None:
            return
        context, block = self._context(opening), self._sender.client.block_number()
        self._last = number
        attempt = self._attempt = _Attempt(number, block, until, self._idle)
        attempt.start(lambda: self._prove(context, attempt), f"candela-window-{self._device_id}")

    def _prove(self, context: Context, attempt: _Attempt) -> Window:
        prover = self._ready()
        try:
            return prover.prove(context, MAX_UNITS, attempt)
        finally:
            prover.release()

    def _ready(self) -> Prover | RemoteProver:
        # A tile may be demanded while a window begins.
        with self._making:
            if self._prover is None:
                self._prover = self._make_prover()
            return self._prover

    def _warm(self) -> None:
        """Try the device, and let a process that proves take hold of it, a little before a window opens."""
        times, now = self._intensity.times, time.time()
        number = times.window(now + _WARM_SECONDS)
        if self.unable or number == self._warmed or now >= times.opens(number) or not self._idle():
            return
        self._warmed = number
        threading.Thread(target=self._get_ready, name="candela-warm", daemon=True).start()

    def _get_ready(self) -> None:
        # What fails here fails again when the window begins, and is told there.
        with contextlib.suppress(IntensityError):
            prover = self._ready()
            if isinstance(prover, RemoteProver):
                prover.start()

    def _resume(self) -> None:
        """Hold what an agent before this one has committed to."""
        if self._resumed:
            return
        files = sorted(self._folder.glob(f"{self._device_id}-*.window"))
        try:
            for path in files:
                self._take_up(path)
        except IntensityError as error:
            logger().warning("committed windows can't be shown", device=self._device_id, reason=str(error))
        self._resumed = True

    def _take_up(self, path: Path) -> None:
        prover = self._ready()
        try:
            kept = msgspec.msgpack.decode(path.read_bytes(), type=_Kept)
            window = prover.window(kept.context, kept.roots)
            root = window.commitment().root
        except (msgspec.MsgspecError, ValueError) as error:
            logger().warning("a committed window can't be read", file=str(path), reason=str(error))
            path.unlink()
            return
        known = self._intensity.read("windows", kept.number, self._provider, self._device_id)
        if known["root"] == root:
            self.held[kept.number] = Held(window, kept.block)
        else:
            # It was never committed, or to another chain.
            path.unlink()

    def _keep(self, attempt: _Attempt, window: Window) -> None:
        kept = _Kept(attempt.number, window.context, attempt.block, list(window.roots))
        write_atomically(self._file(attempt.number), msgspec.msgpack.encode(kept))

    def _file(self, number: int) -> Path:
        return self._folder / f"{self._device_id}-{number}.window"

    def _context(self, opening: bytes) -> Context:
        contract, provider = (bytes.fromhex(each[2:]) for each in (self._intensity.address, self._provider))
        return Context(self._sender.client.chain_id(), contract, self._profile, opening, provider, self._device_id)

    def _commit(self) -> None:
        attempt = self._attempt
        if attempt is None or attempt.running:
            return
        if isinstance(attempt.failure, DeviceBusyError):
            logger().warning("a window was lost", device=self._device_id, reason=str(attempt.failure))
        elif attempt.failure is not None:
            self.unable = attempt.failure.what
            logger().warning("this device proves nothing", device=self._device_id, reason=str(attempt.failure))
        window = attempt.window
        if window is not None and window.units:
            self._keep(attempt, window)
            try:
                self._send_commitment(attempt.number, window)
            except NetworkError:
                if time.time() < self._intensity.times.closes(attempt.number):
                    # Try again.
                    raise
                logger().warning("a window could not be committed", window=attempt.number, device=self._device_id)
            except Error:
                self._attempt = None
                raise
            else:
                self.held[attempt.number] = Held(window, attempt.block)
        self._attempt = None

    def _send_commitment(self, number: int, window: Window) -> None:
        commitment = window.commitment()
        known = self._intensity.read("windows", number, self._provider, self._device_id)
        if known["root"] == commitment.root:
            # The answer to an earlier try was lost.
            return
        missing = self._intensity.missing_bond(self._provider, number)
        if missing:
            deposit = self._intensity.message("deposit", self._provider, value=missing)
            self._sender.send(deposit, "adding to the bond of proofs")
        message = self._intensity.committing(number, self._device_id, self._profile, commitment)
        self._sender.send(message, "committing to a window")
        logger().info("window committed", window=number, device=self._device_id, units=window.units)

    def _answer(self, number: int) -> None:
        held, times, now = self.held[number], self._intensity.times, time.time()
        if now >= times.final(number):
            del self.held[number]
            self._file(number).unlink(missing_ok=True)
            return
        if now < times.draws(number) or now - held.looked_at < _LOOK_SECONDS:
            return
        held.looked_at = now
        later = self._randomness(times.draws(number))
        if later is None:
            return
        demanded = self._intensity.demanded(number, self._provider, self._device_id, held.block)
        if not demanded:
            return
        indices = drawn(held.window.context, held.window.commitment(), later)
        openings = held.window.open(indices[draw] for draw in demanded)
        for draw, opening in zip(demanded, openings, strict=True):
            message = self._intensity.showing(number, self._provider, self._device_id, draw, opening)
            self._sender.send(message, "showing a tile")
            logger().info("tile shown", window=number, device=self._device_id, tile=opening.index)
        self._ready().release()

    def _randomness(self, moment: int) -> bytes | None:
        return recorded(self._sender, self._beacon, moment)
