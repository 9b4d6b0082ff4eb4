"""Jobs that attack the provider get a clear outcome, and the provider goes on."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from candela import values
from candela.artefacts import ArtefactStore
from candela.chain.market import ANY_DEVICE, JobState, Outcome, Terms
from candela.errors import ArtefactError, BundleError, RequirementError
from candela.manifest import JobManifest, decode_bundle, encode_bundle, encode_manifest
from candela.provider.devices import CPU, LocalDevice
from candela.provider.executor import Executor, Finished
from candela.provider.jobs import KnownJob
from candela.provider.preparation import prepare
from candela.provider.sandbox import Tier, probe

MIB = 1 << 20
DEVICE = LocalDevice(CPU, "test", 1 << 34, 10**9)
CUSTOMER = "0x" + "c1" * 20
Run = Callable[..., Finished]

needs_bubblewrap = pytest.mark.skipif(probe().tier < Tier.BUBBLEWRAP, reason=f"no bubblewrap here: {probe().detail}")


def manifest(**changes: object) -> JobManifest:
    facts: dict[str, object] = {
        "name": "hostile",
        "module": "job",
        "entry": "main",
        "source": "0" * 64,
        "requirements": [],
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "inputs": ["0" * 64],
        "memory_bytes": 512 * MIB,
        "timeout_seconds": 20,
        "output_bytes": MIB,
    }
    return JobManifest(**(facts | changes))  # type: ignore[arg-type]


class Attack:
    """A job that misbehaves when it is told to."""

    def __init__(self, body: str, **changes: object) -> None:
        self.logs: list[bytes] = []
        lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
        source = f"import os, socket, struct, time\ndef main(attack, *a):\n    if not attack: return 'fine'\n{lines}"
        files = {"job.py": source.encode()}
        self.executor = Executor(manifest(**changes), files, None, Tier.BUBBLEWRAP, DEVICE, self.logs.append)

    def run(self, *arguments: object) -> Finished:
        return self.executor.run(values.encode({"args": [True, *arguments], "kwargs": {}}))

    def goes_on(self) -> bool:
        finished = self.executor.run(values.encode({"args": [False], "kwargs": {}}))
        return finished.outcome is Outcome.OK and values.decode(finished.output) == {"value": "fine"}


@pytest.fixture
def attack() -> Iterator[Callable[..., Attack]]:
    running: list[Attack] = []

    def start(body: str, **changes: object) -> Attack:
        running.append(Attack(body, **changes))
        return running[-1]

    yield start
    for each in running:
        each.executor.close()


def error_of(finished: Finished) -> str:
    error = values.decode(finished.output)["error"]
    return f"{error['type']}: {error['message']}"


@needs_bubblewrap
def test_a_fork_bomb_runs_into_its_limit(attack: Callable[..., Attack]) -> None:
    job = attack(
        """
children = 0
while children < 100_000:
    try:
        if os.fork() == 0:
            time.sleep(1000)
            os._exit(0)
    except OSError as error:
        return children
    children += 1
"""
    )
    finished = job.run()
    assert finished.outcome in (Outcome.OK, Outcome.LIMIT)
    if finished.outcome is Outcome.OK:
        assert 0 < values.decode(finished.output)["value"] < 200
    root = job.executor._sandbox.process.pid if job.executor._sandbox else None
    family = psutil.Process(root).children(recursive=True) if root else []
    job.executor.close_sandbox()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive
    assert job.goes_on()


@needs_bubblewrap
def test_memory_ends_at_the_limit(attack: Callable[..., Attack]) -> None:
    job = attack("hoard = []\nwhile True: hoard.append(bytearray(1 << 24))", memory_bytes=256 * MIB)
    finished = job.run()
    assert finished.outcome is Outcome.LIMIT
    assert "256 MiB" in error_of(finished)
    assert job.goes_on()


@needs_bubblewrap
def test_memory_of_many_processes_ends_too(attack: Callable[..., Attack]) -> None:
    job = attack(
        """
for _ in range(20):
    if os.fork() == 0:
        hoard = bytearray(b'x') * (100 << 20)
        time.sleep(1000)
time.sleep(1000)
""",
        memory_bytes=128 * MIB,
        timeout_seconds=5,
    )
    assert job.run().outcome in (Outcome.LIMIT, Outcome.TIMEOUT)
    assert job.goes_on()


@needs_bubblewrap
def test_the_disk_can_not_be_filled(attack: Callable[..., Attack]) -> None:
    job = attack(
        """
written = 0
for number in range(100):
    with open(f'/tmp/{number}', 'wb') as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
            written += 1 << 20
return written
"""
    )
    free = psutil.disk_usage("/").free
    finished = job.run()
    assert finished.outcome in (Outcome.USER_ERROR, Outcome.LIMIT)
    assert free - psutil.disk_usage("/").free < 512 * MIB
    job.executor.close_sandbox()
    assert job.goes_on()


@needs_bubblewrap
def test_the_network_is_out_of_reach(attack: Callable[..., Attack]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        job = attack("socket.create_connection(('127.0.0.1', a[0]), timeout=2)\nreturn 'connected'")
        finished = job.run(server.getsockname()[1])
    assert finished.outcome is Outcome.USER_ERROR
    interfaces = attack("return [name for _, name in socket.if_nameindex()]")
    assert values.decode(interfaces.run().output) == {"value": ["lo"]}


@needs_bubblewrap
def test_files_of_the_host_can_not_be_read_or_written(attack: Callable[..., Attack], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    secret.chmod(0o644)
    job = attack(
        """
found = []
for path in a[0]:
    try:
        found.append(os.listdir(path) if os.path.isdir(path) else open(path).read())
    except OSError:
        pass
for path in ('/', '/etc', '/usr', '/job', os.path.dirname(os.__file__)):
    try:
        open(os.path.join(path, 'planted'), 'w')
        found.append(path)
    except OSError:
        pass
return found
"""
    )
    paths = [
        str(secret),
        "/etc/passwd",
        "/etc/shadow",
        "/var",
        "/sys/kernel",
        str(Path.home() / ".ssh"),
        "/proc/1/root",
    ]
    finished = job.run(paths)
    assert values.decode(finished.output) == {"value": []}


@needs_bubblewrap
def test_processes_of_the_host_are_invisible(attack: Callable[..., Attack]) -> None:
    job = attack("return [int(name) for name in os.listdir('/proc') if name.isdigit()]")
    found = values.decode(job.run().output)["value"]
    assert os.getpid() not in found
    assert len(found) < 10


@needs_bubblewrap
def test_killing_everything_kills_only_the_sandbox(attack: Callable[..., Attack]) -> None:
    job = attack("try:\n    os.kill(-1, 9)\nfinally:\n    os.kill(os.getpid(), 9)")
    assert job.run().outcome is Outcome.LIMIT
    assert job.goes_on()


@needs_bubblewrap
@pytest.mark.parametrize(
    "call",
    [
        "libc.unshare(0x10000000)",
        "libc.unshare(0x00020000)",
        "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
        "libc.syscall(ctypes.c_long(CLONE), ctypes.c_ulong(0x10000000 | 17), 0, 0, 0, 0)",
        "libc.ioctl(0, 0x5412, b'x')",
        "libc.process_vm_readv(os.getpid(), 0, 0, 0, 0, 0)",
    ],
    ids=["user namespace", "mount namespace", "mount", "clone", "terminal input", "memory of others"],
)
def test_doors_into_the_kernel_are_shut(attack: Callable[..., Attack], call: str) -> None:
    job = attack(
        f"""
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
CLONE = {{'x86_64': 56, 'aarch64': 220}}[platform.machine()]
result = {call}
if result == 0 and {call.startswith("libc.syscall")!r}:
    os._exit(0)
return [result, errno.errorcode.get(ctypes.get_errno())]
"""
    )
    assert values.decode(job.run().output) == {"value": [-1, "EPERM"]}
    assert job.goes_on()


@needs_bubblewrap
def test_a_sibling_can_not_be_traced(attack: Callable[..., Attack]) -> None:
    job = attack(
        """
import ctypes, errno
child = os.fork()
if child == 0:
    time.sleep(1000)
libc = ctypes.CDLL(None, use_errno=True)
attached = libc.ptrace(16, child, None, None)
reason = errno.errorcode.get(ctypes.get_errno())
os.kill(child, 9)
return [attached, reason]
"""
    )
    assert values.decode(job.run().output) == {"value": [-1, "EPERM"]}
    assert job.goes_on()


@needs_bubblewrap
def test_threads_and_processes_still_start(attack: Callable[..., Attack]) -> None:
    job = attack(
        """
import subprocess, threading
found = []
thread = threading.Thread(target=lambda: found.append(1))
thread.start()
thread.join()
return [found, subprocess.run(['/bin/echo', 'out'], capture_output=True).stdout]
"""
    )
    assert values.decode(job.run().output) == {"value": [[1], b"out\n"]}


@needs_bubblewrap
def test_a_task_that_never_ends_times_out(attack: Callable[..., Attack]) -> None:
    job = attack("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass", timeout_seconds=1)
    started = time.monotonic()
    finished = job.run()
    assert finished.outcome is Outcome.TIMEOUT
    assert time.monotonic() - started < 5
    assert "1 s" in error_of(finished)
    assert job.goes_on()


@needs_bubblewrap
def test_a_result_that_trickles_in_times_out(attack: Callable[..., Attack]) -> None:
    job = attack(
        "os.write(3, struct.pack('<I', 1000))\nwhile True:\n    os.write(3, b'x')\n    time.sleep(0.2)",
        timeout_seconds=1,
    )
    assert job.run().outcome is Outcome.TIMEOUT
    assert job.goes_on()


@needs_bubblewrap
def test_a_huge_result_is_refused(attack: Callable[..., Attack]) -> None:
    job = attack("return bytes(2 << 20)")
    finished = job.run()
    assert finished.outcome is Outcome.LIMIT
    assert "output 1 MiB" in error_of(finished)
    assert job.goes_on()


@needs_bubblewrap
def test_a_huge_log_is_cut_and_the_task_goes_on(attack: Callable[..., Attack]) -> None:
    job = attack("for _ in range(64): print('x' * (1 << 20))\nreturn 1")
    assert values.decode(job.run().output) == {"value": 1}
    assert 0 < sum(map(len, job.logs)) <= 10 * MIB


@needs_bubblewrap
@pytest.mark.parametrize(
    "lie",
    [
        "struct.pack('<I', 0xffffffff)",
        "struct.pack('<I', 4) + b'\\xff\\xff\\xff\\xff'",
        "struct.pack('<I', 1) + b'\\xc0'",
        "struct.pack('<I', 0)",
    ],
)
def test_lying_frames_are_a_limit(attack: Callable[..., Attack], lie: str) -> None:
    job = attack(f"os.write(3, {lie})\nwhile True: time.sleep(1)")
    assert job.run().outcome is Outcome.LIMIT
    assert job.goes_on()


@pytest.mark.parametrize("path", ["../job.py", "/etc/passwd", "a/../../b", "", ".", "a//b", "./a", "a\0b", "x" * 501])
def test_paths_that_leave_a_bundle_are_refused(path: str) -> None:
    import msgpack

    with pytest.raises(BundleError):
        decode_bundle(msgpack.packb({path: b""}))


@pytest.fixture
def store(tmp_path: Path) -> ArtefactStore:
    return ArtefactStore((tmp_path / "store").as_uri())


def known_job(spec_hash: str, tasks: int = 1) -> KnownJob:
    terms = Terms(bytes.fromhex(spec_hash), 1, tasks, 1, 1, ANY_DEVICE, 0, 0, 0, 20, 60, 60, 2**40)
    return KnownJob(1, CUSTOMER, terms, JobState.OPEN, 0)


def attempt(store: ArtefactStore, job: KnownJob, tmp_path: Path) -> None:
    prepare(job, store, tmp_path / "packages", Tier.BUBBLEWRAP, DEVICE, None).executor.close()


def test_content_that_is_not_what_its_hash_says_is_refused(store: ArtefactStore, tmp_path: Path) -> None:
    digest = store.put(encode_manifest(manifest(source=store.put(encode_bundle({"job.py": b""})))))
    path = tmp_path / "store" / "sha256" / digest[:2] / digest
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(ArtefactError, match="something else"):
        attempt(store, known_job(digest), tmp_path)


def test_a_manifest_that_contradicts_the_chain_is_refused(store: ArtefactStore, tmp_path: Path) -> None:
    digest = store.put(encode_manifest(manifest()))
    with pytest.raises(BundleError, match="1 inputs for 2 tasks"):
        attempt(store, known_job(digest, tasks=2), tmp_path)
    digest = store.put(encode_manifest(manifest(timeout_seconds=21)))
    with pytest.raises(BundleError, match="timeout of 21 s"):
        attempt(store, known_job(digest), tmp_path)
    digest = store.put(encode_manifest(manifest(memory_bytes=1 << 40)))
    with pytest.raises(BundleError, match="MiB"):
        attempt(store, known_job(digest), tmp_path)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"\xdf\xff\xff\xff\xff", b"\x91" * 5000])
def test_a_malformed_manifest_is_refused(store: ArtefactStore, tmp_path: Path, data: bytes) -> None:
    with pytest.raises((BundleError, RecursionError)):
        attempt(store, known_job(store.put(data)), tmp_path)


@pytest.mark.parametrize("requirement", ["--index-url=http://x", "x @ http://evil", "../x", "-r/etc/passwd", "a==1 b"])
def test_requirements_that_are_not_names_are_refused(store: ArtefactStore, tmp_path: Path, requirement: str) -> None:
    digest = store.put(encode_manifest(manifest(requirements=[requirement])))
    with pytest.raises(BundleError, match="requirement"):
        attempt(store, known_job(digest), tmp_path)


def test_another_python_is_refused(store: ArtefactStore, tmp_path: Path) -> None:
    source = store.put(encode_bundle({"job.py": b""}))
    digest = store.put(encode_manifest(manifest(source=source, python="2.7")))
    with pytest.raises(RequirementError, match=r"needs Python 2\.7"):
        attempt(store, known_job(digest), tmp_path)
