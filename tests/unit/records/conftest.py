from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.clock import ManualClock
from sentinel.records import Records


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def records(tmp_path: Path, clock: ManualClock) -> Iterator[Records]:
    made = Records(tmp_path / "records", clock)
    yield made
    made.close()
