"""Work that nobody waits for: kept until it has ended, and not silent when it failed."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from sentinel.errors import SentinelError

log = logging.getLogger(__name__)


class Errands:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] | None = None

    async def watch(self) -> None:
        """Until cancelled, or until one of them failed for a reason that is our bug, now or before: that is raised here."""
        await self._fate()

    def send(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, SentinelError):
            log.warning("%s: %s", task.get_name(), error)
        elif not self._fate().done():
            self._fate().set_exception(error)  # our bug is loud: the brain ends, the supervisor starts it again

    def _fate(self) -> "asyncio.Future[None]":
        if self._failure is None:
            self._failure = asyncio.get_running_loop().create_future()
        return self._failure
