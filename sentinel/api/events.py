"""Server-sent events: every finding and action as it becomes, in the order of its commit; and the twin's state as it moves.

In: word from the records' writer thread that something changed; the twin, looked at twice a second while anybody listens.  Out: one event
per change, ``id`` = its revision, so that a client that was away gives ``Last-Event-ID`` and misses nothing that is still the newest.  A
slow client gets the newest state of each record, not every step; of the twin's states it loses the oldest, and is told how many.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool

from sentinel.access import Refusal
from sentinel.api.ports import ApiState, Twin
from sentinel.errors import TransientError
from sentinel.model.codec import to_json
from sentinel.records import Change

MAX_STREAMS = 64
CHECK_PERIOD_S = 0.5  # how often an open stream asks whether its certificate still counts
PING_PERIOD_S = 15.0
RETRY_MS = 2000
LOOK_PERIOD_S = 0.5  # at the twin: it has a new state once a second
KEPT_STATES = 32  # of the twin, for all listeners together; who is further behind has missed some
_AT_ONCE = 4  # states handed to a listener before it is asked again whether it still may

News = Callable[[], Awaitable[list[bytes]]]


class Streams:
    """All open streams of one application."""

    def __init__(self, state: ApiState) -> None:
        self._state = state
        self._open: set[asyncio.Event] = set()
        self._stopping = False
        self._feed = Feed(state.twin, LOOK_PERIOD_S) if state.twin is not None else None

    def stop(self) -> None:
        """Every stream ends at once; called in the event loop."""
        self._stopping = True
        for wake in self._open:
            wake.set()

    def stream(self, der: bytes, after: int | None) -> AsyncIterator[bytes]:
        """``after``: the last revision that the client has seen; None = only what comes.  Raises TransientError when too many are open."""
        self._admit()
        return self._changes(der, after)

    def twin(self, der: bytes) -> AsyncIterator[bytes]:
        """From the newest state on.  Raises TransientError when too many are open."""
        self._admit()
        assert self._feed is not None
        return self._states(der, self._feed)

    def _admit(self) -> None:
        if len(self._open) >= MAX_STREAMS:
            raise TransientError(f"{MAX_STREAMS} event streams are open already")

    async def _changes(self, der: bytes, after: int | None) -> AsyncIterator[bytes]:
        loop, wake = asyncio.get_running_loop(), asyncio.Event()
        records = self._state.records

        def changed(_change: Change) -> None:  # in the writer's thread
            if not loop.is_closed():
                loop.call_soon_threadsafe(wake.set)

        seen = 0

        async def news() -> list[bytes]:
            nonlocal seen
            if not wake.is_set():
                return []
            wake.clear()
            changes = await run_in_threadpool(records.changes_since, seen)
            if changes:
                seen = changes[-1].revision
                wake.set()  # until there is nothing more
            return [_event(change) for change in changes]

        self._open.add(wake)
        unsubscribe = records.subscribe(changed)  # before looking back, so that nothing falls between
        try:
            seen = await run_in_threadpool(records.revision) if after is None else after
            yield format_sse_event(comment=f"from revision {seen}", retry=RETRY_MS)
            wake.set()
            async for octets in self._told(der, wake, news):
                yield octets
        finally:
            unsubscribe()
            self._open.discard(wake)

    async def _states(self, der: bytes, feed: "Feed") -> AsyncIterator[bytes]:
        wake = asyncio.Event()
        self._open.add(wake)
        seen = feed.join(wake)

        async def news() -> list[bytes]:
            nonlocal seen
            wake.clear()
            states, missed = feed.since(seen)
            seen += missed + len(states)
            if len(states) == _AT_ONCE:
                wake.set()
            told = [format_sse_event(data_str=json.dumps({"missed": missed}), event="missed")] if missed else []
            return told + states

        try:
            yield format_sse_event(comment="live", retry=RETRY_MS)
            async for octets in self._told(der, wake, news):
                yield octets
        finally:
            feed.leave(wake)
            self._open.discard(wake)

    async def _told(self, der: bytes, wake: asyncio.Event, news: News) -> AsyncIterator[bytes]:
        """What is new whenever ``wake`` is set, until the certificate no longer counts or everything stops."""
        loop = asyncio.get_running_loop()
        checked_s = pinged_s = loop.time()
        while not self._stopping:
            for octets in await news():
                yield octets
            if loop.time() - checked_s >= CHECK_PERIOD_S:
                checked_s = loop.time()
                if isinstance(await run_in_threadpool(self._state.access.identify, der), Refusal):
                    return
            if loop.time() - pinged_s >= PING_PERIOD_S:
                pinged_s = loop.time()
                yield format_sse_event(comment="here")
            await _wait(wake, CHECK_PERIOD_S)


class Feed:
    """The twin's states for all who listen: looked at and encoded once, the newest `KEPT_STATES` kept, numbered from 1."""

    def __init__(self, twin: Twin, period_s: float) -> None:
        self._twin = twin
        self._period_s = period_s
        self._kept: deque[bytes] = deque(maxlen=KEPT_STATES)
        self._listeners: set[asyncio.Event] = set()
        self._looking: asyncio.Task[None] | None = None
        self._at: Any = None
        self._newest = 0

    def join(self, wake: asyncio.Event) -> int:
        """The number after which a new listener begins: with the newest state, where there is one."""
        self._listeners.add(wake)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look(), name="twin feed")
        return self._newest - bool(self._kept)

    def leave(self, wake: asyncio.Event) -> None:
        """The last one out ends the looking."""
        self._listeners.discard(wake)
        if not self._listeners and self._looking is not None:
            self._looking.cancel()
            self._looking, self._at = None, None
            self._kept.clear()  # whoever comes next begins with what is new by then

    def since(self, seen: int) -> tuple[list[bytes], int]:
        """(some states after that number, how many between are no longer kept)."""
        if self._looking is not None and self._looking.done():
            self._looking.result()  # our bug is loud: the stream breaks
        oldest = self._newest - len(self._kept) + 1
        missed = max(0, oldest - seen - 1)
        start = max(0, seen + 1 - oldest)
        return list(self._kept)[start : start + _AT_ONCE], missed

    async def _look(self) -> None:
        while True:
            state = await run_in_threadpool(self._state_or_none)
            if state is not None and state["at"] != self._at:
                self._at = state["at"]
                self._newest += 1
                text = json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
                self._kept.append(format_sse_event(data_str=text, event="twin", id=str(self._newest)))
                for wake in self._listeners:
                    wake.set()
            await asyncio.sleep(self._period_s)

    def _state_or_none(self) -> Any:
        try:
            return self._twin.live()
        except TransientError:  # no state yet: there is nothing to tell
            return None


async def _wait(wake: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await wake.wait()
    except TimeoutError:
        return


def _event(change: Change) -> bytes:
    kind = type(change.value).__name__.lower()
    return format_sse_event(data_str=to_json(change.value).decode(), event=kind, id=str(change.revision))
