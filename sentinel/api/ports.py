"""What the API needs from the rest of the appliance.  The composition root fills an `ApiState`; the API decides and computes nothing.

Ports raise `InputError` for what the caller got wrong (422), `TransientError` when something is down (503), any other `SentinelError` when
the step is not possible as things are (409), and LookupError for an id that nobody knows (404); the texts are shown to the person.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sentinel.access import Access
from sentinel.clock import Clock
from sentinel.model.action import Action
from sentinel.model.ids import ActionId
from sentinel.model.plan import Plan
from sentinel.model.verdict import Verdict
from sentinel.ports import Spec
from sentinel.records import Records
from sentinel.twin.whatif import Answer


class Actions(Protocol):
    """Every step gives the action as it is afterwards.  ``by`` is the name in the certificate."""

    async def propose(self, proposals: Iterable[Action]) -> None: ...

    async def request(self, action: ActionId, by: str, lasts_s: float | None = None) -> Action: ...

    async def approve(self, action: ActionId, by: str) -> Action:
        """Does not wait until it is enforced: the outcome is the action's next change."""

    async def reject(self, action: ActionId, by: str, reason: str) -> Action: ...

    async def release(self, action: ActionId, by: str) -> Action: ...


class Twin(Protocol):
    """Everything given out is JSON-able; NaN and infinity are not."""

    def state(self) -> Mapping[str, Any]:
        """The newest snapshot: its instant, and per tag or state its estimate with unit and spread."""

    def health(self) -> Mapping[str, Any]:
        """Is it in step with the plant, since when, and by what measure."""

    async def what_if(self, writes: Mapping[str, float], by: str) -> Verdict:
        """The verdict on writing these engineering values to these tags now.  Nothing is written."""

    def live(self) -> Mapping[str, Any]:
        """The newest state as its tags show it: ``at``, health, and per tag estimate, unit, spread and deviation.  Blocking, some ms."""

    def snapshot(self) -> bytes:
        """The newest snapshot as octets: what `sentinel whatif --snapshot` starts from."""

    async def futures(
        self,
        wanted: Sequence[tuple[str, Sequence[float | str], float]],
        horizon_s: float,
        members: int | None,
        tags: Sequence[str],
        bands: bool,
    ) -> Answer:
        """Every combination of the wanted (tag, values, seconds from now), beside doing nothing.  Nothing is written."""


class Baselines(Protocol):
    async def shown(self) -> Mapping[str, Any]:
        """What judges, what learns beside it, how far apart they are, what waits for people; JSON-able."""

    async def offer(self, by: str) -> Action:
        """Put the candidate, as it is now, before people: a proposed action.  Takes seconds."""


class Planning(Protocol):
    def kinds(self) -> Sequence[Spec]: ...

    async def plan(self, kind: str, problem: Mapping[str, Any], by: str) -> Plan:
        """``problem`` is the posted JSON object; raises InputError where it is not one of this kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiState:
    records: Records  # with its audit log
    access: Access
    clock: Clock
    actions: Actions
    twin: Twin | None = None  # None: no plant file
    history: Path | None = None  # None: none is kept
    planning: Planning | None = None
    baselines: Baselines | None = None
    dissect: Callable[[Path], bytes] | None = None  # the file of an excerpt as text; None: there is no dissector
    health: Callable[[], Mapping[str, Any]] = field(default=dict)  # processes, counters, blind spots; JSON-able, quick
    capabilities: Mapping[str, Sequence[Spec]] = field(default_factory=dict)  # room: its plugs
    name: str = "sentinel"
