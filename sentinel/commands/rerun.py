"""``sentinel rerun CASE``: does the case lead to the verdict that is stated in it?  Offline, on any machine, without the appliance.

Checks the seal, compiles the twin from the plant file in the case, lives through the command again from the same state with the same random
numbers, and compares the verdicts field by field.  Exit status 0 only when all of it agrees; 1 when it does not; 2 when there is no case in
the file.
"""

import argparse
from pathlib import Path

from sandbox.casefile import MAX_OCTETS, CaseFile, rerun
from sentinel.access import seal
from sentinel.errors import InputError
from sentinel.model.codec import CodecError, to_jsonable
from sentinel.model.verdict import Verdict

SUMMARY = "come to a kept verdict again, from its case file alone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="CASE", help="as the API gives it under /verdicts/ID/case")
    parser.add_argument("--authority", type=Path, metavar="PEM", help="the appliance's root certificate; without it the seal is only shown")


def run(args: argparse.Namespace) -> int:
    case = _read(args.file)
    command, verdict = case.stated.command, case.verdict
    writes = ", ".join(one.words() for one in command.writes)
    print(f"{command.operation} by {command.source}: {writes}")
    sealed = _seal(case, args.authority)
    again = rerun(case)
    differences = _differences(verdict, again)
    if verdict.refers is not None:
        print(f"its octets were played to an emulated device, to look into verdict {verdict.refers}")
    print(f"stated: {verdict.judgement}, {verdict.intent}: {verdict.reason}")
    if differences:
        print("\n".join(f"differs: {line}" for line in differences))
    else:
        print(f"again:  the same to the last bit, in {again.members} futures of {again.horizon_s:g} s, model {str(again.model)[:16]}")
    return 0 if sealed and not differences else 1


def _read(file: Path) -> CaseFile:
    try:
        with file.open("rb") as source:
            octets = source.read(MAX_OCTETS + 1)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    try:
        return CaseFile.from_octets(octets)
    except CodecError as error:
        raise InputError(f"{file}: {error}") from error


def _seal(case: CaseFile, authority: Path | None) -> bool:
    """Without a named authority anybody may have sealed the case: its root is shown, for a person to compare."""
    if case.seal is None:
        print("seal:   none: nobody vouches for this case")
        return authority is None
    try:
        root = authority.read_bytes() if authority else None
    except OSError as error:
        raise InputError(f"{authority}: cannot be read: {error.strerror}") from error
    try:
        fingerprint = seal.check(case.statement, case.seal.signature, case.seal.signer, case.verdict.judged, root)
    except InputError as error:
        print(f"seal:   broken: {error}")
        return False
    print(f"seal:   whole, by the {'given' if root else 'unchecked'} root {fingerprint}")
    return True


def _differences(stated: Verdict, again: Verdict) -> list[str]:
    first, second = to_jsonable(stated), to_jsonable(again)
    return [f"{name}: stated {first[name]!r}, now {second[name]!r}" for name in first if first[name] != second[name]]
