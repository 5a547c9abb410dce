"""A court whose isolation has a hole, to see that it is found.  `weakened_court.py CONFIG omit|hollow LAYER`

omit: the layer is not installed.  hollow: the layer says that it is installed, and is not.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sandbox.__main__ import NOT_ISOLATED, hold_court
from sandbox.config import read
from sandbox.isolation import Layer, own_layers
from sentinel.errors import IsolationError

_, config, how, name = sys.argv


def layers(anchor: str) -> Mapping[str, Layer]:
    own = own_layers(anchor)
    if how == "omit":
        del own[name]
    else:
        own[name] = replace(own[name], install=lambda: None)
    return own


try:
    sys.exit(hold_court(read(Path(config)), layers))
except IsolationError as error:
    print(error, file=sys.stderr)
    sys.exit(NOT_ISOLATED)
