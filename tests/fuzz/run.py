"""One target under libFuzzer, which ends this process with a status of its own: ``python -m tests.fuzz.run TARGET CORPUS [options]``."""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["collectors"]):
    from tests.fuzz.targets import TARGETS, lay_seeds


def main() -> None:
    lay_seeds(sys.argv[1], Path(sys.argv[2]))
    take = TARGETS[sys.argv[1]]()
    atheris.Setup([sys.argv[0], *sys.argv[2:]], take)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
