from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.unit.api.appliance import Appliance


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    """Not served: for tests that look at the application from inside."""
    made = Appliance(tmp_path)
    yield made
    made.records.close()


@pytest.fixture
async def served(appliance: Appliance) -> AsyncIterator[Appliance]:
    async with appliance.serving():
        yield appliance
