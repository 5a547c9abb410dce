"""Gather: the observations of one source become windows, one per second of packet time that holds any row.

A window closes when the watermark ``until`` reaches its end.  Any batching of the same rows gives the same windows.  A row that comes
late (its slot is closed) joins the oldest slot that is still open and is counted.  Windows come out in the order of their start, readings
within one in the order of their receipt.
"""

from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np

from sentinel.model.columns import Array
from sentinel.model.observation import SLOT_NS, Details, Flows, Heard, Messages, Readings
from sentinel.model.time import Instant
from sentinel.model.window import Window

MAX_HELD_ROWS = 2_000_000  # about 400 MB of columns; a watermark that stands still must not fill the memory


class Gather:
    """``edge``: an instant at which a slot is cut in two, so that a window lies wholly before it or wholly after."""

    def __init__(self, source: str, *, edge: Instant | None = None) -> None:
        self.source = source
        self.late_rows = 0
        self.early_windows = 0  # closed before their watermark because too many rows were held
        self._edge = edge
        self._closed = 0  # everything before this instant has been given out
        self._parts: dict[int, list[tuple[str, Any]]] = defaultdict(list)
        self._held_rows = 0
        self._shown = (0, 0)  # an open slot, and how many of its parts `fresh` has given out

    def hear(self, heard: Heard) -> list[Window]:
        self._hold("messages", heard.messages, heard.messages.time)
        self._hold("flows", heard.flows, heard.flows.time)
        self._hold("details", heard.details, heard.details.time)
        return self._close(heard.until)

    def read(
        self, readings: Readings, until: Instant, residuals: Readings | None = None, forecasts: Readings | None = None
    ) -> list[Window]:
        self._hold("readings", readings, readings.seen)
        for kind, columns in (("residuals", residuals), ("forecasts", forecasts)):
            if columns is not None:
                self._hold(kind, columns, columns.seen)
        return self._close(until)

    def fresh(self) -> Messages:
        """The messages of the oldest open slot that were not given out so before; its window will hold them once more."""
        if not self._parts:
            return Messages.empty()
        slot = min(self._parts)
        parts, shown = self._parts[slot], self._shown[1] if self._shown[0] == slot else 0
        self._shown = (slot, len(parts))
        return Messages.concat([part for kind, part in parts[shown:] if kind == "messages"])

    def flush(self) -> list[Window]:
        """Close all that is held: the file or the source has ended."""
        return self._close(None)

    def _hold(self, kind: str, columns: Any, times: Array) -> None:
        if not len(columns):
            return
        starts = times // SLOT_NS * SLOT_NS
        if self._edge is not None:
            starts = np.where((times >= self._edge) & (starts < self._edge), self._edge, starts)
        late = starts < self._closed
        if late.any():
            self.late_rows += int(late.sum())
            starts = np.where(late, self._oldest_open(), starts)
        order = np.argsort(starts, kind="stable")
        if np.any(order[1:] < order[:-1]):
            columns, starts = columns.take(order), starts[order]
        cuts = [0, *(np.flatnonzero(np.diff(starts)) + 1).tolist(), len(starts)]
        for low, high in pairwise(cuts):
            self._parts[int(starts[low])].append((kind, columns.take(slice(low, high))))
        self._held_rows += len(columns)

    def _oldest_open(self) -> int:
        return min((start for start in self._parts if start >= self._closed), default=self._closed)

    def _end_of(self, start: int) -> int:
        end = start // SLOT_NS * SLOT_NS + SLOT_NS
        return self._edge if self._edge is not None and start < self._edge < end else end

    def _close(self, until: Instant | None) -> list[Window]:
        windows = []
        for start in sorted(self._parts):
            overfull = self._held_rows > MAX_HELD_ROWS
            if until is not None and self._end_of(start) > until and not overfull:
                break
            self.early_windows += overfull and until is not None and self._end_of(start) > until
            windows.append(self._window(start, self._parts.pop(start)))
        if until is not None:
            reached = until // SLOT_NS * SLOT_NS
            if self._edge is not None and reached < self._edge <= until:
                reached = self._edge
            self._closed = max(self._closed, reached)
        return windows

    def _window(self, start: int, parts: list[tuple[str, Any]]) -> Window:
        columns: dict[str, list[Any]] = defaultdict(list)
        for kind, part in parts:
            columns[kind].append(part)
            self._held_rows -= len(part)
        self._closed = max(self._closed, self._end_of(start))
        return Window(
            source=self.source,
            start=Instant(start),
            end=Instant(self._end_of(start)),
            messages=Messages.concat(columns["messages"]),
            flows=Flows.concat(columns["flows"]),
            details=Details.concat(columns["details"]),
            readings=_in_order(Readings.concat(columns["readings"])),
            residuals=_in_order(Readings.concat(columns["residuals"])),
            forecasts=_in_order(Readings.concat(columns["forecasts"])),
        )


def _in_order(readings: Readings) -> Readings:
    """By time of receipt: detectors take the newest value of a tag and its changes from one to the next, in whatever order rows came."""
    if bool(np.all(readings.seen[1:] >= readings.seen[:-1])):
        return readings
    return readings.take(np.argsort(readings.seen, kind="stable"))
