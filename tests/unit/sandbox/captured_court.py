"""A court that an attacker owns: real in everything, but what it should judge is run by him instead.  `captured_court.py CONFIG DIRECTORY`

The command's operation names what he tries; what came of it is the verdict's reason.  Without a name among these the court judges.
"""

import ctypes
import errno
import mmap
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import sandbox.server
from sandbox.__main__ import hold_court
from sandbox.config import read
from sandbox.judge import judge
from sentinel.model.command import Command
from sentinel.model.verdict import Verdict

LIBC = ctypes.CDLL(None, use_errno=True)
OUTSIDE = Path(sys.argv[-1])
TRIES = 64


def called(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def fork_bomb() -> str:
    born = 0
    for _ in range(TRIES):
        try:
            if os.fork() == 0:
                os._exit(0)
            born += 1
        except OSError:
            continue
    if born:
        return f"{born} children"
    raise OSError(errno.EAGAIN, "no child was born")


def all_memory() -> str:
    hoard = [mmap.mmap(-1, 256 << 20) for _ in range(64)]
    return f"{len(hoard) / 4} GiB"


def every_descriptor() -> str:
    kept: list[int] = []
    try:
        for _ in range(10_000):
            kept.append(os.dup(0))
    finally:
        for one in kept:
            os.close(one)
    return "10000 descriptors"


def peek(process: int) -> int:
    """process_vm_readv of a page that this program has mapped, and so the processes that it was forked from."""
    here = ctypes.create_string_buffer(b"x" * 64)
    there = (ctypes.c_void_p * 2)(ctypes.addressof(here), 64)
    into = ctypes.create_string_buffer(64)
    mine = (ctypes.c_void_p * 2)(ctypes.addressof(into), 64)
    return called(LIBC.process_vm_readv(process, mine, 1, there, 1, 0))


ATTEMPTS: dict[str, Callable[[], object]] = {
    "read a file": lambda: Path("/etc/passwd").read_text(),
    "read the configuration": lambda: Path(sys.argv[1]).read_text(),
    "write a file": lambda: (OUTSIDE / "escaped").write_text("x"),
    "list the root": lambda: os.listdir("/"),
    "read its own memory's map": lambda: Path("/proc/self/maps").read_text(),
    "make a device": lambda: os.mknod("/null", 0o600 | 0o020000, os.makedev(1, 3)),
    "connect": lambda: socket.socket().connect(("127.0.0.1", 9)),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)),
    "listen beside the brain": lambda: socket.socket(socket.AF_UNIX).bind(str(OUTSIDE / "intake.sock")),
    "make a pair of sockets": socket.socketpair,
    "fork": lambda: os.fork() or os._exit(0),
    "fork without end": fork_bomb,
    "start a program": lambda: subprocess.run(["/bin/true"], check=True),
    "become a program": lambda: os.execv("/bin/true", ["true"]),
    "trace its warden": lambda: called(LIBC.ptrace(16, os.getppid(), 0, 0)),
    "trace itself": lambda: called(LIBC.ptrace(0, 0, 0, 0)),
    "read its warden's memory": lambda: peek(os.getppid()),
    "signal its warden": lambda: os.kill(os.getppid(), 0),  # signal 0 only asks whether it could: harmless where a wall has a hole
    "signal everybody": lambda: os.kill(-1, 0),
    "take all memory": all_memory,
    "take every descriptor": every_descriptor,
    "raise its own limits": lambda: resource.setrlimit(resource.RLIMIT_NPROC, (100, 100)),
    "outlive its warden": lambda: called(LIBC.prctl(1, 0, 0, 0, 0)),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "leave its namespace": lambda: called(LIBC.unshare(0x40000000)),
}


def tried(attempt: Callable[[], object]) -> str:
    try:
        found = attempt()
    except (OSError, ValueError) as error:  # setrlimit says ValueError
        return f"refused: {error}"
    return f"done: {str(found)[:100]}"


def hostile(command: Command, *rest: Any) -> Iterator[Verdict | None]:
    yield captured(command, *rest)


def captured(command: Command, *rest: Any) -> Verdict:
    honest = judge(command, *rest)
    match command.operation:
        case "loop without end":
            while True:
                pass
        case "say too much":
            return replace(honest, reason="x" * (64 << 20))
        case "say nonsense":
            return replace(honest, probability=7.0, reason="safe")
        case "speak of another":
            return replace(honest, command=type(command.id)("another"))
        case "say what breaks a terminal":
            return replace(honest, reason="\x1b[2J")
    attempt = ATTEMPTS.get(command.operation)
    return replace(honest, reason=tried(attempt)) if attempt else honest


if __name__ == "__main__":
    sandbox.server.hearing = hostile
    sys.exit(hold_court(read(Path(sys.argv[1]))))
