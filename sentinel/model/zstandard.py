"""Files that are compressed with Zstandard (RFC 8878), as they read unpacked.  Arrow brings the decompressor along."""

import io
from typing import IO, Any

import pyarrow as pa

_UNPACKED_OCTETS = 1 << 16  # at once: of Arrow's own pieces


class ZstdStream(io.RawIOBase):
    """Several frames may follow each other.  What is spoilt or cut is an EOFError, at most _UNPACKED_OCTETS before the place."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = pa.PythonFile(file, mode="r")
        self._stream = pa.CompressedInputStream(self._file, "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self._stream.readinto(memoryview(buffer)[:_UNPACKED_OCTETS]))
        except OSError as error:
            raise EOFError(str(error)) from error

    def close(self) -> None:
        self._stream.close()
        self._file.close()
        super().close()
