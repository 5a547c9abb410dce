"""The enforcing process's own log: append-only JSON lines, each with the SHA-256 of the line before, synced before anything is answered.

In: events with JSON-able fields.  Out: a file that `verify` can check line by line; a torn last line (the machine lost power while writing)
is kept, ended and recorded.
"""

import json
import os
from pathlib import Path
from typing import Any

from sentinel.clock import Clock
from sentinel.errors import InputError
from sentinel.model.ids import digest
from sentinel.model.time import iso

_FIRST = "0" * 64


class Journal:
    """Raises OSError when the line could not be kept: whoever writes must then not act."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._chain, torn = _last(path)
        if torn:
            os.write(self._file, b"\n")
            self.write("torn", problem="the line before was cut short while it was written")

    def write(self, event: str, **fields: Any) -> None:
        body = {"at": iso(self._clock.now()), "event": event, **fields, "previous": self._chain}
        line = json.dumps(body, sort_keys=True, ensure_ascii=False)
        os.write(self._file, line.encode() + b"\n")
        os.fsync(self._file)
        self._chain = digest(line)

    def close(self) -> None:
        os.close(self._file)


def verify(path: Path) -> int:
    """The number of lines.  Raises InputError "file:line" where the chain breaks."""
    chain, count, torn = _FIRST, 0, False
    with path.open(encoding="utf-8") as lines:
        for count, line in enumerate(lines, start=1):
            text = line.rstrip("\n")
            try:
                body = json.loads(text)
                said, event = body["previous"], body["event"]
            except (ValueError, KeyError, TypeError) as error:
                if torn:
                    raise InputError(f"{path}:{count}: not a line of this journal") from error
                torn, chain = True, digest(text)
                continue
            if said != chain or (torn and event != "torn"):
                raise InputError(f"{path}:{count}: the chain breaks here: a line before it was changed, added or removed")
            torn, chain = False, digest(text)
    return count


def _last(path: Path) -> tuple[str, bool]:
    """(digest of the last line, whether it was cut short)"""
    last = b""
    with path.open("rb") as lines:
        for line in lines:
            last = line
    return (digest(last.rstrip(b"\n")) if last else _FIRST), bool(last) and not last.endswith(b"\n")
