"""What tshark makes of a capture, row by row: the second opinion."""

import shutil
import subprocess
import zipfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from collectors.capture.replay import replay
from sentinel.model.observation import Messages
from sentinel.model.protocol import Defect

FIELDS = (
    "frame.number", "tcp.stream", "tcp.srcport", "mbtcp.trans_id", "mbtcp.unit_id", "modbus.func_code", "modbus.exception_code",
    "modbus.reference_num", "modbus.word_cnt", "modbus.bit_cnt",
)  # fmt: skip


class Unit(NamedTuple):
    """One Modbus frame, as both sides can say it."""

    frame: int
    stream: int
    transaction: int
    unit: int
    function: int
    exception: int


def need_tshark() -> str:
    found = shutil.which("tshark")
    if found is None:
        pytest.skip("needs tshark (apt-get install tshark)")
    return found


def unpacked(path: Path, directory: Path) -> Path:
    if path.suffix != ".zip":
        return path
    with zipfile.ZipFile(path) as archive:
        return Path(archive.extract(archive.namelist()[0], directory))


def lines(path: Path, shown: str, fields: tuple[str, ...]) -> list[list[str]]:
    chosen = [part for field in fields for part in ("-e", field)]
    command = [need_tshark(), "-n", "-r", str(path), "-Y", shown, "-T", "fields", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def units_by_tshark(path: Path) -> Counter[Unit]:
    """Frames whose fields line up one to one; a segment with several frames has them comma-separated."""
    found: Counter[Unit] = Counter()
    for frame, stream, _, transactions, units, functions, exceptions, *_ in lines(path, "mbtcp", FIELDS):
        codes = exceptions.split(",") if exceptions else []
        parts = list(zip(transactions.split(","), units.split(","), functions.split(","), strict=True))
        for transaction, unit, function in parts:
            exception = int(codes[0]) if len(parts) == 1 and codes else 0
            found[Unit(int(frame), int(stream), int(transaction), int(unit), int(function), exception)] += 1
    return found


def heard(path: Path) -> Messages:
    return Messages.concat([part.messages for part in replay(path)])


def units_by_us(messages: Messages) -> Counter[Unit]:
    """Without what tshark does not show: copies that contradict an earlier one."""
    m = messages.take(messages.defect != Defect.CONTRADICTING_COPY)
    rows = zip(m.frame, m.flow, m.transaction, m.unit, m.function, m.exception, strict=True)
    return Counter(Unit(*(int(value) for value in row)) for row in rows)
