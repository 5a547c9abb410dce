"""Wire replay: Modbus writes that were not found safe are played to an emulated device as well, in the court's second tier.

In: commands with the verdict of the first tier, when that stands.  Out: second verdicts, each with an id of its own, that say what the
device answered and set.  Never in the way of a held write: one at a time, after the ruling; a flood is passed over and counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from sandbox.octets import whole_frame
from sandbox.protocol import Request
from sentinel.model.command import Command, Origin
from sentinel.model.ids import VerdictId, short_id
from sentinel.model.verdict import Judgement, Verdict
from sentinel.twin.snapshot import Snapshot

MAX_WAITING = 16


class Court(Protocol):
    def case(self, verdict: VerdictId) -> tuple[Request, Snapshot] | None:
        """What a verdict rests on."""


class WireTier(Protocol):
    connected: asyncio.Event

    async def replay(self, request: Request, snapshot: Snapshot) -> Verdict | str: ...

    async def run(self) -> None: ...


class Replays:
    """``conclude`` takes each second verdict; `run` works until it is cancelled."""

    def __init__(self, court: Court, tier: WireTier) -> None:
        self._court, self._tier = court, tier
        self._waiting: asyncio.Queue[tuple[Request, Snapshot, VerdictId]] = asyncio.Queue(MAX_WAITING)
        self._played = self._passed_over = 0
        self._last_refusal = ""

    def offer(self, command: Command, verdict: Verdict) -> None:
        """Where there is something to play, and somebody to play it to."""
        if verdict.judgement is Judgement.SAFE or command.protocol != "modbus" or command.origin not in (Origin.WIRE, Origin.GATE):
            return
        case = self._court.case(verdict.id)
        if case is None or not command.octets or not self._tier.connected.is_set():
            return
        if self._waiting.full():
            self._passed_over += 1
            return
        request, snapshot = case
        asked = replace(request, command=replace(command, octets=whole_frame(command)))
        self._waiting.put_nowait((asked, snapshot, verdict.id))

    async def run(self, conclude: Callable[[Verdict], Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tier.run())
            while True:
                request, snapshot, first = await self._waiting.get()
                answer = await self._tier.replay(request, snapshot)
                if isinstance(answer, str):
                    self._last_refusal = answer
                    continue
                self._played += 1
                await conclude(replace(answer, id=VerdictId(short_id("verdict", first, "replayed")), replayed=first))

    def health(self) -> Mapping[str, Any]:
        told = {"in_session": self._tier.connected.is_set(), "waiting": self._waiting.qsize(), "played": self._played}
        return {**told, "passed_over": self._passed_over, "last_refusal": self._last_refusal}
