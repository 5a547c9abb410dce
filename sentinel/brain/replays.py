"""Verdicts that the wire tier gives: the octets of commands that the court did not call safe are played to an emulated device as well.

In: a verdict of the court's and its command (`offer`).  Out: a second verdict with an id of its own that refers to the first, handed to
`Told`.  For evidence, and for functions that the court cannot name: a held write has long been ruled by then.  One case at a time, and as
long a rest after it as it took, so that nobody fills more than half a core with writes that are refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sandbox.protocol import Request
from sentinel.clock import Clock
from sentinel.model.command import Command, Origin
from sentinel.model.ids import VerdictId
from sentinel.model.verdict import Judgement, Verdict
from sentinel.twin.snapshot import Snapshot

MAX_WAITING = 64  # cases, each with its snapshot; what comes on top is counted and not played
Told = Callable[[Verdict], Awaitable[None]]


class Court(Protocol):
    def case(self, verdict: VerdictId) -> tuple[Request, Snapshot] | None:
        """What a verdict rests on."""


class Tier(Protocol):
    connected: asyncio.Event

    async def again(self, first: Verdict, request: Request, snapshot: Snapshot) -> Verdict: ...


@dataclass(slots=True)
class Replays:
    court: Court
    tier: Tier
    clock: Clock
    played: int = 0
    passed_over: int = 0  # the tier was off, or too many waited
    _waiting: "asyncio.Queue[tuple[Verdict, Request, Snapshot]]" = field(default_factory=lambda: asyncio.Queue(MAX_WAITING))

    def offer(self, command: Command, verdict: Verdict) -> None:
        """Never waits.  Nothing is played of what is safe, has no octets or was never tried, or what the court could not look into."""
        case = self.court.case(verdict.id)
        is_tried = command.origin in (Origin.WIRE, Origin.GATE) and command.protocol == "modbus" and command.octets
        if verdict.judgement is Judgement.SAFE or not is_tried or case is None:
            return
        if not self.tier.connected.is_set() or self._waiting.full():
            self.passed_over += 1
            return
        self._waiting.put_nowait((verdict, *case))

    async def run(self, told: Told) -> None:
        """Until cancelled."""
        while True:
            first, request, snapshot = await self._waiting.get()
            began_s = self.clock.monotonic_s()
            verdict = await self.tier.again(first, request, snapshot)
            self.played += 1
            took_s = self.clock.monotonic_s() - began_s
            await told(verdict)
            await asyncio.sleep(took_s)

    def health(self) -> Mapping[str, object]:
        return {"present": self.tier.connected.is_set(), "played": self.played, "passed_over": self.passed_over}
