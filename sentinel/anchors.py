"""The baselines of one appliance on its disk: the anchor that judges, the one before it, a candidate that waits, learning that goes on.

Every file is sealed with the appliance's own key and replaced in one move: whatever is killed when, the old file or the new one is there.
A file that does not hold is never judged by: it is moved aside for whoever looks into it, and the reason is kept in ``refused``.
"""

from collections.abc import Mapping
from pathlib import Path

from sentinel.access.authority import Authority
from sentinel.baseline import store
from sentinel.baseline.anchor import Kind, Statement, opened, sealed
from sentinel.baseline.store import Baseline
from sentinel.errors import InputError
from sentinel.model.ids import Digest
from sentinel.model.time import Instant

ANCHOR, PREVIOUS, CANDIDATE, CHECKPOINT = "baseline.npz", "baseline.previous.npz", "baseline.candidate.npz", "baseline.learning.npz"
_KINDS: Mapping[str, Kind] = {
    ANCHOR: Kind.ANCHOR,
    PREVIOUS: Kind.ANCHOR,
    CANDIDATE: Kind.CANDIDATE,
    CHECKPOINT: Kind.CHECKPOINT,
}

Kept = tuple[Baseline, Statement]


def look(path: Path, root: bytes) -> Kept | None:
    """None where there is no such file.  Raises InputError for one that does not hold under this root (PEM); changes nothing."""
    if not path.exists():
        return None
    baseline = store.load(path)
    return baseline, opened(baseline, _KINDS[path.name], root, str(path))


class Anchors:
    """``given``: the file that the settings name; an anchor that goes back to it, and was promoted since, takes precedence."""

    def __init__(self, directory: Path, authority: Authority, given: Path | None = None) -> None:
        self._directory, self._authority = directory, authority
        self._given = given
        self.refused: list[str] = []  # since the start

    @property
    def unfinished(self) -> Path:
        """Lies there while the first anchor is being learnt, as old as the learning."""
        return self._directory / "baseline.unfinished"

    def at_start(self, now: Instant) -> Kept | None:
        """What judges from now on, None = learn.  Raises InputError for a given file that is no baseline."""
        kept = self.read(ANCHOR)
        if kept is None and self.refused:
            kept = self.read(PREVIOUS)
            if kept is not None:
                store.save(kept[0], self._directory / ANCHOR)
        if self._given is None:
            return kept
        baseline = store.load(self._given)
        origin = store.fingerprint(baseline)
        if kept is not None and kept[1].origin == origin:
            return kept
        return self.keep(baseline, "settings", now, origin=origin)

    def keep(self, baseline: Baseline, by: str, at: Instant, *, origin: Digest | None = None) -> Kept:
        """The new anchor; the one before stays beside it."""
        before = self.read(ANCHOR)
        if before is not None:
            store.save(before[0], self._directory / PREVIOUS)
            origin = origin or before[1].origin
        previous = before[1].digest if before is not None else None
        return self._seal(ANCHOR, baseline, by, at, previous=previous, origin=origin)

    def offer(self, baseline: Baseline, by: str, at: Instant) -> Kept:
        """A candidate as it is put before people: what they approve is what is promoted."""
        before = self.read(ANCHOR)
        return self._seal(CANDIDATE, baseline, by, at, previous=before[1].digest if before is not None else None)

    def mark(self, learning: Baseline, at: Instant) -> None:
        """How far learning has come."""
        self._seal(CHECKPOINT, learning, "sentinel", at)

    def forget(self, name: str) -> None:
        (self._directory / name).unlink(missing_ok=True)

    def read(self, name: str) -> Kept | None:
        """None where there is no such file, or one that does not hold: then ``refused`` says why, and the file lies beside its place."""
        path = self._directory / name
        if not path.exists():
            return None
        try:
            return look(path, self._authority.root())
        except InputError as error:
            aside = path.with_suffix(".refused")
            path.replace(aside)
            self.refused.append(f"{error}; moved to {aside.name}")
            return None

    def _seal(
        self, name: str, baseline: Baseline, by: str, at: Instant, *, previous: Digest | None = None, origin: Digest | None = None
    ) -> Kept:
        statement = Statement(kind=_KINDS[name], digest=store.fingerprint(baseline), by=by, at=at, previous=previous, origin=origin)
        kept = sealed(baseline, statement, self._authority.seal)
        store.save(kept, self._directory / name)
        return kept, statement
