"""What was said before a frame in its own conversation comes with it; nobody else's words do, and not without end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.capture import context as module
from collectors.capture.packets import ETHERNET, PacketBatch
from collectors.capture.recent import RecentFrames
from sentinel.clock import ManualClock
from tests.unit.collectors.capture.frames import START, Talk, read, registers

ALWAYS = 2**63 - 1
S = 1_000_000_000


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[RecentFrames]:
    made = RecentFrames(tmp_path, [("plant", ETHERNET)], ManualClock(), limit_octets=1 << 24, limit_s=3600.0)
    yield made
    made.close()


def two_talks(ring: RecentFrames, every_s: float = 1.0, count: int = 10) -> None:
    """Frame after frame in turn: odd ones of one client, even ones of another, ``every_s`` apart."""
    one, other = Talk(client="10.0.0.1", syn=False), Talk(client="10.0.0.3", syn=False)
    for number in range(count):
        for talk in (one, other):
            (talk.ask if number % 2 == 0 else talk.answer)(read(number) if number % 2 == 0 else registers(number))
    packets = [packet for pair in zip(one.packets, other.packets, strict=True) for packet in pair]
    ring.keep(PacketBatch.of(packets, [START + round(at * every_s * S) for at in range(len(packets))]))


def frames(ring: RecentFrames, *listed: int) -> list[int]:
    return [packet.frame for packet in ring.excerpt(listed, 0, ALWAYS, context=True)]


def test_what_was_said_before_in_both_directions(ring: RecentFrames) -> None:
    two_talks(ring)
    assert frames(ring, 7) == [1, 3, 5, 7]
    assert frames(ring, 6, 9) == [1, 2, 3, 4, 5, 6, 7, 9]
    assert [packet.frame for packet in ring.excerpt([7], 0, ALWAYS)] == [7], "only where it is asked for"


def test_nothing_older_than_a_minute(ring: RecentFrames) -> None:
    two_talks(ring, every_s=10.0)
    assert frames(ring, 19) == [15, 17, 19]


def test_the_nearest_come_first_where_there_is_no_room_for_all(ring: RecentFrames, monkeypatch: pytest.MonkeyPatch) -> None:
    two_talks(ring)
    monkeypatch.setattr(module, "MAX_CONTEXT_OCTETS", 150)
    assert frames(ring, 5, 19) == [3, 5, 17, 19]


def test_frames_that_are_gone_have_no_context(ring: RecentFrames) -> None:
    two_talks(ring)
    assert frames(ring, 99) == []
    assert frames(ring) == []
