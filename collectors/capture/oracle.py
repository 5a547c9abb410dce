"""``sentinel bench oracle FILE... --json``: our units held against tshark's: ``matched``, ``missing``, ``extra`` per protocol.

What is compared of OPC UA is told in `oracle_opcua`.  A unit of Modbus is (frame, transaction, unit, function, exception); address and
quantity must agree too wherever tshark shows them.  Every difference has a reason that tshark's own analysis or our defect column gives, or
is ``unexplained``.  Needs tshark 4; every file is read by it once for each question.
"""

import argparse
import json
import sys
import tempfile
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from collectors.capture import oracle_opcua
from collectors.capture.replay import replay
from collectors.capture.tshark import ELEMENT, REPEATED, UNEXPLAINED, listed, tshark
from sentinel.model.observation import Messages
from sentinel.model.protocol import Defect, Protocol

_PORT = 502
_READ_FIFO = 24  # its word count says how much the queue held, and is nobody's request


class Unit(NamedTuple):
    frame: int
    transaction: int
    unit: int
    function: int
    exception: int


class Shown(NamedTuple):
    """What is said of a unit; -1 = nothing.  ``defect`` and the server's ``port`` are ours alone."""

    address: int = -1
    quantity: int = -1
    defect: int = 0
    port: int = -1


Said = dict[Unit, list[Shown]]


def theirs(path: Path) -> Said:
    """tshark's Modbus units, from its packet details: one ``mbtcp`` and one ``modbus`` tree per unit."""
    said: Said = defaultdict(list)
    frame, fields = 0, dict[str, int]()
    for line in tshark("-r", str(path), "-Y", "mbtcp", "-T", "pdml", "-j", "mbtcp modbus"):
        found = ELEMENT.match(line)
        if found is None:
            if line.startswith("</packet>"):
                _say(said, frame, fields)
                fields = {}
            continue
        element, name, show = found.groups()
        if element == "proto" and name == "mbtcp":
            _say(said, frame, fields)
            fields = {}
        elif name == "num":
            frame = int(show)
        elif name.startswith(("mbtcp.", "modbus.")) and (show or "").isdigit():
            fields.setdefault(name, int(show))
    return said


def _say(said: Said, frame: int, fields: dict[str, int]) -> None:
    if "modbus.func_code" in fields:
        names = ("mbtcp.trans_id", "mbtcp.unit_id", "modbus.func_code", "modbus.exception_code")
        unit = Unit(frame, *(fields.get(name, 0) for name in names))
        quantity = fields.get("modbus.word_cnt", fields.get("modbus.bit_cnt", -1)) if unit.function != _READ_FIFO else -1
        said[unit].append(Shown(fields.get("modbus.reference_num", -1), quantity))


def ours(path: Path) -> Said:
    """Our Modbus units; runs of octets that fit no frame are none."""
    m = Messages.concat([heard.messages for heard in replay(path)])
    m = m.take((m.protocol == Protocol.MODBUS) & (m.function >= 0))
    said: Said = defaultdict(list)
    columns = (m.frame, m.transaction, m.unit, m.function, m.exception, m.address, m.quantity, m.defect, m.port)
    for row in zip(*(column.tolist() for column in columns), strict=True):
        *unit, address, quantity, defect, port = row
        said[Unit(*unit)].append(Shown(address, quantity, defect, port))
    return said


def compare(path: Path) -> dict[str, object]:
    """``matched``, ``missing`` (only tshark's), ``extra`` (only ours), each with reasons and their frames."""
    a, b = theirs(path), ours(path)
    repeated = {int(line) for line in tshark("-r", str(path), "-Y", REPEATED, "-T", "fields", "-e", "frame.number")}
    matched, missing, extra = 0, list[tuple[Unit, Shown]](), list[tuple[Unit, Shown]]()
    for unit in sorted({*a, *b}):
        left = list(b.get(unit, ()))
        for shown in a.get(unit, ()):
            same = next((known for known in left if _agrees(shown, known)), None)
            if same is None:
                missing.append((unit, shown))
            else:
                left.remove(same)
                matched += 1
        extra += [(unit, shown) for shown in left]
    ours_in = {unit.frame: shown for unit, shown in extra}
    return {
        "matched": matched,
        "missing": len(missing),
        "extra": len(extra),
        "missing_reasons": listed((_why_missing(unit, ours_in, repeated), unit.frame) for unit, _ in missing),
        "extra_reasons": listed((_why_extra(unit, shown, repeated), unit.frame) for unit, shown in extra),
    }


def _agrees(shown: Shown, known: Shown) -> bool:
    return shown.address in (-1, known.address) and shown.quantity in (-1, known.quantity)


def _why_extra(unit: Unit, shown: Shown, repeated: set[int]) -> str:
    if shown.defect == Defect.CONTRADICTING_COPY:
        return "a copy that contradicts what was heard before; tshark shows no repetitions"
    if unit.frame in repeated:
        return "tshark takes the whole segment for a repetition, or for one that came too late"
    if shown.defect:
        return f"a row with the defect {Defect(shown.defect).name.lower()}, for which tshark waits or shows no unit"
    return "not on the registered port, by which tshark goes" if shown.port != _PORT else UNEXPLAINED


def _why_missing(unit: Unit, ours_in: dict[int, Shown], repeated: set[int]) -> str:
    if unit.frame in repeated:
        return "tshark takes a repetition for new octets"
    if unit.frame in ours_in and ours_in[unit.frame].defect:
        return "the same frame is a row of ours with a defect, read otherwise"
    return UNEXPLAINED


def opened(path: Path, directory: Path) -> Path:
    """tshark reads no archives: the one member of a ``.zip`` is unpacked."""
    if path.suffix != ".zip":
        return path
    with zipfile.ZipFile(path) as archive:
        return Path(archive.extract(archive.infolist()[0], directory))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench oracle", description="our units held against tshark's")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="one JSON object, with every difference and its reason")
    options = parser.parse_args(arguments)
    comparisons = {"modbus": compare, "opcua": oracle_opcua.compare}
    files: dict[str, dict[str, dict[str, object]]] = {}
    totals = {protocol: Counter[str]() for protocol in comparisons}
    for path in options.files:
        with tempfile.TemporaryDirectory(prefix="sentinel-oracle-") as directory:
            readable = opened(path, Path(directory))
            files[str(path)] = results = {protocol: comparison(readable) for protocol, comparison in comparisons.items()}
        for protocol, found in results.items():
            totals[protocol].update({name: count for name, count in found.items() if isinstance(count, int)})
            if not options.json:
                print(f"{path}: {protocol} " + ", ".join(f"{found[name]} {name}" for name in ("matched", "missing", "extra")))
    if options.json:
        json.dump({**{protocol: dict(counted) for protocol, counted in totals.items()}, "files": files}, sys.stdout, indent=2)
        print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
