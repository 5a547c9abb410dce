"""Server-sent events: every finding and action as it becomes, in the order of its commit.

In: word from the records' writer thread that something changed.  Out: one event per change, ``id`` = its revision, so that a client that
was away gives ``Last-Event-ID`` and misses nothing that is still the newest.  A slow client gets the newest state of each, not every step.
"""

import asyncio
from collections.abc import AsyncIterator

from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool

from sentinel.access import Refusal
from sentinel.api.ports import ApiState
from sentinel.errors import TransientError
from sentinel.model.codec import to_json
from sentinel.records import Change

MAX_STREAMS = 64
CHECK_PERIOD_S = 0.5  # how often an open stream asks whether its certificate still counts
PING_PERIOD_S = 15.0
RETRY_MS = 2000


class Streams:
    """All open streams of one application."""

    def __init__(self, state: ApiState) -> None:
        self._state = state
        self._open: set[asyncio.Event] = set()
        self._stopping = False

    def stop(self) -> None:
        """Every stream ends at once; called in the event loop."""
        self._stopping = True
        for wake in self._open:
            wake.set()

    def stream(self, der: bytes, after: int | None) -> AsyncIterator[bytes]:
        """``after``: the last revision that the client has seen; None = only what comes.  Raises TransientError when too many are open."""
        if len(self._open) >= MAX_STREAMS:
            raise TransientError(f"{MAX_STREAMS} event streams are open already")
        return self._changes(der, after)

    async def _changes(self, der: bytes, after: int | None) -> AsyncIterator[bytes]:
        loop, wake = asyncio.get_running_loop(), asyncio.Event()
        records = self._state.records

        def changed(_change: Change) -> None:  # in the writer's thread
            if not loop.is_closed():
                loop.call_soon_threadsafe(wake.set)

        self._open.add(wake)
        unsubscribe = records.subscribe(changed)  # before looking back, so that nothing falls between
        try:
            seen = await run_in_threadpool(records.revision) if after is None else after
            yield format_sse_event(comment=f"from revision {seen}", retry=RETRY_MS)
            wake.set()
            checked_s = pinged_s = loop.time()
            while not self._stopping:
                if wake.is_set():
                    wake.clear()
                    for change in await run_in_threadpool(records.changes_since, seen):
                        seen = change.revision
                        wake.set()  # until there is nothing more
                        yield _event(change)
                if loop.time() - checked_s >= CHECK_PERIOD_S:
                    checked_s = loop.time()
                    if isinstance(await run_in_threadpool(self._state.access.identify, der), Refusal):
                        return
                if loop.time() - pinged_s >= PING_PERIOD_S:
                    pinged_s = loop.time()
                    yield format_sse_event(comment="here")
                await _wait(wake, CHECK_PERIOD_S)
        finally:
            unsubscribe()
            self._open.discard(wake)


async def _wait(wake: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await wake.wait()
    except TimeoutError:
        return


def _event(change: Change) -> bytes:
    kind = type(change.value).__name__.lower()
    return format_sse_event(data_str=to_json(change.value).decode(), event=kind, id=str(change.revision))
