"""What people may ask of the twin and of the planners, and when the answer is "not now"."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sentinel.brain.foresight import Foresight, Planning
from sentinel.clock import ManualClock
from sentinel.errors import TransientError
from sentinel.model.plan import Plan
from sentinel.model.tags import TagMap
from sentinel.records import Records

PROBLEM = {"machines": ["A"], "jobs": {"J": {"operations": [{"machines": {"A": 2}}]}}}


class NoSnapshot:
    snapshot = None


@pytest.fixture
def records(tmp_path: Path) -> Any:
    kept = Records(tmp_path, ManualClock())
    yield kept
    kept.close()


def test_a_twin_without_readings_is_not_there_yet(records: Records) -> None:
    foresight = Foresight(NoSnapshot(), None, None, TagMap(()), records, ManualClock())  # type: ignore[arg-type]
    with pytest.raises(TransientError, match="no state yet"):
        foresight.state()


async def test_searches_do_not_pile_up(records: Records) -> None:
    planning = Planning(records, None, TagMap(()), ManualClock())
    first, second = await asyncio.gather(*(planning.plan("scheduling", PROBLEM, "eve") for _ in range(2)), return_exceptions=True)
    assert isinstance(first, Plan)
    assert first.objective == 2
    assert isinstance(second, TransientError)
    assert isinstance(await planning.plan("scheduling", PROBLEM, "eve"), Plan)  # the place is free again
