"""Zip packages that others made: FMUs and AASX files.  Everything about them may be hostile.

In: octets.  Out: `Archive`, whose names are plain relative paths and whose members are read one by one, each within a bound, whatever the
directory claims of its size.  `InputError` names the package, the member and what is wrong with it.  Nothing is unpacked here.
"""

import io
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sentinel.errors import InputError

MAX_PACKAGE_OCTETS = 1 << 28
MAX_MEMBERS = 4096
MAX_MEMBER_OCTETS = 1 << 28
MAX_UNPACKED_OCTETS = 1 << 29
MAX_NAME_LENGTH = 240
_CHUNK = 1 << 16
_ENCRYPTED = 0x1  # general purpose bit flag (APPNOTE.TXT 4.4.4)


@dataclass(frozen=True, slots=True)
class Archive:
    source: str
    members: Mapping[str, zipfile.ZipInfo]
    _file: zipfile.ZipFile

    def read(self, name: str, limit: int = MAX_MEMBER_OCTETS) -> bytes:
        """What one member holds, at most ``limit`` octets."""
        if name not in self.members:
            raise InputError(f"{self.source}: has no {name}")
        found = bytearray()
        try:
            with self._file.open(self.members[name]) as stream:
                while chunk := stream.read(_CHUNK):
                    found += chunk
                    if len(found) > limit:
                        raise InputError(f"{self.source}: {name} holds more than {limit} octets")
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, OSError, ValueError) as error:
            raise InputError(f"{self.source}: {name} cannot be read: {error}") from error
        return bytes(found)


def read_package(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            octets = stream.read(MAX_PACKAGE_OCTETS + 1)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    if len(octets) > MAX_PACKAGE_OCTETS:
        raise InputError(f"{file}: larger than {MAX_PACKAGE_OCTETS} octets")
    return octets


def open_archive(octets: bytes, source: str) -> Archive:
    try:
        file = zipfile.ZipFile(io.BytesIO(octets))
        entries = file.infolist()
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{source}: is no zip package: {error}") from error
    if len(entries) > MAX_MEMBERS:
        raise InputError(f"{source}: {len(entries)} members, expected at most {MAX_MEMBERS}")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_OCTETS:
        raise InputError(f"{source}: says that it unpacks to more than {MAX_UNPACKED_OCTETS} octets")
    members: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        if problem := _objection(entry):
            raise InputError(f"{source}: member {entry.filename[:MAX_NAME_LENGTH]!r} {problem}")
        if entry.is_dir():
            continue
        if entry.filename in members:
            raise InputError(f"{source}: member {entry.filename!r} is there twice")
        members[entry.filename] = entry
    return Archive(source, members, file)


def _objection(entry: zipfile.ZipInfo) -> str | None:
    name = entry.filename
    # of the two names that a member has Python shows the first part only, up to a NUL
    if name != entry.orig_filename or "\\" in name or any(ord(sign) < 32 for sign in name):
        return "has a name with signs that no path should have"
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or ":" in parts[0] or len(name) > MAX_NAME_LENGTH:
        return "would lie outside the package" if len(name) <= MAX_NAME_LENGTH else "has too long a name"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is neither a file nor a folder"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return None
