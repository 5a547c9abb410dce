"""Evidence files: capture excerpts and their dissection, each named by the SHA-256 of its octets, in one directory of bounded size.

A file is on disk before its row is kept.  When the directory is full the oldest files go first; their rows stay and say when.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from sentinel.durable import write_whole
from sentinel.errors import InputError
from sentinel.model.ids import Digest
from sentinel.model.record import Excerpt
from sentinel.model.time import Instant

MAX_FILE_OCTETS = 64 * 1024 * 1024


def octets_digest(octets: bytes) -> Digest:
    return Digest(hashlib.sha256(octets).hexdigest())


class EvidenceFiles:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path_of(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise InputError(f"{digest!r} is not a SHA-256 digest")
        return self._directory / digest[:2] / digest

    def write(self, octets: bytes) -> Digest:
        """Raises InputError above the size of one file.  Writing the same octets again changes nothing."""
        if len(octets) > MAX_FILE_OCTETS:
            raise InputError(f"evidence of {len(octets)} octets: at most {MAX_FILE_OCTETS} are kept in one file")
        digest = octets_digest(octets)
        path = self.path_of(digest)
        if path.exists():
            return digest
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(path, octets)
        return digest

    def read(self, digest: str) -> bytes | None:
        """None when the file is not (or no longer) there.  Raises InputError when it is not what its name says."""
        try:
            octets = self.path_of(digest).read_bytes()
        except FileNotFoundError:
            return None
        if octets_digest(octets) != digest:
            raise InputError(f"evidence {digest}: the file's content has another digest")
        return octets

    def octets(self) -> int:
        """What lies in the directory now, with what a kill left half-written."""
        return sum(path.stat().st_size for path in self._directory.glob("*/*"))

    def remove(self, digest: str) -> None:
        self.path_of(digest).unlink(missing_ok=True)

    def overflow(self, kept: list[Excerpt], limit_octets: int) -> list[Excerpt]:
        """Which of the kept ones must go, oldest first, so that the rest fits."""
        total = sum(excerpt.octets for excerpt in kept)
        gone = []
        for excerpt in sorted(kept, key=lambda e: (e.at, e.digest)):
            if total <= limit_octets:
                break
            gone.append(excerpt)
            total -= excerpt.octets
        return gone


def first_damaged(files: EvidenceFiles, excerpts: Callable[[], list[Excerpt]]) -> str | None:
    """The first evidence file that is missing or altered, in words."""
    for excerpt in excerpts():
        if excerpt.dropped is not None:
            continue
        try:
            octets = files.read(excerpt.digest)
        except InputError as error:
            return str(error)
        if octets is None:
            return f"evidence {excerpt.digest}: the file is missing"
    return None


def dropped_at(excerpt: Excerpt, now: Instant) -> Excerpt:
    return Excerpt(digest=excerpt.digest, kind=excerpt.kind, octets=excerpt.octets, at=excerpt.at, of=excerpt.of, dropped=now)
