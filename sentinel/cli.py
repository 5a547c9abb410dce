"""The command line: a table of sub-commands.

What a person got wrong is one line on stderr and exit status 2; what we got wrong is loud.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from sentinel import __version__
from sentinel.errors import SentinelError

COMMANDS = (
    "run",
    "demo",
    "replay",
    "decode",
    "inventory",
    "learn",
    "baseline",
    "check",
    "evidence",
    "rerun",
    "whatif",
    "history",
    "bench",
    "enrol",
    "plan",
    "plant",
    "describe",
    "sample-config",
)
_USAGE_STATUS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Only the named sub-command's module is imported: some of them are heavy."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = next((word for word in given if word in COMMANDS), None)
    parser = argparse.ArgumentParser(
        prog="sentinel",
        description="Industrial security monitoring: no command reaches the plant before the twin has lived through it.",
    )
    parser.add_argument("--version", action="version", version=f"sentinel {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        if chosen in (None, name):
            module = importlib.import_module(f"sentinel.commands.{name.replace('-', '_')}")
            sub = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    parsed = parser.parse_args(given)
    try:
        status: int = parsed.run(parsed)
        sys.stdout.flush()  # whoever reads our output may be gone
    except SentinelError as error:
        print(f"sentinel {parsed.command}: {error}", file=sys.stderr)
        return _USAGE_STATUS
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has seen enough; a second complaint at exit helps nobody
        return 0
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
