"""Writers: who commands what, by the commands themselves.  Exact whitelists, learnt.

A command held at the gate is judged here at once, before anybody hears its conversation.  Its first write makes somebody a new writer; a
known writer that sets a point it never set is small news.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sentinel.detect.evidence import listed
from sentinel.model.command import Command
from sentinel.model.detection import Detection, Severity
from sentinel.model.window import Window
from sentinel.ports import Spec, Stability

MAX_LEARNT = 500_000


class Writers:
    spec: ClassVar[Spec] = Spec(
        name="writers",
        summary="assets that command others for the first time, and known writers of points that they never wrote",
        stability=Stability.STABLE,
        attack=("T1692.001", "T0836"),
    )

    def __init__(self) -> None:
        self._assets: set[str] = set()
        self._writers: set[tuple[str, str]] = set()
        self._written: set[tuple[str, str, str]] = set()  # source, target, point
        self._active = False

    def learn(self, window: Window) -> None:
        if len(self._assets) < MAX_LEARNT:
            self._assets.update(window.flows.names[code] for code in set(window.flows.source.tolist()) if code >= 0)
            self._assets.update(window.messages.names[code] for code in set(window.messages.client.tolist()) if code >= 0)
        for command in window.commands:
            if len(self._written) < MAX_LEARNT:
                self._assets.add(command.source)
                self._writers.add((command.source, command.target))
                self._written.update((command.source, command.target, write.point) for write in command.writes)

    def activate(self) -> None:
        self._active = True

    def score(self, window: Window) -> Sequence[Detection]:
        return [found for command in window.commands if (found := self._judge(command))] if self._active else ()

    def _judge(self, command: Command) -> Detection | None:
        source, target = command.source, command.target
        stranger, newcomer = source not in self._assets, (source, target) not in self._writers
        points = [write for write in command.writes if newcomer or (source, target, write.point) not in self._written]
        if not points:
            return None
        what = listed(write.tag or write.point for write in points)
        who = f"{source}, never seen before," if stranger else source
        expected = f"{source} wrote nothing to {target}" if newcomer else f"{source} wrote other points of {target}"
        return Detection(
            detector=self.spec.name,
            title=f"{who} writes {what} on {target}" + ("" if newcomer else " for the first time"),
            seen=command.seen,
            frame=command.frame_number,
            frames=(command.frame_number,) if command.frame_number else (),
            source=source,
            target=target,
            tags=tuple(write.tag for write in points if write.tag),
            cause=f"actor:{source}" if stranger else f"habit:{source}",
            feature="new writer" if newcomer else "new point",
            observed=f"{command.operation} of {what}",
            expected=expected,
            score=float(len(points)),
            threshold=0.0,
            why=f"{who} sends {command.operation} for {what} to {target}; while the baseline was learnt, {expected}.",
            techniques=("T1692.001",) if newcomer else ("T0836",),
            severity=Severity.CRITICAL if stranger else Severity.MEDIUM if newcomer else Severity.LOW,
            confidence=0.9 if stranger else 0.4,
        )

    def state(self) -> Mapping[str, Any]:
        return {
            "assets": sorted(self._assets),
            "writers": sorted(map(list, self._writers)),
            "written": sorted(map(list, self._written)),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._assets = set(state["assets"])
        self._writers = {(source, target) for source, target in state["writers"]}
        self._written = {(source, target, point) for source, target, point in state["written"]}
        self.activate()
