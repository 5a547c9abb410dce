"""What holds for every test.

Properties have one profile: the gate says the same twice, on any machine; ``HYPOTHESIS_PROFILE=search`` draws anew.  What starts the whole
appliance has the right of way.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings

E2E = Path(__file__).parent / "e2e"

settings.register_profile("gate", deadline=None, derandomize=True, database=None)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(E2E):
            item.add_marker(pytest.mark.appliance)
