"""The one way to put a small file on disk so that neither a kill nor a power cut leaves half of it: beside its place first, then moved."""

import os
import tempfile
from pathlib import Path

PRIVATE = 0o600


def write_whole(path: Path, octets: bytes, mode: int = PRIVATE) -> None:
    """Octets and name are on disk when it returns; nobody ever reads it with wider rights than ``mode``.  Raises OSError."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the name, too
    finally:
        os.close(folder)
