"""Case files of verdicts that were not `safe`: built from what the court was told, sealed by the appliance, kept as evidence.

In: a verdict of the court's, or of the wire tier's.  Out: an `Excerpt` of kind "case".  Of each of the two at most one in `EVERY_S` is
kept, so that a flood of refused writes cannot push other evidence out of its bounded store; the first of a flood always is.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from sandbox.casefile import CaseFile, Seal, Stated, Terms
from sandbox.protocol import Request
from sentinel.clock import Clock
from sentinel.model.ids import VerdictId
from sentinel.model.record import Excerpt
from sentinel.model.verdict import Judgement, Verdict
from sentinel.records import Records
from sentinel.twin.snapshot import Snapshot

EVERY_S = 1.0


class Court(Protocol):
    def case(self, verdict: VerdictId) -> tuple[Request, Snapshot] | None:
        """What a verdict rests on."""


@dataclass(slots=True)
class Cases:
    court: Court
    plant: str  # the plant file's text
    terms: Terms
    seal: Callable[[bytes], tuple[bytes, bytes]]
    records: Records
    clock: Clock
    wire: Court | None = None  # whose verdicts refer to the court's
    _last_s: dict[bool, float] = field(default_factory=dict)  # by whether a verdict is of the wire tier
    passed_over: int = 0  # verdicts whose case was not kept

    async def keep(self, verdict: Verdict) -> Excerpt | None:
        """None where there is nothing to keep: a safe verdict, none that the court gave, or the second within `EVERY_S`."""
        is_replay = verdict.refers is not None
        court = self.wire if is_replay else self.court
        case = court.case(verdict.id) if court is not None else None
        if verdict.judgement is Judgement.SAFE or case is None:
            return None
        now_s = self.clock.monotonic_s()
        if now_s - self._last_s.get(is_replay, -EVERY_S) < EVERY_S:
            self.passed_over += 1
            return None
        self._last_s[is_replay] = now_s
        request, snapshot = case
        stated = Stated(command=request.command, context=request.context, terms=self.terms)
        return await asyncio.to_thread(self._keep, CaseFile(plant=self.plant, snapshot=snapshot, stated=stated, verdict=verdict))

    def _keep(self, case: CaseFile) -> Excerpt:
        signature, signer = self.seal(case.statement)
        sealed = replace(case, seal=Seal(signature=signature, signer=signer))
        return self.records.keep_excerpt(sealed.to_octets(), kind="case", of=case.verdict.id)
