"""The court's seccomp filter: what a locked-down Python process needs to answer over open sockets, and nothing else.

A classic BPF program over `struct seccomp_data` (linux/seccomp.h): number at octet 0, architecture at 4, arguments from 16, 8 octets each.
What is not listed is refused with EPERM, so that the self-test can try it and live; a foreign architecture is killed, since its numbers
mean other calls.
"""

import platform
import struct
from dataclasses import dataclass

_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM = 1
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT = 0x40000000  # the x32 ABI reaches the same kernel calls under other numbers

PROT_EXEC = 4
FIONBIO = 0x5421


@dataclass(frozen=True, slots=True)
class Machine:
    audit_architecture: int
    calls: dict[str, int]


# linux/audit.h, and the kernel's own arch/x86/entry/syscalls/syscall_64.tbl
MACHINES = {
    "x86_64": Machine(
        0xC000003E,
        {
            "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
            "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "ioctl": 16, "readv": 19, "writev": 20, "sched_yield": 24,
            "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47,
            "shutdown": 48, "listen": 50,
            "getsockname": 51, "getpeername": 52, "getsockopt": 55, "exit": 60, "fcntl": 72, "gettimeofday": 96,
            "getrusage": 98, "sigaltstack": 131, "gettid": 186, "futex": 202, "restart_syscall": 219, "clock_gettime": 228,
            "clock_nanosleep": 230, "exit_group": 231, "epoll_wait": 232, "epoll_ctl": 233, "tgkill": 234, "ppoll": 271,
            "epoll_pwait": 281, "accept4": 288, "getrandom": 318, "rseq": 334,
        },
    ),
}  # fmt: skip


# what the dynamic linker and a library that reads its own resources need besides
_LOADING = {
    "x86_64": {
        "open": 2, "stat": 4, "lstat": 6, "pread64": 17, "access": 21, "dup": 32, "uname": 63, "getcwd": 79, "readlink": 89,
        "getrlimit": 97, "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108,
        "sched_getaffinity": 204, "getdents64": 217, "clock_getres": 229, "openat": 257, "newfstatat": 262,
        "readlinkat": 267, "faccessat": 269, "statx": 332, "faccessat2": 439,
    },
}  # fmt: skip


def program(machine: str | None = None, loading: bool = False) -> bytes:
    """``loading``: libraries of others are still to be loaded, which map executable memory and open files (another layer says which).

    Raises NotImplementedError on a machine without a table.
    """
    name = machine or platform.machine()
    if name not in MACHINES:
        raise NotImplementedError(f"no system call table for {name}")
    known = MACHINES[name]
    calls = known.calls | (_LOADING.get(name, {}) if loading else {})
    code = [
        _op(_LOAD_WORD, _ARCHITECTURE_AT),
        _op(_JUMP_EQUAL, known.audit_architecture, yes=1),
        _op(_RETURN, _KILL_PROCESS),
        _op(_LOAD_WORD, _NUMBER_AT),
        _op(_JUMP_AT_LEAST, _X32_BIT, no=1),
        _op(_RETURN, _ERRNO | _EPERM),
    ]
    mapping = () if loading else ("mmap", "mprotect")
    for call in mapping:  # memory may be had, but none of it executable: no code comes into being after the lock-down
        code += [
            _op(_JUMP_EQUAL, calls[call], no=4),
            _op(_LOAD_WORD, _argument(2)),
            _op(_JUMP_ANY_BIT, PROT_EXEC, no=1),
            _op(_RETURN, _ERRNO | _EPERM),
            _op(_RETURN, _ALLOW),
        ]
    code += [  # sockets are set non-blocking by ioctl; no other ioctl is needed
        _op(_JUMP_EQUAL, calls["ioctl"], no=4),
        _op(_LOAD_WORD, _argument(1)),
        _op(_JUMP_EQUAL, FIONBIO, yes=1),
        _op(_RETURN, _ERRNO | _EPERM),
        _op(_RETURN, _ALLOW),
    ]
    for call, number in calls.items():
        if call not in (*mapping, "ioctl"):
            code += [_op(_JUMP_EQUAL, number, no=1), _op(_RETURN, _ALLOW)]
    code.append(_op(_RETURN, _ERRNO | _EPERM))
    return b"".join(code)


def _op(code: int, operand: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, operand)


def _argument(index: int) -> int:
    """Offset of the low word on a little-endian machine; the bits that are tested here live there."""
    return _ARGUMENTS_AT + 8 * index
