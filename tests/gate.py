"""What has to pass before anything lands: ``python -m tests.gate [--static]``.

Reads the code (format, lint, types, import contracts, the lock's freedom from addresses), then runs every test.  Those that start the whole
appliance go one by one, with the right of way; the others, one worker a core and a file with one worker, take what these leave.  Those that
hold times against a limit come last, alone.  All checks run even when one fails, so that one look shows everything; the exit status is 0
only when all passed.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
LAST_IN_LINE = 19  # of the scheduler's niceness: who has it takes what others leave

Checks = Mapping[str, Sequence[str | Path]]
STATIC: Checks = {
    "format": [BIN / "ruff", "format", "--check", "."],
    "lint": [BIN / "ruff", "check", "."],
    "types": [BIN / "mypy"],
    "imports": [BIN / "lint-imports", "--no-cache"],
}
_PYTEST = [sys.executable, "-m", "pytest", "tests"]
APPLIANCE: Checks = {"tests of the appliance": [*_PYTEST, "-m", "appliance"]}
SHARING: Checks = {"tests": [*_PYTEST, "-m", "not appliance and not alone", "-n", "auto", "--dist", "loadfile"]}
ALONE: Checks = {"tests alone": [*_PYTEST, "-m", "alone"]}


def main() -> int:
    failed = _each(STATIC)
    if "--static" not in sys.argv[1:]:
        with tempfile.TemporaryFile() as said:
            started = time.monotonic()
            beside = {name: _begin(command, said) for name, command in SHARING.items()}
            failed += _each(APPLIANCE)
            statuses = {name: process.wait() for name, process in beside.items()}
            said.seek(0)
            sys.stdout.buffer.write(said.read())
            failed += [name for name, status in statuses.items() if not _passed(name, status, started)]
        failed += _each(ALONE)
    return 1 if failed else 0


def _begin(command: Sequence[str | Path], said: IO[bytes]) -> "subprocess.Popen[bytes]":
    nice = ["nice", "-n", str(LAST_IN_LINE)]
    return subprocess.Popen([*nice, *map(str, command)], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)


def _each(checks: Checks) -> list[str]:
    failed = []
    for name, command in checks.items():
        started = time.monotonic()
        status = subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode
        if not _passed(name, status, started):
            failed.append(name)
    return failed


def _passed(name: str, status: int, started: float) -> bool:
    print(f"[gate] {name}: {'passed' if status == 0 else f'FAILED ({status})'} in {time.monotonic() - started:.0f} s", flush=True)
    return status == 0


if __name__ == "__main__":
    sys.exit(main())
