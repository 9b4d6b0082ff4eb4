"""A Python function that can run on other people's machines."""

from __future__ import annotations

import functools
import inspect
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, cast

import msgspec

from candela import _progress, manifest, values
from candela.amounts import WORK_SCALE, parse_cnd
from candela.errors import BundleError, UsageError
from candela.results import Handle, Stream, Work
from candela.verification import Freivalds, Replay, Replicate, Verification

if TYPE_CHECKING:
    from candela.app import App

P = ParamSpec("P")
R = TypeVar("R")

Device = Literal["any", "cpu", "gpu"]
Sandbox = Literal["none", "bubblewrap"]
TIERS: dict[str, int] = {"none": 0, "bubblewrap": 1}
_UNITS = {"kib": 10, "mib": 20, "gib": 30, "tib": 40}
_GPU_UCD = 2 * 10**9
_CPU_UCD = 10**6


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a function asks of whoever runs it."""

    device: Device = "any"
    timeout_seconds: int = 600
    retries: int = 3
    memory_bytes: int = 2 << 30
    requirements: tuple[str, ...] = ()
    max_price_nit: int = 2 * 10**13
    """Most nit per work unit."""
    min_tier: int = 1
    verify: Verification | None = None
    """How results are audited; ``None`` leaves disputes alone."""

    @property
    def task_work_limit_uwu(self) -> int:
        """Most work that one task may be charged, in micro work units."""
        return self.timeout_seconds * (_GPU_UCD if self.device == "gpu" else _CPU_UCD)

    @property
    def task_escrow_nit(self) -> int:
        """Most that one task can cost."""
        return self.task_work_limit_uwu * self.max_price_nit // WORK_SCALE


def options(
    *,
    device: Device,
    timeout: int,
    retries: int,
    memory: str | int,
    requirements: Iterable[str],
    max_price: str,
    sandbox: Sandbox,
    verify: Verification | None = None,
) -> Options:
    """Check the arguments of ``@app.function``.

    Raises:
        UsageError: one of them makes no sense.
    """
    if device not in ("any", "cpu", "gpu"):
        raise UsageError(f"device={device!r} is unknown", fix='choose "any", "cpu" or "gpu"')
    if sandbox not in TIERS:
        raise UsageError(f"sandbox={sandbox!r} is unknown", fix='choose "bubblewrap" or "none"')
    if not 0 < timeout <= 7 * 24 * 3600:
        raise UsageError(f"timeout={timeout!r} is out of range", why="seconds from 1 to 604,800")
    if not 0 <= retries <= 255:
        raise UsageError(f"retries={retries!r} is out of range", why="from 0 to 255")
    if verify is not None and not isinstance(verify, Replicate | Replay | Freivalds):
        raise UsageError(
            f"verify={verify!r} is no policy", fix="pass None, Replicate(...), Replay(...) or Freivalds(...)"
        )
    if isinstance(verify, Replay) and verify.trace:
        if device == "gpu":
            raise UsageError(
                "a task with a trace can't ask for a GPU",
                why="its states are compared byte by byte, and GPUs of two kinds round differently",
                fix='use device="cpu", or leave trace out',
            )
        device = "cpu"
    price = parse_cnd(max_price)
    if not 0 < price < 2**80:
        raise UsageError(f"max_price={max_price!r} is out of range", why="CND per work unit, more than nothing")
    if isinstance(requirements, str):
        raise UsageError("requirements is one text", fix=f"pass a list: requirements=[{requirements!r}]")
    return Options(
        device=device,
        timeout_seconds=int(timeout),
        retries=retries,
        memory_bytes=parse_bytes(memory),
        requirements=tuple(requirements),
        max_price_nit=price,
        min_tier=TIERS[sandbox],
        verify=verify,
    )


def parse_bytes(size: str | int) -> int:
    """Bytes for a size such as ``"512MiB"`` or ``"2GiB"``.

    Raises:
        UsageError: not a positive size with a binary unit.
    """
    text = str(size).strip().lower()
    shift = _UNITS.get(text[-3:], 0)
    number = text[:-3] if shift else text
    try:
        count = int(float(number) * (1 << shift))
    except (ValueError, OverflowError):
        count = 0
    if not 0 < count <= 1 << 46:
        raise UsageError(f"{size!r} is not a size", fix='write it like "512MiB" or "2GiB"')
    return count


def _last(states: Iterable[R]) -> R:
    """The result of a stepwise function, here as elsewhere."""
    kept = deque(states, maxlen=1)
    if not kept:
        raise ValueError("a traced task yields at least one state")
    return kept.pop()


def _require_stepwise(function: Callable[..., Any], name: str) -> None:
    if not inspect.isgeneratorfunction(function):
        raise UsageError(f"{name} has a trace, but is no generator", fix="yield the whole state after each step")
    parameter = inspect.signature(function).parameters.get("state")
    if parameter is None or parameter.default is not None or parameter.kind is parameter.POSITIONAL_ONLY:
        raise UsageError(
            f"{name} has a trace, but can't go on from a state",
            why="a dispute does one step again, from the state before it",
            fix="take state=None, and where it is given yield what follows it",
        )


class Spec(msgspec.Struct):
    """Everything about a job that does not depend on the network."""

    manifest: manifest.JobManifest
    bundle: bytes
    files: dict[str, bytes]
    inputs: list[bytes]
    options: Options


class Function(Generic[P, R]):
    """A decorated function: call it to run it here, or use :meth:`remote`, :meth:`map` and :meth:`spawn`.

    Attributes:
        function: the plain function.
    """

    def __init__(self, app: App, function: Callable[P, R], options: Options) -> None:
        functools.update_wrapper(self, function)
        self.__name__: str = getattr(function, "__name__", type(function).__name__)
        self.app, self.function, self.options = app, function, options
        if self._traced:
            _require_stepwise(function, self.__name__)

    @property
    def _traced(self) -> bool:
        return isinstance(self.options.verify, Replay) and self.options.verify.trace

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in this process."""
        result = self.function(*args, **kwargs)
        return _last(cast("Iterable[R]", result)) if self._traced else result

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it elsewhere and wait for its value.

        Raises:
            Exception: what the function raised, with the remote traceback in its notes.
        """
        job = self._start([(args, kwargs)])
        try:
            return job.results.get(0)
        except BaseException:
            job.cancel()
            raise

    def spawn(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Run it elsewhere and go on; the handle gives its value later."""
        return Handle(self._start([(args, kwargs)]))

    def map(self, inputs: Iterable[Any], *, ordered: bool = True, timeout: float | None = None) -> Stream[R]:
        """Run it for each input; the values stream back while others are still running.

        Args:
            inputs: one argument per task.
            ordered: give values in the order of ``inputs``, else as they arrive.
            timeout: most seconds to wait for the next value; then the job is cancelled and
                :class:`~candela.errors.WaitTimeoutError` tells why nothing came.
        """
        return self._stream([((each,), {}) for each in inputs], ordered, timeout)

    def starmap(
        self, inputs: Iterable[Iterable[Any]], *, ordered: bool = True, timeout: float | None = None
    ) -> Stream[R]:
        """As :meth:`map`, with a tuple of arguments per task."""
        return self._stream([(tuple(each), {}) for each in inputs], ordered, timeout)

    def _stream(
        self, calls: list[tuple[tuple[Any, ...], dict[str, Any]]], ordered: bool, timeout: float | None
    ) -> Stream[R]:
        if not calls:
            return Stream(None, (each for each in ()))
        job = self._start(calls)
        results = job.results
        source = results.ordered(timeout) if ordered else results.as_they_arrive(timeout)

        def values_of() -> Any:
            try:
                yield from _progress.track(source, results.count, self.__name__)
            except BaseException:
                job.cancel()
                raise

        return Stream(job, values_of())

    def _start(self, calls: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> Work:
        return self.app.current(self.__name__).start(self.spec(calls))

    def spec(self, calls: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> Spec:
        """Describe a job that runs ``calls``.

        Raises:
            BundleError: the source can't be collected.
            ValueTypeError: an argument can't travel.
        """
        source, bundle = self._source
        inputs = [values.encode({"args": list(args), "kwargs": kwargs}) for args, kwargs in calls]
        described = manifest.JobManifest(
            name=self.app.name,
            module=source.module,
            entry=self._entry(),
            source=manifest.sha256(bundle),
            requirements=source.requirements,
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            inputs=[manifest.sha256(each) for each in inputs],
            device=self.options.device,
            memory_bytes=self.options.memory_bytes,
            timeout_seconds=self.options.timeout_seconds,
            verify=self.options.verify,
        )
        return Spec(manifest=described, bundle=bundle, files=source.files, inputs=inputs, options=self.options)

    @functools.cached_property
    def _source(self) -> tuple[manifest.Source, bytes]:
        # Collected once: what this process has imported does not change with its files either.
        source = manifest.collect(self._file(), self.options.requirements)
        return source, manifest.encode_bundle(source.files)

    def _entry(self) -> str:
        name = self.function.__qualname__
        if "<" in name:
            raise BundleError(
                f"{name} is defined inside of another function, so no other machine can import it",
                fix="move it to the top level of its file",
            )
        return name

    def _file(self) -> Path:
        try:
            name = inspect.getsourcefile(self.function)
        except TypeError:
            name = None
        if name is None or not Path(name).is_file():
            raise BundleError(
                f"the source of {self.function.__qualname__} is not in a file, so it can't travel",
                why="it was typed into an interpreter, or it is not written in Python",
                fix="put it into a .py file",
            )
        return Path(name).resolve()
