"""Logins: passwords that are tried out.  OPC UA sessions whose user the server refuses: many in a minute, of many users, or a few an hour.

An ActivateSession (OPC 10000-4, 5.7.3) that is answered by Bad_IdentityTokenRejected, Bad_IdentityTokenInvalid or Bad_UserAccessDenied is a
login refused.  Who mistypes a password three times and then logs in has forgotten it; what was refused and never healed counts, against
how much of it there was while the baseline was learnt.  A login that succeeds after so many is graver than all of them.

Heard where messages can be read: without security, or signed.  On an encrypted channel neither the user nor the refusal can be; told is
there that one client opens channel after channel, as it does whose login is refused, and no more than that.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sentinel.detect.evidence import asset, listed
from sentinel.detect.watched import watched
from sentinel.model.detection import Detection, Severity
from sentinel.model.opcua import SERVICE_FAULT, SERVICES, MessageType, is_bad
from sentinel.model.protocol import MessageKind, Protocol, Topic
from sentinel.model.time import NS_PER_S, Instant, iso
from sentinel.model.window import Window
from sentinel.ports import Spec, Stability

REFUSED = (0x801F0000, 0x80200000, 0x80210000)  # OPC 10000-6, A.2: user access denied; identity token invalid, rejected
FAST_S, MIN_FAST = 60.0, 5
SPREAD_S, MIN_USERS = 3600.0, 4
SLOW_S, MIN_SLOW = 6 * 3600.0, 6
OPENED_S, MIN_OPENED = 600.0, 20  # channels that nobody can read
MISTYPED = 3  # refusals that a login of the same user heals
DEVIATIONS = 4.0  # above what was learnt, of a Poisson count
MAX_PAIRS, MAX_KEPT, MAX_PENDING = 4096, 512, 4096
MAX_IN_WINDOW = 1024  # logins of a second that are looked at
_ASKED, _ANSWERED = SERVICES["ActivateSession"]
_STATUS_AT = 40  # headers of chunk and sequence, four octets of type, time and handle (OPC 10000-4, 7.34)

Pair = tuple[str, str]  # client, server


class _Kind(NamedTuple):
    feature: str
    words: str
    within: str
    severity: Severity


_FAST = _Kind("passwords tried fast", "tries out passwords: {count} logins refused within a minute", "in a minute", Severity.HIGH)
_SPREAD = _Kind("passwords of many users", "tries out passwords of {count} users", "users in an hour", Severity.HIGH)
_SLOW = _Kind("passwords tried slowly", "tries out passwords: {count} logins refused within six hours", "in six hours", Severity.MEDIUM)
_ENTERED = _Kind(
    "login after refusals", "logs in as {user} after {count} refusals", "refusals before a login that succeeds", Severity.CRITICAL
)

_OPENED = _Kind("channel after channel", "opens {count} encrypted channels within ten minutes", "in ten minutes", Severity.MEDIUM)


class _Asked(NamedTuple):
    pair: Pair
    user: str
    frame: int


class _Login(NamedTuple):
    asked: _Asked
    time: int
    is_refused: bool


class _Refused(NamedTuple):
    time: int
    user: str
    frame: int


def service_result(chunk: bytes) -> int:
    """The StatusCode in the header of a response in clear; -1 where the octets do not reach."""
    return int.from_bytes(chunk[_STATUS_AT : _STATUS_AT + 4], "little") if len(chunk) >= _STATUS_AT + 4 else -1


@dataclass(slots=True)
class Ear:
    """Pairs what was asked with what was answered, over windows."""

    pending: OrderedDict[tuple[str, int, int], _Asked] = field(default_factory=OrderedDict)

    def hear(self, window: Window) -> Iterator[_Login]:
        m, details = window.messages, window.details
        opcua = m.protocol == Protocol.OPCUA
        asks = opcua & (m.kind == MessageKind.REQUEST) & (m.function == _ASKED) & (m.client >= 0) & (m.server >= 0)
        if not asks.any() and not self.pending:
            return
        users = {
            (int(details.flow[row]), int(details.transaction[row])): details.name_of(int(details.text[row]))
            or details.name_of(int(details.subject[row]))
            or "unknown"
            for row in np.flatnonzero(details.topic == Topic.IDENTITY)[:MAX_IN_WINDOW].tolist()
        }
        waiting = [flow for source, flow, _ in self.pending if source == window.source] + m.flow[asks].tolist()
        answers = opcua & (m.kind != MessageKind.REQUEST) & np.isin(m.function, (_ANSWERED, SERVICE_FAULT)) & np.isin(m.flow, waiting)
        for row in np.flatnonzero(asks | answers)[: 2 * MAX_IN_WINDOW].tolist():
            flow, transaction = int(m.flow[row]), int(m.transaction[row])
            key = (window.source, flow, transaction)
            if asks[row]:
                pair = (m.names[m.client[row]], m.names[m.server[row]])
                self.pending[key] = _Asked(pair, users.get((flow, transaction), "unknown"), int(m.frame[row]))
                if len(self.pending) > MAX_PENDING:
                    self.pending.popitem(last=False)
            elif (asked := self.pending.pop(key, None)) is not None:
                status = service_result(m.pdu(row))
                if status in REFUSED or (status >= 0 and not is_bad(status)):
                    yield _Login(asked, int(m.time[row]), status in REFUSED)


@dataclass(slots=True)
class Refusals:
    """Of one client by one server, that no login of the same user has healed."""

    kept: deque[_Refused] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))

    def take(self, login: _Login) -> list[_Refused]:
        """Of a login that succeeds: the refusals of its user before it, where they are too many to be healed; they are told once."""
        if login.is_refused:
            self.kept.append(_Refused(login.time, login.asked.user, login.asked.frame))
            return []
        own = [one for one in self.within(login.time, SLOW_S) if one.user == login.asked.user]
        self.kept = deque((one for one in self.kept if one.user != login.asked.user), maxlen=MAX_KEPT)
        return own if len(own) > MISTYPED else []

    def within(self, now: int, horizon_s: float) -> list[_Refused]:
        return [one for one in self.kept if now - horizon_s * NS_PER_S < one.time <= now]


def _limit(per_hour: float, horizon_s: float, least: int) -> float:
    usual = per_hour * horizon_s / 3600.0
    return max(least - 1.0, usual + DEVIATIONS * math.sqrt(usual))


def _openings(window: Window) -> dict[Pair, list[tuple[int, int]]]:
    """Time and frame of each encrypted channel that a client asks for."""
    m = window.messages
    asks = (m.protocol == Protocol.OPCUA) & (m.kind == MessageKind.REQUEST) & (m.function < 0) & (m.subfunction == MessageType.OPEN)
    found: dict[Pair, list[tuple[int, int]]] = {}
    for row in np.flatnonzero(asks & (m.client >= 0) & (m.server >= 0))[:MAX_IN_WINDOW].tolist():
        pair = (m.names[m.client[row]], m.names[m.server[row]])
        found.setdefault(pair, []).append((int(m.time[row]), int(m.frame[row])))
    return found


class Logins:
    spec: ClassVar[Spec] = Spec(
        name="logins",
        summary="OPC UA logins that are refused over and over: passwords tried out fast, slowly or over many users, and one that succeeds",
        stability=Stability.STABLE,
        attack=("T0859",),
    )

    def __init__(self) -> None:
        self._ear, self._refusals = Ear(), OrderedDict[Pair, Refusals]()
        self._learning_ear, self._learning = Ear(), OrderedDict[Pair, Refusals]()
        self._learnt_from = self._learnt_until = 0
        self._opened: OrderedDict[Pair, deque[tuple[int, int]]] = OrderedDict()  # time and frame
        self._counts: dict[Pair, int] = {}
        self._counts_opened: dict[Pair, int] = {}
        self._per_hour: dict[Pair, float] = {}  # refused
        self._per_hour_opened: dict[Pair, float] = {}

    def learn(self, window: Window) -> None:
        self._learnt_from = self._learnt_from or int(window.start)
        self._learnt_until = max(self._learnt_until, int(window.end))
        for login in self._learning_ear.hear(window):
            pair = login.asked.pair
            refusals = watched(self._learning, pair, Refusals, MAX_PAIRS)
            before = len(refusals.kept)
            too_many = refusals.take(login)
            healed = 0 if login.is_refused or too_many else before - len(refusals.kept)
            if pair in self._counts or len(self._counts) < MAX_PAIRS:
                self._counts[pair] = self._counts.get(pair, 0) + login.is_refused - healed
        for pair, opened in _openings(window).items():
            if pair in self._counts_opened or len(self._counts_opened) < MAX_PAIRS:
                self._counts_opened[pair] = self._counts_opened.get(pair, 0) + len(opened)

    def activate(self) -> None:
        hours = max((self._learnt_until - self._learnt_from) / NS_PER_S / 3600.0, 1.0 / 3600.0)
        self._per_hour = {pair: count / hours for pair, count in self._counts.items() if count > 0}
        self._per_hour_opened = {pair: count / hours for pair, count in self._counts_opened.items()}
        self._begin()

    def _begin(self) -> None:
        self._ear, self._refusals = Ear(), OrderedDict()
        self._learning_ear, self._learning = Ear(), OrderedDict()
        self._opened = OrderedDict()
        self._counts.clear()
        self._counts_opened.clear()

    def score(self, window: Window) -> Sequence[Detection]:
        heard: dict[Pair, list[tuple[_Login, list[_Refused]]]] = {}
        for login in self._ear.hear(window):
            refusals = watched(self._refusals, login.asked.pair, Refusals, MAX_PAIRS)
            heard.setdefault(login.asked.pair, []).append((login, refusals.take(login)))
        found = [each for pair, logins in heard.items() if (each := self._judge(pair, logins)) is not None]
        return found + [each for pair, opened in _openings(window).items() if (each := self._judge_opened(pair, opened)) is not None]

    def _limit(self, pair: Pair, horizon_s: float, least: int) -> float:
        return _limit(self._per_hour.get(pair, 0.0), horizon_s, least)

    def _judge_opened(self, pair: Pair, opened: Sequence[tuple[int, int]]) -> Detection | None:
        kept = watched(self._opened, pair, lambda: deque(maxlen=MAX_KEPT), MAX_PAIRS)
        kept.extend(opened)
        now = opened[-1][0]
        recent = [_Refused(time, "", frame) for time, frame in kept if now - OPENED_S * NS_PER_S < time <= now]
        limit = _limit(self._per_hour_opened.get(pair, 0.0), OPENED_S, MIN_OPENED)
        if len(recent) <= limit:
            return None
        why = (
            f"{pair[0]} opened {len(recent)} encrypted channels to {pair[1]} within ten minutes, expected at most {limit:.3g}: so does who "
            "is refused a login each time, and so does who loses its connection.  What was said on them nobody here can read."
        )
        found = self._detection(pair, _OPENED, recent, len(recent), limit, _Login(_Asked(pair, "", 0), now, is_refused=True))
        return replace(found, why=why, observed=f"{len(recent)} channels", cause=f"protocol:{pair[0]}", techniques=(), confidence=0.3)

    def _judge(self, pair: Pair, logins: Sequence[tuple[_Login, list[_Refused]]]) -> Detection | None:
        refusals, now = self._refusals[pair], logins[-1][0].time
        fast, spread, slow = (refusals.within(now, horizon_s) for horizon_s in (FAST_S, SPREAD_S, SLOW_S))
        users, many = {one.user for one in spread}, self._limit(pair, SPREAD_S, MIN_USERS)
        for login, before in logins:
            if not login.is_refused and (before or len(users) > many):
                return self._detection(pair, _ENTERED, before or spread, len(before or spread), float(MISTYPED), login)
        last = next((login for login, _ in reversed(logins) if login.is_refused), None)
        if last is None:
            return None
        counted = (
            (_SPREAD, spread, len(users), many),
            (_FAST, fast, len(fast), self._limit(pair, FAST_S, MIN_FAST)),
            (_SLOW, slow, len(slow), self._limit(pair, SLOW_S, MIN_SLOW)),
        )
        return next((self._detection(pair, *each, last) for each in counted if each[2] > each[3]), None)

    def _detection(self, pair: Pair, kind: "_Kind", refused: Sequence[_Refused], count: int, limit: float, login: _Login) -> Detection:
        client, server = pair
        users = listed(sorted({one.user for one in refused}))
        frames = tuple(sorted({frame for frame in (*(one.frame for one in refused), login.asked.frame) if frame}))
        words = kind.words.format(count=count, users=users, user=login.asked.user)
        return Detection(
            detector=self.spec.name,
            title=f"{client} {words} at {server}",
            seen=Instant(login.time),
            frame=frames[0] if frames else 0,
            frames=frames,
            source=asset(client),
            target=asset(server),
            cause=f"actor:{client}",
            feature=kind.feature,
            observed=f"{len(refused)} logins refused, as {users}",
            expected=f"at most {limit:.3g} {kind.within}",
            score=float(count),
            threshold=limit,
            why=f"{server} refused {client} {len(refused)} logins as {users} since {iso(Instant(refused[0].time))}, which no login of the "
            f"same user made good soon; expected at most {limit:.3g} {kind.within}.",
            techniques=("T0859",),
            severity=kind.severity,
            confidence=0.8,
        )

    def state(self) -> Mapping[str, Any]:
        rates = {"refused": self._per_hour, "opened": self._per_hour_opened}
        return {name: [[*pair, rate] for pair, rate in sorted(per_hour.items())] for name, per_hour in rates.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._per_hour, self._per_hour_opened = (
            {(str(client), str(server)): float(rate) for client, server, rate in state[name]} for name in ("refused", "opened")
        )
        self._begin()
