"""Excerpts as a sensor cuts them: from its ring of recent packets, with their context, passwords masked."""

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from collectors.capture.files import CaptureFile
from collectors.capture.mask import masked
from collectors.capture.packets import ETHERNET
from collectors.capture.pcapng import to_pcapng
from collectors.capture.recent import RecentFrames
from collectors.capture.replay import replay
from sentinel.baseline.store import Baseline
from sentinel.clock import SystemClock
from sentinel.model.finding import Finding
from sentinel.model.observation import Heard, rows_before
from sentinel.model.tags import TagMap
from sentinel.model.time import Instant, after
from sentinel.pipeline import Analysis
from sentinel.progress import first_instant

ALWAYS = 2**63 - 1


def judged(capture: Path, learn_s: float, tag_map: TagMap | None = None) -> tuple[tuple[Finding, ...], Baseline]:
    """What is found in a capture after so many seconds of learning, and what it was judged by: as it stood when learning ended."""
    heard = list(replay(capture))
    edge = after(next(first for each in heard if (first := first_instant(each)) is not None), learn_s)
    learner = Analysis(tag_map=tag_map, learn_until=edge)
    judge = Analysis(tag_map=tag_map, learn_until=edge)
    for each in heard:
        learner.heard(_until(each, edge))
        judge.heard(each)
    learner.flush()
    judge.flush()
    return judge.findings, learner.baseline()


def _until(heard: Heard, edge: Instant) -> Heard:
    parts = {name: rows_before(getattr(heard, name), edge)[0] for name in ("messages", "flows", "details")}
    return replace(heard, until=Instant(min(heard.until, edge)), **parts)


def excerpts(capture: Path, findings: Iterable[Finding]) -> list[tuple[Finding, bytes]]:
    """Of each finding that rests on frames, as `sentinel.brain.excerpting` orders it and `collectors.capture.live` answers."""
    with tempfile.TemporaryDirectory() as directory:
        ring = RecentFrames(Path(directory), [("plant", ETHERNET)], SystemClock(), limit_octets=1 << 30, limit_s=1e9)
        for batch in CaptureFile(capture):
            ring.keep(batch)
            ring.excerpt([], 0, 0)  # so that nothing waits
        cut = []
        for finding in findings:
            frames = {*finding.frames, *(frame for detection in finding.detections for frame in detection.frames)}
            if frames:
                cut.append((finding, to_pcapng(masked(ring.excerpt(sorted(frames), 0, ALWAYS, context=True)), f"finding {finding.id}")))
        assert not ring.skipped
        ring.close()
    return cut
