"""One profile for all properties: the gate says the same twice, on any machine; ``HYPOTHESIS_PROFILE=search`` draws anew."""

import os

from hypothesis import settings

settings.register_profile("gate", deadline=None, derandomize=True, database=None)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))
