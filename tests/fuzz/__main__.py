"""``python -m tests.fuzz --minutes 10 [--target NAME] [--corpus DIRECTORY]``: every parser for an equal share of the time.

Prints, of each, how many inputs were tried and how many branches they reached; exits with 1 when one raised what no parser promises, and
keeps that input in the corpus.  A corpus that is kept goes on where the last run ended.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.data import ROOT

TARGETS = ("packets", "modbus", "unknown port", "opcua", "names", "files")
_SLOW_S = 60  # of one input: then it hangs
_GRACE_S = 300  # to start and to end


def fuzz(target: str, seconds: int, corpus: Path) -> bool:
    """Did it hold?"""
    corpus.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-timeout={_SLOW_S}", "-print_final_stats=1", "-max_len=8192", f"-artifact_prefix={corpus}/"]
    command = [sys.executable, "-m", "tests.fuzz.run", target, str(corpus), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=seconds + _GRACE_S, check=False)
    tried = re.findall(r"stat::number_of_executed_units: (\d+)", done.stderr)
    reached = re.findall(r"cov: (\d+)", done.stderr)
    print(
        f"{target}: {tried[-1] if tried else 'no'} inputs, {reached[-1] if reached else 'no'} branches, ended with {done.returncode}",
        flush=True,
    )
    if done.returncode:
        print(done.stderr[-4000:], file=sys.stderr)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--corpus", type=Path)
    options = parser.parse_args()
    targets = options.target or TARGETS
    with tempfile.TemporaryDirectory(prefix="sentinel-fuzz-") as made:
        where = options.corpus or Path(made)
        held = [fuzz(target, round(60 * options.minutes / len(targets)), where / target.replace(" ", "-")) for target in targets]
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
