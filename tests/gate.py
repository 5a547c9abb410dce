"""What has to pass before anything lands: ``python -m tests.gate [--static]``.

Reads the code (format, lint, types, import contracts, the lock's freedom from addresses), then runs every test: first those that may share
the machine, one worker a core and a file with one worker, then, one by one, those that are marked `alone`.  All checks run even when one
fails, so that one look shows everything; the exit status is 0 only when all passed.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

STATIC = {
    "format": [BIN / "ruff", "format", "--check", "."],
    "lint": [BIN / "ruff", "check", "."],
    "types": [BIN / "mypy"],
    "imports": [BIN / "lint-imports", "--no-cache"],
}
_PYTEST = [sys.executable, "-m", "pytest", "tests"]
TESTS = {
    "tests": [*_PYTEST, "-m", "not alone", "-n", "auto", "--dist", "loadfile"],
    "tests alone": [*_PYTEST, "-m", "alone"],
}


def main() -> int:
    checks = STATIC if "--static" in sys.argv[1:] else STATIC | TESTS
    failed = []
    for name, command in checks.items():
        started = time.monotonic()
        status = subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode
        print(f"[gate] {name}: {'passed' if status == 0 else f'FAILED ({status})'} in {time.monotonic() - started:.0f} s", flush=True)
        if status:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
