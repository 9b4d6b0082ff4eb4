"""Keep a job away from the host: bubblewrap, a user of its own, and hard limits."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from enum import IntEnum
from functools import cache
from pathlib import Path

import msgspec

from candela.errors import SandboxError
from candela.provider import gpus, seccomp
from candela.provider.control_group import ControlGroup
from candela.provider.gpus import Gpu
from candela.provider.users import FIRST, User
from candela.provider.worker import SOCKET_FD

_SYSTEM_FOLDERS = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/nsswitch.conf")
_GPU_FOLDERS = ("/sys/bus/pci", "/sys/devices", "/sys/module/nvidia")
_WORK = "/job"
_SCRATCH = "/tmp"  # noqa: S108 - the sandbox's own, or a folder that any process may enter
_PACKAGES = "/job-packages"
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_FIRST_FREE_FD = 10


class Tier(IntEnum):
    """How strongly a job is kept away from the host."""

    NONE = 0
    BUBBLEWRAP = 1
    GVISOR = 2
    VIRTUAL_MACHINE = 3


class Limits(msgspec.Struct, frozen=True):
    """What one sandbox may use."""

    memory_bytes: int
    processes: int = 64
    open_files: int = 256
    scratch_bytes: int = 1 << 30
    """Most bytes in its private /tmp, which counts as memory where memory is limited."""
    file_bytes: int = 1 << 30


class Probe(msgspec.Struct):
    """Which tier this machine offers, and if it is not the best one, why."""

    tier: Tier
    detail: str


def _own_processes() -> int:
    uid = os.geteuid()
    return sum(1 for entry in Path("/proc").iterdir() if entry.name.isdigit() and _owner(entry) == uid)


def _owner(entry: Path) -> int:
    try:
        return entry.stat().st_uid
    except OSError:
        return -1


def _existing(paths: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    for path in paths:
        if Path(path).exists():
            yield path, Path(path).is_symlink()


def _python_folders() -> list[str]:
    """The interpreter, its library and its packages: nothing else of the user's."""
    import candela

    folders = {sys.base_prefix, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    folders.add(str(Path(candela.__file__).parent))
    real = Path(sys.executable).resolve().parent.parent
    folders.add(str(real))
    return sorted(folder for folder in folders if not folder.startswith("/usr/") and Path(folder).exists())


def _interpreter() -> str:
    return str(Path(sys.executable).resolve())


def _python_path() -> str:
    import candela

    return os.pathsep.join(
        dict.fromkeys(
            [str(Path(candela.__file__).parent.parent), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
        )
    )


def _bubblewrap(work: Path, packages: Path | None, uid: int, scratch_bytes: int) -> list[str]:
    command = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    command += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv", "--hostname", "sandbox"]
    if os.geteuid() == 0:
        # Root sets the namespaces up and then becomes a user that owns nothing, which needs these two for a moment.
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
    else:
        command += ["--unshare-user", "--disable-userns", "--uid", str(uid), "--gid", str(uid)]
    for path, link in _existing(_SYSTEM_FOLDERS):
        command += ["--symlink", str(Path(path).readlink()), path] if link else ["--ro-bind", path, path]
    command += ["--perms", "0755", "--dir", "/etc"]
    for path, _ in _existing(_SYSTEM_FILES):
        command += ["--ro-bind", path, path]
    # Before what is bound below, which may itself lie under /tmp and would be hidden.
    command += ["--perms", "1777", "--size", str(scratch_bytes), "--tmpfs", _SCRATCH]
    # Bound one by one, so that nothing beside them in a home folder can be seen.
    for folder in _python_folders():
        for parent in (each for each in reversed(Path(folder).parents[:-1]) if str(each) != _SCRATCH):
            command += ["--perms", "0755", "--dir", str(parent)]
        command += ["--ro-bind", folder, folder]
    command += ["--proc", "/proc", "--dev", "/dev", "--ro-bind", str(work), _WORK]
    if packages is not None:
        command += ["--ro-bind", str(packages), _PACKAGES]
    return command


def _screen() -> int | None:
    """The filter of system calls, at a descriptor that is not the worker's socket."""
    found = seccomp.descriptor()
    if found is None:
        return None
    try:
        return fcntl.fcntl(found, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD)
    finally:
        os.close(found)


def _screened(screen: int | None) -> list[str]:
    return [] if screen is None else ["--seccomp", str(screen)]


_COUNT_GPUS = """
import ctypes
driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
failure = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
print(f"CUDA error {failure}" if failure else f"{count.value} GPU")
"""
_POWERLESS = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]


@cache
def _others_may_enter() -> bool:
    """Whether a user that owns nothing can run this interpreter and read its packages."""
    folders = [Path(each) for each in _python_folders()] + [Path(_interpreter()).parent]
    return all(each.stat().st_mode & 0o001 for folder in folders for each in [folder, *folder.parents])


def _plain_process() -> str:
    if os.geteuid() == 0 and not _others_may_enter():
        return "jobs would run as root without capabilities: no other user can enter the folder of this Python"
    return "jobs would run as plain processes with limits only"


def _become(uid: int) -> list[str]:
    if os.geteuid() != 0:
        return []
    user = ["--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    return ["setpriv", *user, "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]


def _holding(gpu: Gpu) -> list[str]:
    """The device nodes of one GPU, and what its driver reads of the machine."""
    command = [each for node in gpu.nodes for each in ("--dev-bind", node, node)]
    for path, _ in _existing(_GPU_FOLDERS):
        command += ["--ro-bind", path, path]
    folder = gpus.library_folder()
    # Driver libraries outside of the system's folders, as in containers.
    if folder is not None and not folder.startswith(_SYSTEM_FOLDERS):
        command += ["--ro-bind", folder, folder]
    return command


def _environment(packages: Path | None, inside: bool, gpu: Gpu | None) -> dict[str, str]:
    path = _python_path()
    if packages is not None:
        path = f"{_PACKAGES if inside else packages}{os.pathsep}{path}"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": _SCRATCH,
        "LANG": "C.UTF-8",
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        # Sets of text come in the same order everywhere, so that auditors find the same bytes.
        "PYTHONHASHSEED": "0",
        # One task has one device's share of the machine; libraries that start a thread per core would fight over it.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MPLCONFIGDIR": _SCRATCH,
        # A job that did not ask for a GPU finds none, even where it runs as a plain process.
        "CUDA_VISIBLE_DEVICES": "",
    }
    if gpu is not None:
        # In a sandbox there is no other one to count.
        environment["CUDA_VISIBLE_DEVICES"] = "0" if inside else str(gpu.index)
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        environment |= {} if (folder := gpus.library_folder()) is None else {"LD_LIBRARY_PATH": folder}
    return environment


class Sandbox:
    """One running sandbox with a worker inside.

    Args:
        tier: ``BUBBLEWRAP``, or ``NONE`` for a plain process with limits only.
        work: the folder with the job's files, seen read-only.
        packages: a folder with installed requirements, seen read-only.
        module, entry: what the worker imports.
        limits: what it may use.
        gpu: the GPU that it holds, if any; of the machine's devices it sees this one alone.
        traced: whether the worker takes orders of steps rather than whole tasks.

    Raises:
        SandboxError: it can't be started.
    """

    def __init__(
        self,
        tier: Tier,
        work: Path,
        packages: Path | None,
        module: str,
        entry: str,
        limits: Limits,
        gpu: Gpu | None = None,
        traced: bool = False,
    ) -> None:
        self.limits, self._gpu = limits, gpu
        self._user = User() if os.geteuid() == 0 else None
        self._uid = os.geteuid() if self._user is None else self._user.uid
        # What is in its /tmp is memory, and counts as the task's.
        self.group = ControlGroup.create(limits.memory_bytes, limits.processes)
        self.connection, theirs = socket.socketpair()
        reading, writing = os.pipe()
        screen = _screen() if tier is Tier.BUBBLEWRAP else None
        names = (module, entry, "trace") if traced else (module, entry)
        command = self._command(tier, work, packages, names, screen)
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env=_environment(packages, False, gpu) if tier is Tier.NONE else {"PATH": "/usr/bin:/bin"},
                cwd=_SCRATCH,
                close_fds=True,
                pass_fds=(SOCKET_FD,) if screen is None else (SOCKET_FD, screen),
                preexec_fn=self._prepare(tier, theirs.fileno()),
                start_new_session=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            self.connection.close()
            os.close(reading)
            self._forget()
            raise SandboxError("the sandbox could not be started", why=str(error)) from error
        finally:
            theirs.close()
            os.close(writing)
            if screen is not None:
                os.close(screen)
        self.output = reading

    def _command(
        self, tier: Tier, work: Path, packages: Path | None, names: tuple[str, ...], screen: int | None
    ) -> list[str]:
        folder = _WORK if tier is Tier.BUBBLEWRAP else str(work)
        module, entry, *mode = names
        program = [_interpreter(), "-P", "-m", "candela.provider.worker", module, entry, folder, *mode]
        if tier is Tier.NONE:
            return program if os.geteuid() != 0 or _others_may_enter() else [*_POWERLESS, *program]
        command = _bubblewrap(work, packages, self._uid, self.limits.scratch_bytes)
        command += _holding(self._gpu) if self._gpu is not None else []
        command += ["--chdir", _SCRATCH, *_screened(screen)]
        for name, value in _environment(packages, True, self._gpu).items():
            command += ["--setenv", name, value]
        return [*command, "--", *_become(self._uid), *program]

    def _prepare(self, tier: Tier, theirs: int) -> Callable[[], None]:
        limits, group, uid = self.limits, self.group, self._uid
        # Without root the provider's own processes count as well.
        processes = limits.processes + (0 if os.geteuid() == 0 else _own_processes())
        drop = tier is Tier.NONE and os.geteuid() == 0 and _others_may_enter()

        def prepare() -> None:
            os.dup2(theirs, SOCKET_FD, inheritable=True)
            if group is not None:
                group.join()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            # A GPU's driver reserves more addresses than there is memory.
            bounded = resource.RLIMIT_AS if self._gpu is None else resource.RLIMIT_DATA
            resource.setrlimit(bounded, (limits.memory_bytes, limits.memory_bytes))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
            resource.setrlimit(resource.RLIMIT_NOFILE, (limits.open_files, limits.open_files))
            resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
            if drop:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            if tier is Tier.NONE:
                # Bubblewrap sees to this itself.
                _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

        return prepare

    def end(self) -> None:
        """Let every process in it end; safe to call while another thread talks to it."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        if self.group is not None:
            self.group.kill()

    def kill(self) -> None:
        """End every process in it at once, and forget it."""
        self.end()
        self.process.wait()
        self._forget()
        with contextlib.suppress(OSError):
            self.connection.close()

    def _forget(self) -> None:
        if self.group is not None:
            self.group.remove()
        if self._user is not None:
            self._user.release()

    def close_output(self) -> None:
        """Close the pipe that carries what its processes print."""
        with contextlib.suppress(OSError):
            os.close(self.output)


@cache
def probe() -> Probe:
    """Find out by trying which tier this machine offers."""
    if shutil.which("bwrap") is None:
        return Probe(Tier.NONE, f"bubblewrap is not installed (Debian: apt-get install bubblewrap); {_plain_process()}")
    said = _try_inside("print('inside')", None)
    if said == "inside":
        return Probe(Tier.BUBBLEWRAP, "bubblewrap: no network, no capabilities, read-only root, own user")
    return Probe(Tier.NONE, f"bubblewrap was refused by the system: {said}; {_plain_process()}")


def refusal(gpu: Gpu) -> str:
    """Why a sandbox can't hold a GPU, found by trying; empty where it can."""
    said = _try_inside(_COUNT_GPUS, gpu)
    return "" if said == "1 GPU" else f"its driver does not work in a sandbox: {said}"


def _try_inside(program: str, gpu: Gpu | None) -> str:
    """What a Python program prints in a sandbox, or the last line of its complaint."""
    uid = FIRST if os.geteuid() == 0 else os.geteuid()
    screen = _screen()
    command = [*_bubblewrap(Path("/usr"), None, uid, 1 << 20), *(_holding(gpu) if gpu is not None else [])]
    for name, value in _environment(None, True, gpu).items():
        command += ["--setenv", name, value]
    command += [*_screened(screen), "--", *_become(uid), _interpreter(), "-c", program]
    try:
        passed = () if screen is None else (screen,)
        result = subprocess.run(command, capture_output=True, timeout=20, text=True, check=False, pass_fds=passed)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        if screen is not None:
            os.close(screen)
    return result.stdout.strip() or (result.stderr.strip().splitlines() or ["no reason given"])[-1]
