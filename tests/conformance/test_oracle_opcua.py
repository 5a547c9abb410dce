"""`sentinel bench oracle` for OPC UA: the services of every frame are tshark's, or the difference has its reason."""

from pathlib import Path

import pytest

from collectors.capture import oracle_opcua
from collectors.capture.packets import ETHERNET
from collectors.capture.replay import to_pcap
from collectors.capture.tshark import UNEXPLAINED
from sentinel.model.observation import Messages
from sentinel.model.opcua import SERVICES
from tests.conformance.tshark import need_tshark
from tests.data import data_file
from tests.unit.collectors.capture.frames import MS, START, Talk
from tests.unit.collectors.wire.opcua_bodies import Conversation, data_value, node, number, read, values


def capture(path: Path, port: int) -> Path:
    talk = Talk(sport=port)
    spoken = Conversation().ask("Read", read(node("LT101"))).answer("Read", values(data_value(number(1.5))))
    spoken.ask("Read", read(node("LT101"))[:20], b"C").more(True, read(node("LT101"))[20:])
    for from_client, octets in spoken.parts:
        talk.send(0 if from_client else 1, octets)
    path.write_bytes(to_pcap([(START + at * MS, len(octets), octets) for at, octets in enumerate(talk.packets)], ETHERNET))
    return path


@pytest.mark.parametrize("port", [4840, 48010])
def test_equal_chunks_match_on_any_port(port: int, tmp_path: Path) -> None:
    need_tshark()
    found = oracle_opcua.compare(capture(tmp_path / "a.pcap", port))
    assert (found["matched"], found["missing"], found["extra"]) == (8, 0, 0)


def test_what_we_read_otherwise_is_missing_and_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tshark()
    path = capture(tmp_path / "a.pcap", 4840)
    right = oracle_opcua.ours

    def wrong(messages: Messages) -> list[oracle_opcua.Known]:
        return [
            known._replace(chunk=known.chunk._replace(service=673)) if known.chunk.service == 631 else known for known in right(messages)
        ]

    monkeypatch.setattr(oracle_opcua, "ours", wrong)
    found = oracle_opcua.compare(path)
    assert (found["matched"], found["missing"], found["extra"]) == (6, 2, 2)
    assert isinstance(found["missing_reasons"], dict)
    assert list(found["missing_reasons"]) == [UNEXPLAINED]
    assert SERVICES["Read"] == (631, 634)


# file: (matched, missing, extra) as of tshark 4.0.17
REAL = {
    "icsnpp_opcua_with-gap.pcap": (171, 0, 1),
    "icsnpp_opcua_with-gap_with-handshake.pcap": (239, 0, 1),
    "icsnpp_open62541_client-server_mainloop-not-localhost-non-standard-port.pcap": (68, 0, 0),
    "kiwi_python_username_normal.pcap": (11, 0, 0),
    "kiwi_pythonopcua_20251026_025314.pcap": (11, 0, 0),
    "malcolm_OPCUA-Binary.filtered.pcap": (1247, 13, 13),
}


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_real_captures_differ_only_for_reasons(name: str) -> None:
    need_tshark()
    found = oracle_opcua.compare(data_file(f"network/opcua/{name}"))
    assert (found["matched"], found["missing"], found["extra"]) == REAL[name]
    for kind in ("missing_reasons", "extra_reasons"):
        reasons = found[kind]
        assert isinstance(reasons, dict)
        assert UNEXPLAINED not in reasons
