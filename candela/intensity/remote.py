"""A prover in a process of its own: no thread of the agent holds it up, and its end frees the device's memory."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, BinaryIO

import msgspec

from candela.errors import DeviceBusyError, IntensityError
from candela.intensity.path import HostPath
from candela.intensity.profile import PROFILES, Profile
from candela.intensity.prover import Prover, Stop, Window
from candela.intensity.seed import Context
from candela.intensity.torch_path import fastest_prover
from candela.intensity.tree import Tree

_LOOK_SECONDS = 0.02
_START_SECONDS = 300.0
"""Longest start: a GPU's kernels are compiled the first time."""
_STOP_SECONDS = 2.0
_TREE_SECONDS = 120.0
_MAX_FRAME = 64 << 20


class Ready(msgspec.Struct, frozen=True):
    """What a prover's process has found out about its device."""

    kind: str
    """The data type that it proves in."""
    rate: float
    """Exact integer operations a second of the plain product."""


class _Wish(msgspec.Struct):
    do: str
    """prove, tree or stop."""
    context: Context | None = None
    number: int = 0
    """Of units, or of the unit."""


class _Answer(msgspec.Struct):
    ready: Ready | None = None
    root: bytes = b""
    done: bool = False
    levels: list[bytes] = []
    error: tuple[str, str, str] | None = None


class RemoteProver:
    """Does what :class:`Prover` does, on a device that another process holds while it is needed.

    Args:
        device: ``cpu``, or PyTorch's name of a GPU, for instance ``cuda:0``.
        profile: sizes of the units.
    """

    def __init__(self, device: str, profile: Profile) -> None:
        self._device, self._profile = device, profile
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: Ready | None = None
        self._lock = threading.Lock()

    def start(self) -> Ready:
        """Take hold of the device, try it on the rail vectors, and measure it; nothing where that is done.

        Raises:
            IntensityError: the device is missing or not exact, or the process does not come up.
        """
        with self._lock:
            return self._start()

    def prove(self, context: Context, units: int, stop: Stop | None = None) -> Window:
        """Do up to ``units`` units; when ``stop`` is set, those that are finished count.

        Raises:
            IntensityError: the device is missing or not exact, or its process ended.
        """
        window = self.window(context)
        with self._lock:
            self._start()
            self._send(_Wish("prove", context, units))
            told: float | None = None
            while True:
                if told is None and stop is not None and stop.is_set():
                    self._send(_Wish("stop"))
                    told = time.monotonic()
                if told is not None and time.monotonic() - told > _STOP_SECONDS:
                    # A paying task waits for the device.
                    self._end()
                    return window
                answer = self._receive(_LOOK_SECONDS)
                if answer is None:
                    continue
                if answer.done:
                    return window
                window.add(answer.root)

    def window(self, context: Context, roots: Iterable[bytes] = ()) -> Window:
        """A window whose units were done before, by this process or by one that has ended."""
        return Window(context, lambda unit: self._tree(context, unit), roots)

    def release(self) -> None:
        """Let go of the device, which a paying task may want now; the next proof takes hold of it again."""
        with self._lock:
            self._end()

    def _tree(self, context: Context, unit: int) -> Tree:
        with self._lock:
            self._start()
            self._send(_Wish("tree", context, unit))
            answer = self._receive(_TREE_SECONDS)
            if answer is None:
                self._end()
                raise DeviceBusyError(f"unit {unit} was not done again", why=f"it took over {_TREE_SECONDS:.0f} s")
            return Tree(answer.levels[0], answer.levels[1:])

    def _start(self) -> Ready:
        if self._process is not None and self._process.poll() is None and self._ready is not None:
            return self._ready
        self._end()
        command = [sys.executable, "-m", "candela.intensity.remote", self._device, self._profile.name]
        # CUDA counts GPUs as the driver's tools do.
        environment = os.environ | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        answer = self._receive(_START_SECONDS)
        if answer is None or answer.ready is None:
            self._end()
            raise DeviceBusyError(f"{self._device} can't prove", why=f"it was not ready within {_START_SECONDS:.0f} s")
        self._ready = answer.ready
        return self._ready

    def _end(self) -> None:
        process, self._process, self._ready = self._process, None, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # pyright: ignore[reportOptionalMemberAccess]

    def _send(self, wish: _Wish) -> None:
        assert self._process is not None and self._process.stdin is not None  # noqa: S101
        try:
            _write(self._process.stdin, msgspec.msgpack.encode(wish))
        except OSError:
            raise self._gone() from None

    def _receive(self, seconds: float) -> _Answer | None:
        """The next answer, or ``None`` when there is none in time."""
        assert self._process is not None and self._process.stdout is not None  # noqa: S101
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        data = _read(self._process.stdout)
        if data is None:
            raise self._gone()
        answer = msgspec.msgpack.decode(data, type=_Answer)
        if answer.error is not None:
            self._end()
            what, why, fix = answer.error
            raise IntensityError(what, why=why, fix=fix)
        return answer

    def _gone(self) -> IntensityError:
        process = self._process
        self._end()
        return DeviceBusyError(
            f"the prover of {self._device} has ended",
            why=f"exit status {process.returncode if process else None}; what it said is above",
            fix="leave it memory and time on the device",
        )


def _write(pipe: BinaryIO | Any, data: bytes) -> None:
    pipe.write(struct.pack("<I", len(data)) + data)
    pipe.flush()


def _read(pipe: BinaryIO | Any) -> bytes | None:
    header = _exactly(pipe, 4)
    if header is None:
        return None
    (size,) = struct.unpack("<I", header)
    if size > _MAX_FRAME:
        raise ValueError(f"a frame of {size} bytes was announced, at most {_MAX_FRAME} are taken")
    return _exactly(pipe, size)


def _exactly(pipe: BinaryIO | Any, size: int) -> bytes | None:
    # Past the buffer of the file object, so that select sees all there is.
    parts = bytearray()
    while len(parts) < size:
        part = os.read(pipe.fileno(), size - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


class _Stop:
    """Set when a wish has arrived: while a prover works, that can only be to stop."""

    def is_set(self) -> bool:
        return bool(select.select([sys.stdin.buffer], [], [], 0)[0])


def _answer(answer: _Answer) -> None:
    _write(_OUT, msgspec.msgpack.encode(answer))


def _serve(prover: Prover) -> None:
    while (data := _read(sys.stdin.buffer)) is not None:
        wish = msgspec.msgpack.decode(data, type=_Wish)
        if wish.do == "stop" or wish.context is None:
            # It crossed with the end of the work.
            continue
        if wish.do == "prove":
            for root in prover.roots(wish.context, wish.number, _Stop()):
                _answer(_Answer(root=root))
            _answer(_Answer(done=True))
        else:
            _answer(_Answer(levels=prover.tree(wish.context, wish.number).levels))


def _host(profile: Profile) -> tuple[Prover, str, float]:
    path = HostPath()
    return Prover(path, profile), path.kind, path.measure(profile)


def main() -> None:
    """Prove on one device for the process that started this one, until that one ends."""
    device, profile = sys.argv[1], PROFILES[sys.argv[2]]
    try:
        prover, kind, rate = _host(profile) if device == "cpu" else fastest_prover(device, profile)
        _answer(_Answer(ready=Ready(kind, rate)))
        _serve(prover)
    except IntensityError as error:
        _answer(_Answer(error=(error.what, error.why, error.fix)))


if __name__ == "__main__":
    # What libraries print must not come between the answers.
    _OUT = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    main()
