"""Excerpts are ordered when a finding has frames, and anew when it comes to rest on more; a worse one takes no better one's place."""

import asyncio
from dataclasses import replace
from pathlib import Path

from collectors.outbox import Outbox
from sentinel.brain.excerpting import Excerpts
from sentinel.clock import SystemClock
from sentinel.intake import Intake
from sentinel.model.codec import from_json
from sentinel.model.detection import Detection
from sentinel.model.exchange import ExcerptOrder
from sentinel.model.finding import Finding
from sentinel.model.framing import Frame, FrameKind
from sentinel.model.time import Instant
from sentinel.records import Records
from tests.unit.api.appliance import a_finding
from tests.unit.test_intake import WAIT_S, Keeper, running


def _kind(feature: str, *frames: int) -> Detection:
    return Detection(
        detector="novelty", title="t", seen=Instant(1), frame=frames[0], frames=frames, cause="c", feature=feature,
        observed="", expected="", score=1.0, threshold=0.0, why="w",
    )  # fmt: skip


async def test_a_finding_that_grows_gets_another_excerpt(tmp_path: Path) -> None:
    records, orders = Records(tmp_path / "records", SystemClock()), list[ExcerptOrder]()
    path = tmp_path / "run" / "intake.sock"
    path.parent.mkdir()

    def receive(frame: Frame) -> None:
        orders.append(from_json(ExcerptOrder, frame.payload))
        if len(orders) == 2:
            outbox.refuse(frame, "these frames are no longer kept")
        else:
            outbox.answer(frame, FrameKind.EXCERPT, f"excerpt {len(orders)}".encode())

    outbox = Outbox(path, "ear", receive)
    excerpts = Excerpts(records, ["ear"], {})

    async def told(finding: Finding) -> Finding:
        kept = replace(finding, evidence=excerpts.of(finding))
        await records.kept(kept)
        if excerpts.wants(kept):
            await excerpts.fetch(kept)
        newest = records.find(Finding, finding.id)
        assert newest is not None
        return newest

    async with Intake(path, Keeper()) as intake, running(outbox):
        excerpts.intake = intake
        await asyncio.wait_for(intake.wait_present("ear"), WAIT_S)
        first = await told(a_finding(source="ear", detections=(_kind("read", 7),)))
        assert first.evidence is not None
        assert records.evidence(first.evidence) == b"excerpt 1"
        assert (await told(replace(first, detection_count=9))).evidence == first.evidence
        assert len(orders) == 1, "more of the same needs no other excerpt"
        second = await told(replace(first, detections=(*first.detections, _kind("write", 2000, 2001))))
        assert second.evidence == first.evidence, "what the sensor has no more stays where it is kept"
        third = await told(replace(second, detections=(*second.detections, _kind("scan", 3000))))
        assert third.evidence is not None
        assert records.evidence(third.evidence) == b"excerpt 3"
    assert [order.frames for order in orders] == [(7, 8), (7, 8, 2000, 2001), (7, 8, 2000, 2001, 3000)]
    assert [order.anew for order in orders] == [False, True, True]
    records.close()
