"""What an attacker tries who owns a process of the court's, of either tier.

Each does no harm where a wall has a hole.  The program's first argument is its configuration, the last a directory outside.
"""

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

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
    "kill its warden": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "leave its namespace": lambda: called(LIBC.unshare(0x40000000)),
    "become root of a namespace": lambda: called(LIBC.unshare(0x10000000)),
    "mount over the root": lambda: called(LIBC.mount(b"none", b"/", b"tmpfs", 0, None)),
    "run code of its own": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "load a module": lambda: called(LIBC.syscall(175, 0, 0, 0)),
    "begin a thread": lambda: threading.Thread(target=int).start(),
}


def tried(attempt: Callable[[], object]) -> str:
    try:
        found = attempt()
    except (OSError, ValueError, RuntimeError) as error:  # setrlimit says ValueError, a thread RuntimeError
        return f"refused: {error}"
    return f"done: {str(found)[:100]}"
