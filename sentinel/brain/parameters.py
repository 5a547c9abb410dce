"""What the twin has learnt of its plant's parameters, kept over a restart of the brain: one sealed file beside the baselines.

In: a twin's `Learnt`, once a second.  Out: the same for the twin of the next brain, where plant file and engine are still the ones that it
was learnt with; and no file any more where the twin lost the plant in spite of it.  A file that does not hold is refused like a baseline.

A seal does not say that it is the newest.  So each file names its life, which ends with the brain and with what is forgotten, and the audit
chain names the last one: what was learnt before it is not taken up.  An older file of the same life still holds; a twin that begins with it
doubts it by half a declared spread, and is corrected by what it reads.
"""

from sentinel.baseline.store import Baseline
from sentinel.brain.anchors import PARAMETERS, WITNESS_S, Anchors
from sentinel.model.ids import Digest
from sentinel.model.time import Instant, iso, seconds_between
from sentinel.records.audit_log import AuditLog
from sentinel.twin.learnt import Learnt

MARK_S = 300.0  # what wears takes hours
BEGUN = "twin.parameters"  # the chain's word for a new life
_OWNER = "twin"


class Parameters:
    """`recall` once, before the twin begins; `follow` while it runs; `mark` at an orderly end.  ``model``: as `Model.digest`."""

    def __init__(self, anchors: Anchors, audit: AuditLog, model: Digest) -> None:
        self._anchors, self._audit, self._model = anchors, audit, model
        self._life = 0
        self._learnt: Learnt | None = None  # as it lies on the disk
        self._marked: Instant | None = None

    def recall(self, now: Instant) -> Learnt | None:
        """None where nothing was kept, where it does not hold, and where it is about another plant."""
        entry, kept = self._audit.newest(BEGUN), self._anchors.read(PARAMETERS)
        last, taken = (entry.details["life"], entry.details["taken"]) if entry is not None else (0, None)
        self._life = last
        if kept is None:
            self._begin("nothing was kept")
            return None
        (baseline, statement), found = kept, kept[0].detectors[_OWNER]
        if baseline.notes["life"] != last and statement.digest != taken:
            why = f"was learnt in life {baseline.notes['life']} of the twin, the last one was {last}"
            self._anchors.set_aside(PARAMETERS, why)
            self._begin(why)
        elif found["model"] != self._model:
            self._anchors.forget(PARAMETERS)
            self._begin(f"what was kept was learnt of the plant {found['model'][:12]}, this is {self._model[:12]}")
        else:
            self._learnt, self._marked = Learnt(found["mean"], found["spread"], found["since"]), now
            self._begin(f"what was learnt until {iso(statement.at)} is taken up", statement.digest)
        return self._learnt

    def follow(self, learnt: Learnt | None, now: Instant) -> None:
        """``learnt``: as `Sync.learnt` has it by now."""
        if learnt is None and self._learnt is not None:
            self._anchors.forget(PARAMETERS)
            self._learnt = self._marked = None
            self._begin("the twin has lost the plant in spite of what it had learnt: that is forgotten")
        elif self._marked is None or seconds_between(self._marked, now) >= MARK_S:
            self.mark(learnt, now)

    def mark(self, learnt: Learnt | None, now: Instant) -> None:
        if learnt is None or learnt is self._learnt:
            return
        state = {"mean": learnt.mean, "spread": learnt.spread, "since": learnt.since, "model": self._model}
        self._anchors.mark(Baseline(detectors={_OWNER: state}, notes={"life": self._life}), now, PARAMETERS)
        self._learnt, self._marked = learnt, now

    def _begin(self, reason: str, taken: Digest | None = None) -> None:
        """A new life.  The chain says what it was begun with: until something new is kept, that may be taken up once more."""
        self._life += 1
        self._audit.append("sentinel", BEGUN, life=self._life, taken=taken, reason=reason).result(WITNESS_S)
