"""`sentinel decode`: every unit one row, the same in both formats."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from collectors.capture.packets import ETHERNET
from collectors.capture.replay import to_pcap
from sentinel.cli import main
from sentinel.commands.decode import DETAILS, FIELDS
from sentinel.model.modbus import values
from tests.data import ROOT
from tests.unit.collectors.capture.frames import MS, START, Talk, adu, read, registers, write
from tests.unit.collectors.capture.test_files import zstd
from tests.unit.collectors.wire.opcua_bodies import Conversation, node, number, results
from tests.unit.collectors.wire.opcua_bodies import write as wrote
from tests.unit.collectors.wire.test_names import RTU, UNITS

_SENTINEL = [sys.executable, "-m", "sentinel", "decode"]


def capture(path: Path) -> Path:
    talk = Talk()
    talk.ask(read(1, address=10, count=2))
    talk.answer(registers(1, (7, 65535)))
    talk.ask(write(2, 5, 9, 3) + read(3, address=60000))
    talk.answer(adu(3, b"\x83\x02"))
    talk.ask(bytes.fromhex("deadbeefdeadbeef") + read(4))
    path.write_bytes(to_pcap([(START + at * MS + 5, len(octets), octets) for at, octets in enumerate(talk.packets)], ETHERNET))
    return path


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert main(["decode", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_line_per_unit_with_the_documented_fields(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = lines(capsys, str(capture(tmp_path / "a.pcap")), "--protocol", "modbus")
    assert all(tuple(row) == tuple(FIELDS) for row in rows)
    assert [(row["kind"], row["function"], row["transaction"]) for row in rows] == [
        ("request", 3, 1), ("response", 3, 1), ("request", 6, 2), ("request", 3, 3), ("exception", 3, 3),
        ("request", None, None), ("request", 3, 4),
    ]  # fmt: skip
    asked, answered, wrote, _, refused, garbage, _ = rows
    assert (asked["src"], asked["dst"], asked["address"], asked["quantity"], asked["values"]) == ("10.0.0.1", "10.0.0.2", 10, 2, None)
    assert (answered["src"], answered["dst"], answered["values"]) == ("10.0.0.2", "10.0.0.1", [7, 65535])
    assert answered["latency_ms"] == 1.0
    assert str(answered["ts"]).endswith("000005Z")
    assert (wrote["unit"], wrote["operation"], wrote["address"], wrote["values"]) == (3, "write_single_register", 5, [9])
    assert (refused["exception"], refused["address"]) == (2, 60000)
    assert (garbage["defect"], garbage["unit"]) == ("garbage", None)
    with_octets = lines(capsys, str(tmp_path / "a.pcap"), "--octets")
    assert [row["pdu"] for row in with_octets] == [
        "03000a0002", "03040007ffff", "0600050009", "03ea600002", "8302", "deadbeefdeadbeef", "0300000002",
    ]  # fmt: skip


def test_serial_frames_are_shown_as_modbus_and_can_be_asked_for_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk = Talk(sport=4001)
    talk.ask(RTU.buildFrame(UNITS[0]))
    talk.answer(RTU.buildFrame(UNITS[1]))
    talk.ask(RTU.buildFrame(UNITS[2]))
    path = tmp_path / "serial.pcap"
    path.write_bytes(to_pcap([(START + at * MS, len(octets), octets) for at, octets in enumerate(talk.packets)], ETHERNET))
    rows = lines(capsys, str(path), "--protocol", "modbus")
    assert rows == lines(capsys, str(path), "--protocol", "modbus_rtu") == lines(capsys, str(path))
    assert [(row["protocol"], row["operation"], row["unit"], row["transaction"], row["values"]) for row in rows] == [
        ("modbus_rtu", "read_holding_registers", 17, None, None),
        ("modbus_rtu", "read_holding_registers", 17, None, [7, 65535]),
        ("modbus_rtu", "write_multiple_registers", 1, None, [1, 2, 3]),
    ]
    assert lines(capsys, str(capture(tmp_path / "a.pcap")), "--protocol", "modbus_rtu") == []


def test_parquet_holds_the_same_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = capture(tmp_path / "a.pcap"), tmp_path / "a.parquet"
    assert main(["decode", str(file), "--format", "parquet", "--octets", "--out", str(out)]) == 0
    table = pq.read_table(out)
    assert table["ts"].cast("int64").to_pylist() == [START + at * MS + 5 for at in (3, 4, 5, 5, 6, 7, 7)]
    rows = lines(capsys, str(file))
    for name in FIELDS.keys() - {"ts"}:
        assert table[name].to_pylist() == [row[name] for row in rows]
    assert [octets.hex() for octets in table["pdu"].to_pylist()] == [row["pdu"] for row in lines(capsys, str(file), "--octets")]


def test_parquet_keeps_what_two_assets_say_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever sorts by frame has the order of the lines again; many row groups as one."""
    talks = [Talk(client=f"10.0.1.{number}", cport=40000 + number) for number in range(5)]
    packets = list[bytes]()
    for transaction in range(30):
        for talk in talks:
            talk.ask(read(transaction)) if transaction % 2 == 0 else talk.answer(registers(transaction - 1, (transaction, 7)))
            packets += talk.packets
            talk.packets.clear()
    file, out = tmp_path / "a.pcap", tmp_path / "a.parquet"
    file.write_bytes(to_pcap([(START + at * MS, len(octets), octets) for at, octets in enumerate(packets)], ETHERNET))
    assert main(["decode", str(file), "--format", "parquet", "--out", str(out)]) == 0
    rows = pq.read_table(out).to_pylist()
    pairs = [frozenset((row["src"], row["dst"])) for row in rows]
    assert [pair for at, pair in enumerate(pairs) if at == 0 or pairs[at - 1] != pair] == list(dict.fromkeys(pairs))
    assert len(set(pairs)) == len(talks)
    in_order = [(row["frame"], row["src"], row["transaction"], row["values"]) for row in sorted(rows, key=lambda row: row["frame"])]
    assert in_order == [(row["frame"], row["src"], row["transaction"], row["values"]) for row in lines(capsys, str(file))]


def test_writing_parquet_loads_no_pandas(tmp_path: Path) -> None:
    program = "import sys; from sentinel.cli import main; main(sys.argv[1:]); print('pandas' in sys.modules)"
    arguments = ["decode", str(capture(tmp_path / "a.pcap")), "--format", "parquet", "--out", str(tmp_path / "a.parquet")]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=170, check=True, cwd=ROOT)
    assert done.stdout == "False\n"


def test_a_capture_without_units_is_an_empty_table(tmp_path: Path) -> None:
    file, out = tmp_path / "a.pcap", tmp_path / "a.parquet"
    file.write_bytes(to_pcap([(START, 60, b"\x02" * 60)], ETHERNET))
    assert main(["decode", str(file), "--format", "parquet", "--out", str(out)]) == 0
    assert (len(pq.read_table(out)), pq.read_table(out).column_names) == (0, list(FIELDS))


def test_parquet_needs_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", str(capture(tmp_path / "a.pcap")), "--format", "parquet"]) == 2
    assert "--out" in capsys.readouterr().err


def opcua_capture(path: Path) -> Path:
    spoken = Conversation().ask("Write", wrote((node("LIC101.SP"), number(2.5)))).answer("Write", results(0x80340000))
    talk = Talk(sport=48010)
    for from_client, octets in spoken.parts:
        talk.send(0 if from_client else 1, octets)
    path.write_bytes(to_pcap([(START + at * MS, len(octets), octets) for at, octets in enumerate(talk.packets)], ETHERNET))
    return path


def test_who_wrote_which_node_to_what_value_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = lines(capsys, str(opcua_capture(tmp_path / "a.pcap")), "--protocol", "opcua", "--details")
    assert all(tuple(row) == tuple(DETAILS) for row in rows)
    written, told = (next(row for row in rows if row["topic"] == topic) for topic in ("value_written", "write_result"))
    assert [written[name] for name in ("client", "server", "operation", "subject", "number", "status", "stamped")] == [
        "10.0.0.1", "10.0.0.2", "Write", "ns=2;s=LIC101.SP", 2.5, 0, None,
    ]  # fmt: skip
    assert [told[name] for name in ("operation", "subject", "number", "status")] == ["Write", "ns=2;s=LIC101.SP", None, 0x80340000]
    out = tmp_path / "a.parquet"
    assert main(["decode", str(tmp_path / "a.pcap"), "--details", "--format", "parquet", "--out", str(out)]) == 0
    assert pq.read_table(out)["subject"].to_pylist() == [row["subject"] for row in rows]


def test_a_protocol_that_is_not_decoded_is_no_empty_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk = Talk(sport=102)
    talk.ask(bytes.fromhex("0300001902f08032010000cccc000800 00f0000001000101e0"))
    path = tmp_path / "a.pcap"
    path.write_bytes(to_pcap([(START + at * MS, len(octets), octets) for at, octets in enumerate(talk.packets)], ETHERNET))
    assert main(["decode", str(path), "--protocol", "s7comm"]) == 2
    assert "recognised, not decoded" in capsys.readouterr().err
    assert main(["decode", str(path)]) == 0
    heard = capsys.readouterr()
    assert (heard.out, heard.err) == ("", f"{path}: nothing to show; packets: 3 of s7comm, 1 of unknown\n")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(capture(tmp_path / "a.pcap"))
    assert main(["decode", file, "--out", str(tmp_path / "missing" / "out")]) == 2
    assert capsys.readouterr().err == f"sentinel decode: {tmp_path}/missing/out: No such file or directory\n"
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run([*_SENTINEL, file], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "sentinel decode: standard output: No space left on device\n")


@pytest.mark.parametrize("packed", ["", "gz", "zst"])
def test_a_capture_through_a_pipe(packed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = capture(tmp_path / "a.pcap")
    octets = file.read_bytes()
    given = {"": octets, "gz": gzip.compress(octets), "zst": zstd(octets)}[packed]
    done = subprocess.run([*_SENTINEL, "-"], input=given, stdout=subprocess.PIPE, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == lines(capsys, str(file))


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*_SENTINEL, str(capture(tmp_path / "a.pcap"))], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("function", "quantity", "octets", "expected"),
    [
        (1, 10, "cd01", [1, 0, 1, 1, 0, 0, 1, 1, 1, 0]),
        (2, -1, "01", [1, 0, 0, 0, 0, 0, 0, 0]),
        (5, 1, "ff00", [1]),
        (5, 1, "0000", [0]),
        (5, 1, "1234", [0x1234]),
        (16, 2, "000a0102", [10, 258]),
        (3, 2, "000a01", [10]),  # cut
        (22, 1, "00f20025", [0xF2, 0x25]),
    ],
)
def test_values(function: int, quantity: int, octets: str, expected: list[int]) -> None:
    given = bytes.fromhex(octets)
    pool = np.frombuffer(b"\xee" + given + b"\xee", np.uint8)
    columns = (np.array([each, each]) for each in (function, quantity, 1, len(given)))
    counts, items = values(*columns, pool)
    assert counts.tolist() == [len(expected)] * 2
    assert items.tolist() == expected * 2
