"""A wire tier in which an attacker owns each case once the device has his octets.  `captured_case.py CONFIG DIRECTORY`

The command's operation names what he does there; without a name among these the case goes on as it should.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import sandbox.emulators.__main__ as tier
from sandbox import isolation
from sandbox.config import read
from sandbox.emulators import case
from sentinel.model.verdict import Verdict
from tests.unit.sandbox.attempts import ATTEMPTS, tried

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
        case "say a little and wait":
            os.write(3, b"SN")
            while True:
                pass
        case "raise":
            raise ValueError("an accident")
    attempt = ATTEMPTS.get(request.command.operation)
    return replace(verdict, reason=tried(attempt)) if attempt else verdict


def forbidden() -> None:
    raise PermissionError(1, "Operation not permitted")


if __name__ == "__main__":
    case.hear = hostile
    if sys.argv[2:] == ["no rights"]:
        case.own_network = isolation.enter_user_namespace = forbidden
    sys.exit(tier.run(read(Path(sys.argv[1]))))
