"""What `sentinel decode` prints as values, against tshark's registers and bits."""

from pathlib import Path

import pytest

from collectors.wire import CATALOGUE
from sentinel.commands.decode import table_of
from sentinel.model.parquet import rows_of
from sentinel.model.protocol import Protocol
from tests.conformance.tshark import heard, lines, unpacked
from tests.data import data_file

pytestmark = pytest.mark.data


@pytest.mark.parametrize(
    ("name", "functions", "field"),
    [
        ("modbus-lemay/channel_4d_12s.zip", (3, 4), "modbus.regval_uint16"),
        ("modbus-modsentinel/run1_no_attack.pcap", (3, 4), "modbus.regval_uint16"),
        ("modbus-iti/bro_modbusBig.pcap", (1, 2), "modbus.bitval"),
        ("modbus-iti/ModbusTCP.pcap", (3, 4), "modbus.regval_uint16"),
    ],
)
def test_values_of_read_responses(name: str, functions: tuple[int, ...], field: str, tmp_path: Path) -> None:
    path = data_file(f"network/{name}")
    words = {"True": 1, "False": 0}
    theirs = {
        int(frame): [words[text] if text in words else int(text) for text in values.split(",")]
        for frame, transactions, values in lines(unpacked(path, tmp_path), field, ("frame.number", "mbtcp.trans_id", field))
        if "," not in transactions
    }
    modbus = [wire for wire in CATALOGUE if wire.protocol is Protocol.MODBUS]
    ours = {
        row["frame"]: row["values"]
        for row in rows_of(table_of(heard(path), modbus))
        if row["kind"] == "response" and row["function"] in functions and row["defect"] is None and row["frame"] in theirs
    }
    assert len(ours) > 100
    assert ours == {frame: theirs[frame] for frame in ours}
