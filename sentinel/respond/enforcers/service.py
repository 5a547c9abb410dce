"""The enforcing process: takes orders over a unix socket, checks them against its own list, has the kernel cut, looks again, answers.

In: QUARANTINE and RELEASE frames (``protocol``).  Out: RECEIPT frames, and a line in its own journal before and after each change.  What is
in force lives in the kernel alone: after a kill it is read back from there.  When the site reloads its firewall and flushes our table with
it, the table and what was in force are put back for their remaining time.
"""

import asyncio
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from sentinel.clock import Clock
from sentinel.errors import ConfigError, PermanentError, SentinelError, TransientError
from sentinel.model.action import Receipt
from sentinel.model.codec import CodecError, from_json, to_json
from sentinel.model.exchange import Failure, QuarantineOrder, ReleaseOrder
from sentinel.model.framing import Frame, FrameKind, FrameReader, FramingError
from sentinel.model.ids import ActionId, AssetId
from sentinel.model.time import iso, seconds_between
from sentinel.respond.enforcers import netfilter, ruleset
from sentinel.respond.enforcers.journal import Journal
from sentinel.respond.enforcers.protocol import MAX_ORDER_OCTETS, Greeting
from sentinel.respond.enforcers.ruleset import Held
from sentinel.respond.interlock import address_of, canonical, unusable
from sentinel.respond.lifecycle import MAX_LASTS_S

NAME = "nftables"
IDLE_S = 60.0
WATCH_S = 2.0  # how long a flushed table stays unnoticed
MAX_CONNECTIONS = 4
_CHUNK_OCTETS = 4096
_UCRED = struct.Struct("3i")  # pid, uid, gid
_SLACK_S = 1.0  # the kernel counts whole seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``never_cut``: the interlock's list, checked here again.  ``safety_pairs``: conversations that pass before any cut, and whose two
    ends are never a target.  ``brain_uid``: who may connect beside root and ourselves; the socket is given to that user."""

    socket: str
    journal: str
    never_cut: tuple[str, ...] = ()
    safety_pairs: tuple[tuple[str, str], ...] = ()
    max_lasts_s: float = MAX_LASTS_S
    brain_uid: int | None = None

    def __post_init__(self) -> None:
        for address in (*self.never_cut, *(end for pair in self.safety_pairs for end in pair)):
            if reason := unusable(address):
                raise ConfigError("never_cut, safety_pairs", reason)
        if not 0 < self.max_lasts_s <= MAX_LASTS_S:
            raise ConfigError("max_lasts_s", f"more than 0 and at most {MAX_LASTS_S:.0f} s, not {self.max_lasts_s:g}")


class Service:
    def __init__(self, config: Config, journal: Journal, clock: Clock) -> None:
        self._config = config
        self._journal = journal
        self._clock = clock
        self._setup = ruleset.setup(config.safety_pairs)
        self._never = {canonical(address) for address in config.never_cut}
        self._never |= {canonical(end) for pair in config.safety_pairs for end in pair}
        self._known: dict[str, Held] = {}  # the kernel's own list, as last read
        self._turn = asyncio.Lock()  # one transaction at a time

    async def start(self) -> None:
        """Raises SentinelError when the kernel does not take the table."""
        await netfilter.apply(self._setup)
        await self._read()
        self._journal.write("start", pid=os.getpid(), in_force=[self._line(held) for held in self._known.values()])

    async def quarantine(self, order: QuarantineOrder) -> Receipt:
        began = self._clock.monotonic_s()
        async with self._turn:
            self._journal.write("quarantine", action=order.action, target=order.target, expires=iso(order.expires))
            try:
                message = await self._cut(order)
            except (SentinelError, ValueError, OSError) as error:
                return self._receipt(order.action, False, False, f"not enforced: {error}", began)
            return self._receipt(order.action, True, True, message, began)

    async def release(self, order: ReleaseOrder) -> Receipt:
        began = self._clock.monotonic_s()
        async with self._turn:
            self._journal.write("release", action=order.action, target=order.target)
            try:
                message = await self._release(order)
            except (SentinelError, ValueError, OSError) as error:
                return self._receipt(order.action, False, False, f"not released: {error}", began)
            return self._receipt(order.action, True, True, message, began)

    async def in_force(self) -> tuple[Held, ...]:
        async with self._turn:
            await self._read()
            return tuple(self._known.values())

    async def watch(self) -> None:
        """For ever: records what expired, puts back what somebody else took away."""
        while True:
            await asyncio.sleep(WATCH_S)
            async with self._turn:
                try:
                    await self._restore()
                except SentinelError as error:
                    self._journal.write("blind", problem=str(error))

    async def _cut(self, order: QuarantineOrder) -> str:
        now = self._clock.now()
        target = self._permitted(order.target)
        lasts_s = seconds_between(now, order.expires)
        if lasts_s > self._config.max_lasts_s + _SLACK_S:
            raise PermanentError(f"{lasts_s:.0f} s is longer than the {self._config.max_lasts_s:.0f} s that one action may last")
        await self._restore()
        other = self._known.get(target)
        if other is not None and other.action != order.action:
            raise PermanentError(f"{target} is cut already, by action {other.action}, until {iso(other.expires)}")
        await netfilter.apply(ruleset.cut(target, order.action, order.expires, now))
        forgotten = await netfilter.forget_connections(target)
        await self._read()
        held = self._known.get(target)
        if held is None or held.action != order.action:
            raise PermanentError(f"the kernel took the rule, but does not list {target}")
        sessions = f"{forgotten} tracked connections ended"
        if forgotten is None:
            sessions = "conntrack is not installed: a session that was idle all the time may go on after the end"
        return f"{target} is cut until {iso(order.expires)}; {sessions}"

    async def _release(self, order: ReleaseOrder) -> str:
        target = str(address_of(order.target))
        await self._restore()
        held = self._known.get(target)
        if held is None:
            return f"{target} is not cut"
        if held.action != order.action:
            return f"nothing of this action is in force; {target} stays cut by action {held.action}"
        await netfilter.apply(ruleset.release(target))
        await self._read()
        if target in self._known:
            raise PermanentError(f"the kernel still lists {target}")
        return f"{target} is released; {held.packets} packets were refused"

    def _permitted(self, target: AssetId) -> str:
        if reason := unusable(target):
            raise PermanentError(reason)
        address = address_of(target)
        if address.is_loopback:
            raise PermanentError(f"{target} is this machine itself")
        if str(address) in self._never:
            raise PermanentError(f"{target} is on the enforcer's own list of what is never cut")
        return str(address)

    async def _restore(self) -> None:
        before, now = self._known, self._clock.now()
        try:
            await self._read()
        except PermanentError as error:  # the table is gone: nft says so
            self._journal.write("table lost", problem=str(error))
            await netfilter.apply(self._setup)
            await self._read()
        for target, held in before.items():
            if target in self._known:
                continue
            left_s = seconds_between(now, held.expires)
            if left_s <= _SLACK_S or held.action is None:
                self._journal.write("expired", **self._line(held))
                continue
            self._journal.write("put back", **self._line(held))
            await netfilter.apply(ruleset.cut(target, held.action, held.expires, now))
        await self._read()

    async def _read(self) -> None:
        listing = await netfilter.listing()
        try:
            held = ruleset.in_force(listing, self._clock.now())
        except ValueError as error:
            raise TransientError(str(error)) from error
        self._known = {str(one.target): one for one in held}

    def _receipt(self, action: ActionId, applied: bool, verified: bool, message: str, began: float) -> Receipt:
        took_ms = (self._clock.monotonic_s() - began) * 1000
        self._journal.write("receipt", action=action, applied=applied, message=message, took_ms=round(took_ms, 3))
        return Receipt(
            action=action, enforcer=NAME, applied=applied, verified=verified, at=self._clock.now(), message=message, took_ms=took_ms
        )

    @staticmethod
    def _line(held: Held) -> dict[str, str | int | None]:
        return {"target": held.target, "action": held.action, "expires": iso(held.expires), "packets": held.packets}


class Door:
    """The unix socket in front of a `Service`."""

    def __init__(self, service: Service, config: Config, journal: Journal) -> None:
        self._service = service
        self._journal = journal
        self._open = 0
        self._allowed = {0, os.geteuid()} | ({config.brain_uid} if config.brain_uid is not None else set())

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if problem := self._unwelcome(writer):
                self._journal.write("refused", problem=problem)
            else:
                await self._converse(reader, writer)
        except (ConnectionError, TimeoutError) as error:
            self._journal.write("connection ended", problem=repr(error))
        finally:
            self._open -= 1
            writer.close()

    def _unwelcome(self, writer: asyncio.StreamWriter) -> str | None:
        peer: socket.socket = writer.get_extra_info("socket")
        _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid not in self._allowed:
            return f"user {uid} may not give orders"
        return f"{self._open} connections at once" if self._open > MAX_CONNECTIONS else None

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            greeting = Greeting(process="enforcer", pid=os.getpid(), in_force=await self._service.in_force())
        except SentinelError as error:
            self._journal.write("blind", problem=str(error))
            await _send(writer, FrameKind.FAILURE, 0, Failure(problem=f"cannot read what is in force: {error}"))
            return
        await _send(writer, FrameKind.HELLO, 0, greeting)
        frames = FrameReader(MAX_ORDER_OCTETS)
        while octets := await asyncio.wait_for(reader.read(_CHUNK_OCTETS), IDLE_S):
            try:
                for frame in frames.feed(octets):
                    await _send(writer, FrameKind.RECEIPT, frame.sequence, await self._serve(frame))
            except (FramingError, CodecError) as error:
                self._journal.write("refused", problem=str(error)[:300])
                await _send(writer, FrameKind.FAILURE, 0, Failure(problem=str(error)[:300]))
                return

    async def _serve(self, frame: Frame) -> Receipt:
        if frame.kind is FrameKind.QUARANTINE:
            return await self._service.quarantine(from_json(QuarantineOrder, frame.payload))
        if frame.kind is FrameKind.RELEASE:
            return await self._service.release(from_json(ReleaseOrder, frame.payload))
        raise FramingError(f"{frame.kind.name} is no order to an enforcer")


async def _send(writer: asyncio.StreamWriter, kind: FrameKind, sequence: int, value: object) -> None:
    writer.write(Frame(kind, sequence, to_json(value)).encode())
    await asyncio.wait_for(writer.drain(), IDLE_S)


def listen(config: Config) -> socket.socket:
    """Bound before capabilities are given up: the directory may belong to another user.  Raises ConfigError."""
    path = Path(config.socket)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
        listener.bind(str(path))
        if config.brain_uid is not None:
            os.chown(path, config.brain_uid, -1)
        listener.listen(MAX_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise ConfigError("socket", f"{path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    return listener
