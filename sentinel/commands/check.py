"""``sentinel check``: is what the appliance kept still what it was.

Verifies the database file, the audit chain, every kept row and the digest of every evidence file.  Exit status 1, and the first broken row
by its number, when something is not.  Changes nothing but an older database's version; may run beside the appliance.
"""

import argparse
import sys
from pathlib import Path

from sentinel import settings as configuration
from sentinel.clock import SystemClock
from sentinel.errors import InputError
from sentinel.places import Places
from sentinel.records import Records
from sentinel.records.records import DATABASE

SUMMARY = "verify the audit chain, the database and the evidence"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=Path("sentinel.toml"), help="settings file (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    kept = Places.of(configuration.read(args.config), args.config).records
    if not (kept / DATABASE).exists():
        raise InputError(f"{kept / DATABASE}: there is no such database; was the appliance ever started with these settings?")
    records = Records(kept, SystemClock())
    try:
        problems = list(records.problems())
        chain = records.audit.verify()
    finally:
        records.close()
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    print(f"audit chain: {chain.rows} rows, head {chain.head}; database and evidence are whole")
    return 0
