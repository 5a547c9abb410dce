"""The baselines of one appliance on its disk: the anchor that judges, the one before it, a candidate that waits, learning that goes on; and
beside them what the twin has learnt of its plant.

Every file is sealed with the appliance's own key and replaced in one move: whatever is killed when, the old file or the new one is there.
A file that does not hold is never judged by: it is moved aside for whoever looks into it, and the reason is kept in ``refused``.  A seal
does not say that it is the newest: which anchor judged last stands in the audit chain, and an older one in its place does not hold either.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sentinel.access.authority import Authority
from sentinel.baseline import store
from sentinel.baseline.anchor import Kind, Statement, opened, sealed
from sentinel.baseline.store import Baseline
from sentinel.errors import InputError
from sentinel.model.codec import from_json, to_json
from sentinel.model.ids import Digest
from sentinel.model.time import Instant, iso
from sentinel.records.audit_log import AuditLog

ANCHOR, PREVIOUS, CANDIDATE, CHECKPOINT = "baseline.npz", "baseline.previous.npz", "baseline.candidate.npz", "baseline.learning.npz"
PARAMETERS = "twin.npz"
ANCHORED = "baseline.anchor"  # the chain's word for it
WITNESS_S = 10.0
_KINDS: Mapping[str, Kind] = {
    ANCHOR: Kind.ANCHOR,
    PREVIOUS: Kind.ANCHOR,
    CANDIDATE: Kind.CANDIDATE,
    CHECKPOINT: Kind.CHECKPOINT,
    PARAMETERS: Kind.PARAMETERS,
}

Kept = tuple[Baseline, Statement]


class Witness(Protocol):
    """Remembers, apart from the files, which anchor judges."""

    def judges(self, statement: Statement) -> None:
        """On the disk when it returns."""

    def judged(self) -> Statement | None:
        """The last one that was told of."""


class Chain:
    """The audit chain as the witness."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def judges(self, statement: Statement) -> None:
        self._audit.append("sentinel", ANCHORED, str(statement.digest), statement=to_json(statement).decode()).result(WITNESS_S)

    def judged(self) -> Statement | None:
        entry = self._audit.newest(ANCHORED)
        return from_json(Statement, entry.details["statement"].encode()) if entry is not None else None


def look(path: Path, root: bytes) -> Kept | None:
    """None where there is no such file.  Raises InputError for one that does not hold under this root (PEM); changes nothing."""
    if not path.exists():
        return None
    baseline = store.load(path)
    return baseline, opened(baseline, _KINDS[path.name], root, str(path))


class Anchors:
    """``given``: the file that the settings name; an anchor that goes back to it, and was promoted since, takes precedence."""

    def __init__(self, directory: Path, authority: Authority, given: Path | None = None, witness: Witness | None = None) -> None:
        self._directory, self._authority, self._witness = directory, authority, witness
        self._given = given
        self.refused: list[str] = []  # since the start

    @property
    def unfinished(self) -> Path:
        """Lies there while the first anchor is being learnt, as old as the learning."""
        return self._directory / "baseline.unfinished"

    def at_start(self, now: Instant) -> Kept | None:
        """What judges from now on, None = learn.  Raises InputError for a given file that is no baseline."""
        kept = self._present(now)
        if self._given is None:
            return kept
        baseline = store.load(self._given)
        origin = store.fingerprint(baseline)
        if kept is not None and kept[1].origin == origin:
            return kept
        return self.keep(baseline, "settings", now, origin=origin)

    def _present(self, now: Instant) -> Kept | None:
        """The anchor that judged last, or the one before it where that one does not hold."""
        last = self._last()
        kept = self._judging(last)
        if kept is None and not self.refused and last is not None:
            self.refused.append(f"{self._directory / ANCHOR}: the anchor {last.digest[:12]}, which judged last, is not there any more")
            return None
        if kept is None and self.refused:
            kept = self.read(PREVIOUS)
            if kept is not None and last is not None and kept[1].digest not in (last.digest, last.previous):
                self.set_aside(PREVIOUS, f"is not the anchor before {last.digest[:12]}, which judged last")
                kept = None
            if kept is not None:  # sealed anew: what came after it does not follow it
                previous, origin = (last or kept[1]).digest, kept[1].origin
                return self._seal(ANCHOR, kept[0], kept[1].by, now, previous=previous, origin=origin)
        if kept is not None and self._witness is not None and kept[1] != last:
            self._witness.judges(kept[1])
        return kept

    def _last(self) -> Statement | None:
        return self._witness.judged() if self._witness is not None else None

    def _judging(self, last: Statement | None) -> Kept | None:
        """The anchor on the disk, where it is the one that judged last, or was just to take its place."""
        kept = self.read(ANCHOR)
        if kept is None or last is None:
            return kept
        found = kept[1]
        if (found.digest, found.at) == (last.digest, last.at) or (found.previous == last.digest and found.at >= last.at):
            return kept
        self.set_aside(ANCHOR, f"is the anchor {found.digest[:12]} of {iso(found.at)}, but {last.digest[:12]} judged last")
        return None

    def keep(self, baseline: Baseline, by: str, at: Instant, *, origin: Digest | None = None) -> Kept:
        """The new anchor; the one before stays beside it."""
        before = self._judging(self._last())
        if before is not None:
            store.save(before[0], self._directory / PREVIOUS)
            origin = origin or before[1].origin
        previous = before[1].digest if before is not None else None
        return self._seal(ANCHOR, baseline, by, at, previous=previous, origin=origin)

    def offer(self, baseline: Baseline, by: str, at: Instant) -> Kept:
        """A candidate as it is put before people: what they approve is what is promoted."""
        before = self.read(ANCHOR)
        return self._seal(CANDIDATE, baseline, by, at, previous=before[1].digest if before is not None else None)

    def mark(self, learning: Baseline, at: Instant, name: str = CHECKPOINT) -> None:
        """How far learning has come."""
        self._seal(name, learning, "sentinel", at)

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
            self.set_aside(name, str(error))
            return None

    def set_aside(self, name: str, reason: str) -> None:
        """Out of the way, for whoever looks into it."""
        path = self._directory / name
        aside = path.with_suffix(".refused")
        path.replace(aside)
        told = reason if reason.startswith(str(path)) else f"{path}: {reason}"
        self.refused.append(f"{told}; moved to {aside.name}")

    def _seal(
        self, name: str, baseline: Baseline, by: str, at: Instant, *, previous: Digest | None = None, origin: Digest | None = None
    ) -> Kept:
        statement = Statement(kind=_KINDS[name], digest=store.fingerprint(baseline), by=by, at=at, previous=previous, origin=origin)
        kept = sealed(baseline, statement, self._authority.seal)
        store.save(kept, self._directory / name)
        if name == ANCHOR and self._witness is not None:  # killed before: the file itself says that it follows the one that is remembered
            self._witness.judges(statement)
        return kept, statement
