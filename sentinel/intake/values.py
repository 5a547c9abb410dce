"""Frames of a collector as the values that they carry.  Raises `RefusalError` or `CodecError` on a frame that contradicts the protocol."""

import asyncio
from typing import Any

from sentinel.model.codec import from_arrow, from_json
from sentinel.model.command import Command
from sentinel.model.exchange import Mark, Polled, ReceiptOf
from sentinel.model.framing import Frame, FrameKind
from sentinel.model.observation import Counters, Details, Flows, Heard, Messages, Outage, Readings, TurnedAway
from sentinel.model.time import Instant
from sentinel.ports import Outcome

_THREAD_OCTETS = 256 * 1024  # an Arrow payload above this is unpacked beside the event loop
_URGENT: dict[FrameKind, type] = {
    FrameKind.COMMAND: Command,
    FrameKind.OUTCOME: Outcome,
    FrameKind.OUTAGE: Outage,
    FrameKind.TURNED_AWAY: TurnedAway,
    FrameKind.RECEIPT: ReceiptOf,
}

_BEFORE: dict[FrameKind, list[FrameKind]] = {  # what has come of a heard batch when this comes
    FrameKind.HEARD_MESSAGES: [],
    FrameKind.HEARD_FLOWS: [FrameKind.HEARD_MESSAGES],
    FrameKind.HEARD_DETAILS: [FrameKind.HEARD_MESSAGES, FrameKind.HEARD_FLOWS],
}


class RefusalError(ValueError):
    """The sender's fault."""


def urgent_value(frame: Frame) -> Any:
    return from_json(_URGENT[frame.kind], frame.payload)


class BulkValues:
    """Puts the frames of a heard batch together; holds at most three."""

    def __init__(self) -> None:
        self._parts: dict[FrameKind, Frame] = {}

    async def value(self, frame: Frame) -> Heard | Polled | None:
        """None while a heard batch is not complete."""
        kind, parts = frame.kind, self._parts
        if kind is FrameKind.READINGS:
            readings, metadata = await _unpack(Readings, frame)
            mark = _mark_of(metadata)
            return Polled(source=mark.source, until=mark.until, readings=readings, counters=mark.counters)
        if kind is not FrameKind.HEARD:
            if list(parts) != _BEFORE.get(kind):
                raise RefusalError(f"{kind.name} out of order")
            parts[kind] = frame
            return None
        if len(parts) < len(_BEFORE[FrameKind.HEARD_DETAILS]):
            raise RefusalError("HEARD without its messages and flows")
        messages, metadata = await _unpack(Messages, parts.pop(FrameKind.HEARD_MESSAGES))
        flows, _ = await _unpack(Flows, parts.pop(FrameKind.HEARD_FLOWS))
        told = parts.pop(FrameKind.HEARD_DETAILS, None)
        details = (await _unpack(Details, told))[0] if told is not None else Details.empty()
        mark = from_json(Mark, frame.payload)
        if metadata.get("source") != mark.source:
            raise RefusalError("HEARD and its messages name different sources")
        return Heard(source=mark.source, until=mark.until, messages=messages, flows=flows, details=details, counters=mark.counters)


async def _unpack(kind: Any, frame: Frame) -> tuple[Any, dict[str, str]]:
    if len(frame.payload) > _THREAD_OCTETS:
        return await asyncio.to_thread(from_arrow, kind, frame.payload)
    columns, metadata = from_arrow(kind, frame.payload)
    return columns, metadata


def _mark_of(metadata: dict[str, str]) -> Mark:
    """The metadata of a READINGS frame; its values are text, `until` a decimal number."""
    try:
        until, counters = Instant(int(metadata["until"])), from_json(Counters, metadata["counters"])
        return Mark(source=metadata["source"], until=until, counters=counters)
    except (KeyError, ValueError) as error:
        raise RefusalError(f"READINGS without a usable {error}") from error
