"""A process that isolates itself as the court does and then tries to get out, by other means than the self-test's.  Prints JSON."""

import ctypes
import encodings.idna  # noqa: F401 - resolving a name loads it, and nothing can be loaded later
import json
import mmap
import os
import socket
import subprocess
import sys
from pathlib import Path

from sandbox.isolation import Isolation, enter_namespaces, lock_down, own_layers

attempts = {
    "connect to a local service": lambda: socket.socket().connect(("127.0.0.1", int(sys.argv[2]))),
    "resolve a name": lambda: socket.getaddrinfo("localhost", 80),
    "send a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "open a raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300),
    "read the password file": lambda: Path("/etc/passwd").read_text(),
    "read a file of this program": lambda: Path(__file__).read_text(),
    "write a file": lambda: Path(sys.argv[1], "escaped").write_text("x"),
    "write into the temporary directory": lambda: Path("/tmp/escaped").write_text("x"),
    "start a program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "replace itself by a program": lambda: os.execv("/bin/true", ["true"]),
    "fork": lambda: os.fork() or os._exit(0),
    "become root": lambda: os.setuid(0),
    "signal its parent": lambda: os.kill(os.getppid(), 0),
    "map executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "mount": lambda: _raise(ctypes.CDLL(None, use_errno=True).mount(b"none", b"/", b"tmpfs", 0, None)),
    "enter another namespace": lambda: _raise(ctypes.CDLL(None, use_errno=True).unshare(0x10000000)),
}


def _raise(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")


def outcome(attempt: object) -> str:
    try:
        attempt()  # type: ignore[operator]
    except OSError as error:
        return f"refused: {error.strerror or error}"
    return "done"


reports = enter_namespaces()
child = os.fork()
if child:
    os.waitpid(child, 0)
    sys.exit(0)
isolation = Isolation(layers=reports + lock_down(own_layers(sys.argv[1])))
found = {name: outcome(attempt) for name, attempt in attempts.items()}
result = {
    "layers": {layer.name: [layer.holds, layer.says] for layer in isolation.layers},
    "takes_untrusted": isolation.takes_untrusted,
    "attempts": found,
}
os.write(1, json.dumps(result).encode())
os._exit(0)
