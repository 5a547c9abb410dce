"""The journal: blocks of readings appended one after the other, each with its length and checksum.

In: `Readings`.  Out: octets on disk when `append` returns.  What a kill leaves half written ends the journal at its last whole block; so
does a block that does not read as one, whoever wrote it.
"""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sentinel.durable import PRIVATE
from sentinel.model.codec import CodecError, from_arrow, to_arrow
from sentinel.model.observation import Readings

MAGIC = b"SNTLHIS1"
MAX_BLOCK_OCTETS = 1 << 26
_FRAME = 8  # length and CRC-32, four octets each, big-endian


class Journal:
    """A new one; raises FileExistsError where there is one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, PRIVATE)
        self.octets = os.write(self._file, MAGIC)

    def append(self, readings: Readings) -> None:
        """On disk when it returns.  Raises OSError, and the journal is then as it was before."""
        payload = to_arrow(readings)
        block = len(payload).to_bytes(4, "big") + zlib.crc32(payload).to_bytes(4, "big") + payload
        try:
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self.octets)
            raise
        self.octets += len(block)
        self.values += len(readings)

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclass(slots=True)
class Blocks:
    """The whole blocks of a journal.  After iteration ``good`` octets were whole; ``torn`` says whether more lie behind them."""

    path: Path
    good: int = 0
    torn: bool = False

    def __iter__(self) -> Iterator[Readings]:
        """Raises OSError where the file cannot be read."""
        with self.path.open("rb") as file:
            magic = file.read(len(MAGIC))
            if magic != MAGIC:
                self.torn = True
                return
            self.good = len(MAGIC)
            while frame := file.read(_FRAME):
                size, checksum = int.from_bytes(frame[:4], "big"), int.from_bytes(frame[4:], "big")
                payload = file.read(size) if len(frame) == _FRAME and size <= MAX_BLOCK_OCTETS else b""
                if len(payload) != size or zlib.crc32(payload) != checksum or not payload:
                    self.torn = True
                    return
                try:
                    readings, _ = from_arrow(Readings, payload)
                except CodecError:
                    self.torn = True
                    return
                self.good += _FRAME + size
                yield readings
