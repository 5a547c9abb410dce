"""The table of services, against asyncua's copy of the standard's identifiers."""

import json
import subprocess
import sys

from sentinel.detect.evidence import operation_words
from sentinel.model.opcua import SERVICE_FAULT, SERVICES, WRITES, operation
from sentinel.model.protocol import Protocol

# in a process of its own: asyncua never shares one with scapy
THEIRS = """
import json
from asyncua.ua import ObjectIds
ends = {f"{way}{kind}_Encoding_DefaultBinary": side for side, way in enumerate(("Request", "Response")) for kind in ("", "Type")}
found = {}
for name in dir(ObjectIds):
    for end, side in ends.items():
        if name.endswith(end):
            found.setdefault(name.removesuffix(end), [0, 0])[side] = getattr(ObjectIds, name)
print(json.dumps([found, ObjectIds.ServiceFault_Encoding_DefaultBinary]))
"""


def test_every_service_and_both_of_its_identifiers() -> None:
    done = subprocess.run([sys.executable, "-c", THEIRS], capture_output=True, text=True, check=True, timeout=60)
    found, fault = json.loads(done.stdout)
    services = {name: tuple(pair) for name, pair in found.items() if all(pair)}  # parts of requests are named alike, but have no response
    assert services == SERVICES
    assert fault == SERVICE_FAULT


def test_names() -> None:
    assert [operation(number) for number in (673, 676, 397, 1)] == ["Write", "Write", "ServiceFault", "unassigned_1"]
    assert operation_words(Protocol.OPCUA, 673) == "OPC UA Write (673)"
    assert {operation(number) for number in WRITES} == {
        "Write", "HistoryUpdate", "Call", "AddNodes", "AddReferences", "DeleteNodes", "DeleteReferences",
    }  # fmt: skip


def test_what_only_older_editions_name() -> None:
    """UA-Nodeset, NodeIds.csv, up to edition 1.03 of the standard."""
    assert [operation(number) for number in (410, 413, 416, 419)] == ["TestStack", "TestStack", "TestStackEx", "TestStackEx"]
