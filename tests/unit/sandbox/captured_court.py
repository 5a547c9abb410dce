"""A court that an attacker owns: real in everything, but what it should judge is run by him instead.  `captured_court.py CONFIG DIRECTORY`

The command's operation names what he tries; what came of it is the verdict's reason.  Without a name among these the court judges.
"""

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import sandbox.server
from sandbox.__main__ import hold_court
from sandbox.config import read
from sandbox.judge import judge
from sentinel.model.command import Command
from sentinel.model.verdict import Verdict
from tests.unit.sandbox.attempts import ATTEMPTS, tried

LOCK = threading.Lock()


def hostile(command: Command, *rest: Any) -> Iterator[Verdict | None]:
    yield captured(command, *rest)


def captured(command: Command, *rest: Any) -> Verdict:
    honest = judge(command, *rest)
    match command.operation:
        case "loop without end":
            while True:
                pass
        case "wait without end":
            for _ in range(2):
                LOCK.acquire()
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
