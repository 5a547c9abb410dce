from collections.abc import Iterator

import pytest

from tests.e2e.bed import Bed, need


@pytest.fixture
def bed() -> Iterator[Bed]:
    need()
    with Bed() as built:
        yield built
