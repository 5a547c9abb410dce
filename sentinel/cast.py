"""The demo's cast: processes that say what they do as JSON lines, and people who call the API."""

import asyncio
import contextlib
import json
import signal
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from sentinel.errors import TransientError

Changes = AsyncIterator[tuple[str, Mapping[str, Any]]]


@dataclass(slots=True)
class Actor:
    """A process of the cast and the JSON lines that it says."""

    name: str
    child: asyncio.subprocess.Process
    lines: "asyncio.Queue[Mapping[str, Any]]" = field(default_factory=asyncio.Queue)

    async def hear(self) -> None:
        assert self.child.stdout is not None
        async for line in self.child.stdout:
            self.lines.put_nowait(json.loads(line))

    def forget(self) -> None:
        """What was said so far."""
        while not self.lines.empty():
            self.lines.get_nowait()

    async def until(self, *events: str, within_s: float) -> Mapping[str, Any]:
        """The next line of one of these kinds; others are passed over.  Raises TransientError when it does not come."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    line = await self.lines.get()
                    if line.get("event") in events:
                        return line
        except TimeoutError as error:
            raise TransientError(f"the {self.name} did not say {' or '.join(events)} within {within_s:.0f} s") from error

    async def end(self) -> None:
        if self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.child.send_signal(signal.SIGTERM)
        await self.child.wait()


class Person:
    """Calls the API with a certificate of its own."""

    def __init__(self, name: str, url: str, people: Path) -> None:
        context = ssl.create_default_context(cafile=str(people / "ca.pem"))
        context.load_cert_chain(people / f"{name}.pem", people / f"{name}.key")
        self.name = name
        self.client = httpx.AsyncClient(base_url=url, verify=context, timeout=10.0, trust_env=False)

    async def get(self, path: str, **parameters: Any) -> Any:
        answer = await self.client.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = await self.client.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    async def changes(self, after: int) -> Changes:
        """New and changed findings and actions, as the server sends them."""
        headers = {"Last-Event-ID": str(after)}
        async with self.client.stream("GET", "/events", headers=headers, timeout=httpx.Timeout(10.0, read=60.0)) as stream:
            kind = ""
            async for line in stream.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, json.loads(value)
