"""The relay's end of observation: what passes is written down and handed to a process of its own, which decodes and reports it.

Decoding in the relay's process would cost its readers milliseconds at the 99th percentile, even in a thread, for they share one
interpreter.  In: octets and connection events, as they pass.  Out: `collectors.gate.records` on the observer's standard input, in batches,
each closed by a mark.  Bounded: what the observer does not take is dropped and counted, openings and ends of connections last of all.
An observer that dies, or stands still while connections come and go, is started again and told which connections stand; its outage is
reported.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import suppress

from collectors.gate.records import RECORD, ObserverConfig, Record, connection, pack
from collectors.pause import pause
from sentinel.clock import Clock
from sentinel.model.codec import to_json
from sentinel.model.ids import AssetId
from sentinel.model.observation import Outage
from sentinel.model.time import NS_PER_S, Instant

LIMIT_OCTETS = 8 * 1024 * 1024  # some 290,000 of the smallest requests: as rows they still fit into one frame
LIMIT_EVENTS = 100_000  # openings, ends and refusals that wait
QUIET_S = 0.5  # the watermark moves at least this often while nothing passes
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 5.0
_ENDING_S = 1.0  # a process that is gone is known to be within it

log = logging.getLogger(__name__)


class Tap:
    """``report`` is called for each time that the observer was away, once it runs again."""

    def __init__(self, config: ObserverConfig, clock: Clock, period_s: float, report: Callable[[Outage], None]) -> None:
        self._config, self._clock, self._period_s, self._report = config, clock, period_s, report
        self._flows: dict[int, AssetId] = {}
        self._last = Instant(0)
        self._events: list[bytes] = []  # kept as long as may be
        self._written: list[bytes] = []  # everything, in order
        self._octets = self._records = 0  # what waits, without events
        self._has_hole = False
        self.dropped = 0
        self.process: asyncio.subprocess.Process | None = None  # the observer that runs now

    def opened(self, flow: int, client: AssetId) -> None:
        self._flows[flow] = client
        self._note(connection(Record.OPENED, flow, self._now(), client))

    def closed(self, flow: int, *, reset: bool) -> None:
        if self._flows.pop(flow, None) is not None:
            self._note(pack(Record.RESET if reset else Record.CLOSED, flow, self._now(), b""))

    def refused(self, client: AssetId) -> None:
        self._note(connection(Record.REFUSED, 0, self._now(), client))

    def hear(self, flow: int, from_client: bool, octets: bytes) -> None:
        """On the relay's shortest way: two appends."""
        self._records += 1
        self._octets += RECORD.size + len(octets)
        if self._octets > LIMIT_OCTETS:
            self._drop()
            return
        kind = Record.FROM_CLIENT if from_client else Record.FROM_SERVER
        self._written.append(RECORD.pack(kind, flow, self._now(), len(octets)))
        self._written.append(octets)

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps an observer running and fed until ``stop``; then lets it finish."""
        delay_s, outage_since, reason = _FIRST_DELAY_S, None, ""
        while not stop.is_set():
            try:
                child = await self._begin()
                if outage_since is not None:
                    self._report(Outage(process=self._config.name, since=outage_since, until=self._now(), reason=reason))
                    outage_since = None
                await self._feed(child, stop)
            except OSError as error:
                outage_since, reason = outage_since or self._now(), await self._why(error)
                log.warning("the observer is started again: %s", reason)
                self._has_hole = True
                await pause(stop, delay_s)
                delay_s = min(2 * delay_s, _LONGEST_DELAY_S)
        await self._end()

    async def _begin(self) -> asyncio.StreamWriter:
        """Raises OSError when no process can be had."""
        self.process = None
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-s", "-m", "collectors.gate.observer", stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdin is not None
        known = b"".join(connection(Record.KNOWN, flow, self._now(), client) for flow, client in self._flows.items())
        self.process.stdin.write(to_json(self._config) + b"\n" + known)
        return self.process.stdin

    async def _why(self, error: OSError) -> str:
        if self.process is None:
            return f"it cannot be started: {error.strerror}"
        try:
            status = await asyncio.wait_for(self.process.wait(), _ENDING_S)
        except TimeoutError:  # it has only closed its input; a signal before would take its status from whoever waits for it
            with suppress(ProcessLookupError):
                self.process.kill()
            status = await self.process.wait()
        return f"ended with status {status}"

    async def _end(self) -> None:
        if self.process is None or self.process.stdin is None:
            return
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), self._config.farewell_s + 1.0)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    async def _feed(self, sink: asyncio.StreamWriter, stop: asyncio.Event) -> None:
        last_told, stopping = Instant(0), False
        while not stopping:
            await pause(stop, self._period_s)
            stopping = stop.is_set()
            now = self._now()
            if sink.is_closing():
                raise BrokenPipeError
            if not self._written and now - last_told < QUIET_S * NS_PER_S and not stopping:
                continue
            if sink.transport.get_write_buffer_size() > LIMIT_OCTETS:
                self._drop()
                continue
            last_told = now
            hole = [pack(Record.HOLE, 0, now, self.dropped.to_bytes(8, "big"))] if self._has_hole else []
            sink.write(b"".join([*hole, *self._written, RECORD.pack(Record.MARK, 0, now, 0)]))
            self._has_hole = False
            self._written, self._events, self._octets, self._records = [], [], 0, 0
        await sink.drain()

    def _note(self, record: bytes) -> None:
        if len(self._events) >= LIMIT_EVENTS:  # the next observer learns from the start which connections stand
            self.dropped += self._records + len(self._events)
            self._events, self._written, self._octets, self._records = [], [], 0, 0
            if self.process is not None and self.process.returncode is None:
                self.process.kill()
        self._events.append(record)
        self._written.append(record)

    def _drop(self) -> None:
        self.dropped += self._records
        self._written, self._octets, self._records = list(self._events), 0, 0
        self._has_hole = True

    def _now(self) -> Instant:
        """Never backwards, for a watermark must stay true when the machine's clock is set."""
        self._last = max(self._last, self._clock.now())
        return self._last
