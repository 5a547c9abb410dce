"""Runs nft and conntrack in the network namespace of this process: documents in, listings out.

Raises `TransientError` when a tool is missing or does not answer, `PermanentError` when it refuses; both texts carry the tool's own words.
"""

import asyncio
import json
import re
from typing import Any

from sentinel.errors import PermanentError, TransientError
from sentinel.respond.enforcers.ruleset import TABLE, Document

TIMEOUT_S = 5.0  # one transaction takes 3 to 20 ms
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_DELETED = re.compile(r"(\d+) flow entries have been deleted")


async def apply(document: Document, check_only: bool = False) -> None:
    """One transaction: all of it or nothing.  ``check_only`` asks the kernel without changing anything."""
    await _run(["nft", "-j", *(["-c"] if check_only else []), "-f", "-"], json.dumps(document).encode())


async def listing() -> dict[str, Any]:
    """Of our own table alone."""
    output = await _run(["nft", "-j", "list", "table", "inet", TABLE])
    try:
        parsed: dict[str, Any] = json.loads(output)
    except ValueError as error:
        raise PermanentError(f"nft printed no JSON: {error}") from error
    return parsed


async def forget_connections(address: str) -> int | None:
    """Deletes what the kernel remembers of connections from or to the address; None when conntrack is not installed."""
    try:
        return sum(await asyncio.gather(_forget(address, "--src"), _forget(address, "--dst")))
    except FileNotFoundError:
        return None


async def _forget(address: str, side: str) -> int:
    child = await _start(["conntrack", "-D", "-f", "ipv6" if ":" in address else "ipv4", side, address])
    _, errors = await _finish(child, b"")
    found = _DELETED.search(errors.decode(errors="replace"))
    if found is None:
        raise PermanentError(f"conntrack: {_words(errors)}")
    return int(found.group(1))


async def _run(argv: list[str], stdin: bytes = b"") -> bytes:
    try:
        child = await _start(argv)
    except OSError as error:
        raise TransientError(f"{argv[0]} cannot be started: {error.strerror}") from error
    output, errors = await _finish(child, stdin)
    if child.returncode != 0:
        raise PermanentError(f"{argv[0]}: {_words(errors)}")
    return output


async def _start(argv: list[str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe, env=_ENVIRONMENT)


async def _finish(child: asyncio.subprocess.Process, stdin: bytes) -> tuple[bytes, bytes]:
    try:
        return await asyncio.wait_for(child.communicate(stdin), TIMEOUT_S)
    except TimeoutError as error:
        child.kill()
        await child.wait()
        raise TransientError(f"no answer within {TIMEOUT_S:.0f} s") from error


def _words(errors: bytes) -> str:
    return " ".join(errors.decode(errors="replace").split())[:300] or "refused without a word"
