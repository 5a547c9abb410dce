"""What is usual here: what a detector that needs no baseline would tell, and did tell already while the baseline was learnt."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sentinel.model.detection import Detection
from sentinel.model.window import Window

MAX_USUAL = 100_000  # forged addresses while learning must not fill the memory


class Usual:
    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()  # (feature, who to whom)

    def learn(self, detections: Iterable[Detection]) -> None:
        for detection in detections:
            if len(self._known) < MAX_USUAL:
                self._known.add(_habit(detection))

    def without(self, detections: Iterable[Detection]) -> list[Detection]:
        return [detection for detection in detections if _habit(detection) not in self._known]

    def state(self) -> Mapping[str, Any]:
        return {"usual": sorted(map(list, self._known))}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._known = {(feature, subject) for feature, subject in state["usual"]}


class Once:
    """What was found in the newest window.  While the baseline is learnt a window is judged, then learnt, and counts once."""

    def __init__(self) -> None:
        self._window: Window | None = None
        self._found: list[Detection] = []

    def of(self, window: Window, find: Callable[[Window], list[Detection]]) -> list[Detection]:
        if self._window is not window:
            self._window, self._found = window, find(window)
        return self._found


def _habit(detection: Detection) -> tuple[str, str]:
    return detection.feature, f"{detection.source}>{detection.target or ''}"
