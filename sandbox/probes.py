"""Attempts at what isolation forbids.  Each tries, harmlessly, and returns what got through, or None when nothing did."""

import errno
import os
import resource
import socket
from collections.abc import Callable, Sequence

from sandbox import kernel, syscall_filter

MAX_FILES = 64
_PROBE_ADDRESS = ("192.0.2.1", 9)  # TEST-NET-1, discard: never a real machine


def reached_network() -> str | None:
    for family, kind, protocol, what in (
        (socket.AF_INET, socket.SOCK_DGRAM, 0, "a datagram left"),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "a connection was begun"),
    ):
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setblocking(False)
                probe.connect(_PROBE_ADDRESS)
        except BlockingIOError:
            return f"{what} for {_PROBE_ADDRESS[0]}"
        except OSError:
            continue
        return f"{what} for {_PROBE_ADDRESS[0]}"
    return None


def reached_file() -> str | None:
    for path in ("/etc/shadow", "/etc/passwd", "/proc/self/environ", "/bin/sh"):
        if _opens(path, os.O_RDONLY):
            return f"{path} could be opened"
    return "a file could be made" if _opens("/made", os.O_WRONLY | os.O_CREAT) else None


def opened_root() -> str | None:
    return "the root directory could be listed" if _opens("/", os.O_RDONLY | os.O_DIRECTORY) else None


def _opens(path: str, flags: int) -> bool:
    try:
        os.close(os.open(path, flags | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def exceeded_limits() -> str | None:
    try:
        if resource.getrlimit(resource.RLIMIT_NPROC) != (0, 0):
            return "processes may be started"
    except OSError as error:
        if error.errno != errno.EPERM:  # under the filter even asking is refused
            raise
    descriptors: list[int] = []
    try:
        while len(descriptors) <= MAX_FILES:
            descriptors.append(os.dup(0))
    except OSError:
        return None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return f"more than {MAX_FILES} descriptors could be had"


def kept_rights() -> str | None:
    attempts: tuple[tuple[str, Callable[[], object]], ...] = (
        ("a raw socket could be opened", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()),
        ("a packet socket could be opened", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
        ("it could become root", lambda: os.setresuid(0, 0, 0)),
        ("the root could be changed", lambda: os.chroot("/")),
        ("a process could be started", _start_process),
    )
    return _first_success(attempts)


def _start_process() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


LOADING = ("open", "executable memory")  # what a filter for loading libraries lets through


def called(but: Sequence[str] = ()) -> str | None:
    """Each call gets arguments that do no harm where it is let through; only the filter answers EPERM to all of them."""
    forbidden: dict[str, tuple[int, *tuple[int | bytes | None, ...]]] = {
        "socket": (41, socket.AF_INET, socket.SOCK_STREAM, 0),
        "socket of a packet family": (41, socket.AF_PACKET, socket.SOCK_RAW, 0),
        "open": (2, b"/", os.O_RDONLY, 0),
        "execve": (59, None, None, None),
        "clone": (56, -1, 0, 0),  # flags that contradict each other
        "ptrace": (101, -1, 0, 0),
        "mount": (165, None, None, None),
        "bpf": (321, -1, 0, 0),
        "userfaultfd": (323, -1),
        "io_uring_setup": (425, 0, 0),
        "keyctl": (250, -1, 0, 0),
        "init_module": (175, 0, 0, 0),
        "executable memory": (9, 0, 4096, syscall_filter.PROT_EXEC, 0x22, -1, 0),  # MAP_PRIVATE | MAP_ANONYMOUS
    }
    for what, arguments in forbidden.items():
        if what in but:
            continue
        try:
            kernel.syscall(*arguments)
        except OSError as error:
            if error.errno == errno.EPERM:
                continue
            return f"{what} was not refused by the filter but by the kernel: {error.strerror}"
        return f"{what} was let through"
    return None


def _first_success(attempts: tuple[tuple[str, Callable[[], object]], ...]) -> str | None:
    for what, attempt in attempts:
        try:
            attempt()
        except OSError:
            continue
        return what
    return None
