"""A filter of system calls for sandboxes: what no job needs and kernels' holes are found in.

Everything else is allowed. Refused calls fail with "Operation not permitted", ``clone3`` with "not implemented" so that
libraries fall back to ``clone``, whose flags can be read; calls of another architecture end the process.
"""

from __future__ import annotations

import os
import platform
import struct

import msgspec

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_NOT_PERMITTED, _NOT_IMPLEMENTED = 0x00050000 | 1, 0x00050000 | 38
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_NEW_USER_NAMESPACE = 0x10000000
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: type into the terminal of another."""
_OTHER_ABI = 0x40000000
"""Numbers from here on are x32 calls on x86-64, which would pass by the list."""

_COMMON = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "pidfd_getfd": 438,
}
_X86_64 = _COMMON | {
    "ptrace": 101,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kexec_load": 246,
    "kexec_file_load": 320,
    "bpf": 321,
    "perf_event_open": 298,
    "keyctl": 250,
    "add_key": 248,
    "request_key": 249,
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "unshare": 272,
    "setns": 308,
    "userfaultfd": 323,
    "open_by_handle_at": 304,
    "name_to_handle_at": 303,
    "init_module": 175,
    "finit_module": 313,
    "delete_module": 176,
    "reboot": 169,
    "swapon": 167,
    "swapoff": 168,
    "acct": 163,
    "settimeofday": 164,
    "clock_settime": 227,
    "quotactl": 179,
    "iopl": 172,
    "ioperm": 173,
}
_AARCH64 = _COMMON | {
    "ptrace": 117,
    "process_vm_readv": 270,
    "process_vm_writev": 271,
    "kexec_load": 104,
    "kexec_file_load": 294,
    "bpf": 280,
    "perf_event_open": 241,
    "keyctl": 219,
    "add_key": 217,
    "request_key": 218,
    "mount": 40,
    "umount2": 39,
    "pivot_root": 41,
    "chroot": 51,
    "unshare": 97,
    "setns": 268,
    "userfaultfd": 282,
    "open_by_handle_at": 265,
    "name_to_handle_at": 264,
    "init_module": 105,
    "finit_module": 273,
    "delete_module": 106,
    "reboot": 142,
    "swapon": 224,
    "swapoff": 225,
    "acct": 89,
    "settimeofday": 170,
    "clock_settime": 112,
    "quotactl": 60,
}


class Machine(msgspec.Struct, frozen=True):
    """What the filter must know of an architecture: its number for audit, and its system calls'."""

    audit: int
    clone: int
    ioctl: int
    refused: dict[str, int]
    clone3: int = 435


MACHINES = {
    "x86_64": Machine(0xC000003E, 56, 16, _X86_64),
    "aarch64": Machine(0xC00000B7, 220, 29, _AARCH64),
}


def program(machine: Machine) -> bytes:
    """The filter as classic BPF, as ``bwrap --seccomp`` reads it."""
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, machine.audit, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        *_refuse_if(_AT_LEAST, _OTHER_ABI, _NOT_PERMITTED),
        *_refuse_if(_EQUAL, machine.clone3, _NOT_IMPLEMENTED),
    ]
    for number in sorted(machine.refused.values()):
        steps += _refuse_if(_EQUAL, number, _NOT_PERMITTED)
    steps += _inspect(machine.clone, _FIRST_ARGUMENT, _refuse_if(_ANY_BIT, _NEW_USER_NAMESPACE, _NOT_PERMITTED))
    typing = [step for request in _TERMINAL_INPUT for step in _refuse_if(_EQUAL, request, _NOT_PERMITTED)]
    steps += _inspect(machine.ioctl, _SECOND_ARGUMENT, typing)
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def descriptor() -> int | None:
    """A descriptor from which the filter for this machine can be read once, or ``None`` where there is none."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return None
    file = os.memfd_create("candela-seccomp")
    os.write(file, program(machine))
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _refuse_if(test: int, value: int, answer: int) -> list[bytes]:
    return [_step(test, value, 0, 1), _step(_RETURN, answer)]


def _inspect(call: int, argument: int, checks: list[bytes]) -> list[bytes]:
    """Checks of one call's argument; whatever passes them is allowed."""
    checks = [_step(_LOAD, argument), *checks, _step(_RETURN, _ALLOW)]
    return [_step(_EQUAL, call, 0, len(checks)), *checks]
