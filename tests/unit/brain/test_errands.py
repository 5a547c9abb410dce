"""Work that nobody waits for."""

import asyncio

import pytest

from sentinel.brain.errands import Errands
from sentinel.errors import TransientError


async def _fails(error: Exception) -> None:
    raise error


async def test_our_bug_ends_whoever_watches_even_when_it_came_first() -> None:
    errands = Errands()
    errands.send(_fails(ZeroDivisionError("early")), "early")
    for _ in range(3):
        await asyncio.sleep(0)
    errands.send(_fails(ValueError("late")), "late")
    with pytest.raises(ZeroDivisionError, match="early"):
        await errands.watch()


async def test_what_the_outside_refuses_is_said_and_nobody_ends(caplog: pytest.LogCaptureFixture) -> None:
    errands = Errands()
    errands.send(_fails(TransientError("the disk is full")), "excerpt f1")
    watching = asyncio.ensure_future(errands.watch())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not watching.done()
    assert caplog.messages == ["excerpt f1: the disk is full"]
    watching.cancel()
