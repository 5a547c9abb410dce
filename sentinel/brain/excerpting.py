"""Excerpts: the frames that a finding rests on, asked for from the sensor that heard them and kept as evidence.

In: findings as they are kept.  Out: an `Excerpt` in the records, and the finding once more with its digest.  One order at a time for each,
and one more whenever a finding comes to rest on another kind of detection: from its excerpt each of them is to be recomputed (`recompute`).
"""

import asyncio
import dataclasses
import logging

from sentinel.errors import PermanentError, TransientError
from sentinel.intake import Intake
from sentinel.model.exchange import ExcerptOrder
from sentinel.model.finding import Finding
from sentinel.model.ids import Digest, FindingId
from sentinel.model.observation import NO_FRAME
from sentinel.model.time import NS_PER_S, Instant
from sentinel.records import Records

_ABOUT_NS = 60 * NS_PER_S  # a finding's frames lie this near to it at most

log = logging.getLogger(__name__)


class Excerpts:
    """``captures``: the sensors' names.  ``evidence``: what is kept already."""

    def __init__(self, records: Records, captures: list[str], evidence: dict[FindingId, Digest]) -> None:
        self._records, self._captures, self._evidence = records, captures, evidence
        self._ordered: set[FindingId] = set()
        self._covered: dict[FindingId, int] = {}  # kinds of detections that its excerpt was ordered for
        self.intake: Intake | None = None  # set by the composition root

    def of(self, finding: Finding) -> Digest | None:
        return self._evidence.get(finding.id, finding.evidence)

    def wants(self, finding: Finding) -> bool:
        """Whether frames are to be fetched (`fetch`), which is said once: not before the window that counts them."""
        if not finding.frames or finding.first_frame == NO_FRAME or finding.id in self._ordered:
            return False
        if finding.evidence is not None and not self._has_grown(finding):
            return False
        self._ordered.add(finding.id)
        return True

    def _has_grown(self, finding: Finding) -> bool:
        return len(finding.detections) > self._covered.get(finding.id, 0)

    async def fetch(self, finding: Finding) -> None:
        """From the sensor that heard them; where that is not known, from the first that has such ones."""
        if self.intake is None:
            return
        try:
            newest: Finding | None = finding
            while newest is not None and self._has_grown(newest):
                self._covered[newest.id] = len(newest.detections)
                await self._order(newest)
                newest = await asyncio.to_thread(self._records.find, Finding, newest.id)
        finally:
            self._ordered.discard(finding.id)

    async def _order(self, finding: Finding) -> None:
        assert self.intake is not None
        frames = {*finding.frames, *(frame for detection in finding.detections for frame in detection.frames)}
        order = ExcerptOrder(
            finding=finding.id,
            frames=tuple(sorted(frames)),
            since=Instant(finding.first_seen - _ABOUT_NS),
            until=Instant(finding.last_seen + _ABOUT_NS),
            anew=self.of(finding) is not None,
        )
        heard = [finding.source] if finding.source in self._captures else self._captures if finding.source is None else []
        for name in heard:
            try:
                octets = await self.intake.excerpt(name, order)
            except (TransientError, PermanentError, TimeoutError) as error:
                log.info("no excerpt of %s from %s: %s", finding.id, name, error)
                continue
            await self._keep(finding.id, octets)
            break

    async def _keep(self, finding: FindingId, octets: bytes) -> None:
        excerpt = await asyncio.to_thread(self._records.keep_excerpt, octets)
        self._evidence[finding] = excerpt.digest
        newest = await asyncio.to_thread(self._records.find, Finding, finding)
        if newest is not None:
            await self._records.kept(dataclasses.replace(newest, evidence=excerpt.digest))
