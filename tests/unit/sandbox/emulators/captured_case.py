"""A wire tier in which an attacker owns each case once the device has his octets.  `captured_case.py CONFIG`

The command's operation names what he does there; without a name among these the case goes on as it should.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import sandbox.emulators.__main__ as tier
from sandbox import isolation, kernel
from sandbox.config import read
from sandbox.emulators import case
from sentinel.model.verdict import Verdict

ATTEMPTS: dict[str, Callable[[], object]] = {
    "read a file": lambda: Path("/etc/passwd").read_text(),
    "open a socket": socket.socket,
    "fork": lambda: os.fork() or os._exit(0),
    "kill the tier": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "start a program": lambda: os.execv("/bin/true", ["true"]),
    "enter a namespace": lambda: kernel.unshare(kernel.CLONE_NEWUSER),
}
honest = case.hear


def hostile(request: Any, *rest: Any) -> Verdict:
    verdict = honest(request, *rest)
    match request.command.operation:
        case "loop without end":
            while True:
                pass
        case "say too much":
            return replace(verdict, reason="x" * (8 << 20))
        case "say nonsense":
            return replace(verdict, probability=7.0)
        case "say nothing":
            os._exit(0)
        case "raise":
            raise ValueError("an accident")
    attempt = ATTEMPTS.get(request.command.operation)
    if attempt is None:
        return verdict
    try:
        return replace(verdict, reason=f"done: {attempt()}")
    except OSError as error:
        return replace(verdict, reason=f"refused: {error.strerror or error}")


def forbidden() -> None:
    raise PermissionError(1, "Operation not permitted")


if __name__ == "__main__":
    case.hear = hostile
    if sys.argv[2:] == ["no rights"]:
        case.own_network = isolation.enter_user_namespace = forbidden
    sys.exit(tier.run(read(Path(sys.argv[1]))))
