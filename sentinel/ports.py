"""The shape of every plug, on one page.  Structural: a plug inherits nothing, it has these methods.

`Spec` is how a plug describes itself; sample configuration, ``sentinel describe``, the API's capability page and the docs come from it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from sentinel.model.action import Action, Receipt
from sentinel.model.command import Command
from sentinel.model.detection import Detection
from sentinel.model.ids import CommandId
from sentinel.model.observation import Messages
from sentinel.model.plan import Plan
from sentinel.model.time import Instant
from sentinel.model.verdict import Verdict
from sentinel.model.window import Window

P = TypeVar("P", contravariant=True)


class Stability(StrEnum):
    EXPERIMENTAL = "experimental"
    STABLE = "stable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """``config``: option name to (default, one sentence).  ``attack``: ATT&CK for ICS techniques that the plug can speak of."""

    name: str
    summary: str
    stability: Stability = Stability.EXPERIMENTAL
    config: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    attack: tuple[str, ...] = ()


class Detector(Protocol):
    """Learn, then score.  Pure: equal windows in equal order give equal detections.

    ``state`` and ``restore`` carry the learnt model as named arrays and JSON-able parameters, never as pickles.
    """

    spec: ClassVar[Spec]

    def learn(self, window: Window) -> None:
        """Never called on a window that was just reported."""

    def activate(self) -> None:
        """Learning is over: fix thresholds from the held-out part of what was learnt."""

    def score(self, window: Window) -> Sequence[Detection]:
        """Empty = nothing to say.  Each detection says which feature, how far, compared with what."""

    def state(self) -> Mapping[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


@runtime_checkable
class Lasting(Protocol):
    """A detector that follows slow change beside what it learnt: where it stands outlives a restart, in the bounds that the anchor sets."""

    def lasting(self) -> Mapping[str, Any]: ...

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """After `restore`.  Raises KeyError, TypeError or ValueError for what is none of its own."""


@runtime_checkable
class Prompt(Protocol):
    """A detector to which single messages tell enough: nobody waits for the end of their second."""

    def at_once(self, messages: Messages) -> Sequence[Detection]:
        """What `score` says of every window that holds these rows, of the same causes and at least as grave.  Changes nothing."""


@runtime_checkable
class Beside(Protocol):
    """A detector that learns beside one of its kind that judges, from what that one has read already."""

    def learn_beside(self, judge: Detector, window: Window) -> None:
        """As `learn`, after ``judge`` has scored the window."""


class Verifier(Protocol):
    async def judge(self, command: Command) -> Verdict:
        """Always answers: when it cannot judge, the verdict is undecided and says why."""


class Enforcer(Protocol):
    spec: ClassVar[Spec]

    async def apply(self, action: Action) -> Receipt:
        """Idempotent.  A receipt with applied=False means: not enforced, and why."""

    async def release(self, action: Action) -> Receipt:
        """Always works after apply, and is harmless before it."""


class Planner(Protocol[P]):
    spec: ClassVar[Spec]

    def plan(self, problem: P) -> Plan: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the gate shall do with a held command."""

    command: CommandId
    forward: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the gate did with a held command, ruled in time or not."""

    command: CommandId
    forwarded: bool
    ruled: bool  # False: the deadline came first and the tag's declared choice was taken
    held_ms: float
    reason: str
    at: Instant


Sink = Callable[[Any], Awaitable[None]]
