import pytest

from sentinel.baseline.stations import suggest
from sentinel.model.asset import Conduit
from sentinel.model.ids import AssetId
from sentinel.model.time import Instant

SELF, OTHER, THIRD = AssetId("10.0.0.1"), AssetId("10.0.0.2"), AssetId("10.0.0.3")


def conduit(client: AssetId, server: AssetId, *operations: str, protocol: str = "modbus") -> Conduit:
    times = {"first_seen": Instant(1), "last_seen": Instant(2)}
    return Conduit(client=client, server=server, protocol=protocol, port=502, operations=operations, **times)


@pytest.mark.parametrize(
    ("conduits", "kind", "level", "because"),
    [
        ((conduit(OTHER, SELF), conduit(THIRD, SELF)), "controller", 1, "answers 2 clients (modbus) and asks nobody"),
        ((conduit(OTHER, SELF, protocol="opcua"),), "server", 2, "in OPC UA alone"),
        ((conduit(OTHER, SELF), conduit(SELF, THIRD)), "gateway", 2, "answers 1 client and itself asks 1 server (modbus)"),
        ((conduit(SELF, OTHER, "read_coils", "write_single_coil"),), "operator station", 2, "writes (write_single_coil) to 1 server"),
        ((conduit(SELF, OTHER, "Read", "Write", protocol="opcua"),), "operator station", 2, "writes (Write)"),
        ((conduit(SELF, OTHER, "read_coils"), conduit(SELF, THIRD)), "historian", 3, "only reads, from 2 servers"),
        ((conduit(SELF, OTHER, "write_single_coil", "write_file_record"),), "engineering station", 2, "uses write_file_record"),
        ((conduit(SELF, OTHER, protocol="s7comm"),), "client", 2, "not decoded"),
    ],
)
def test_what_it_does_says_what_it_is(conduits: tuple[Conduit, ...], kind: str, level: int, because: str) -> None:
    station = suggest(SELF, conduits)
    assert station is not None
    assert (station.kind, station.level) == (kind, level)
    assert because in station.because


def test_who_speaks_nothing_industrial_is_not_guessed() -> None:
    assert suggest(SELF, ()) is None
    assert suggest(SELF, (conduit(SELF, OTHER, protocol="tcp"), conduit(OTHER, SELF, protocol="udp"))) is None


def test_programs_that_talk_on_one_machine_make_no_gateway() -> None:
    station = suggest(SELF, (conduit(SELF, SELF, "Read", protocol="opcua"),))
    assert station is not None
    assert (station.kind, station.because) == ("server", "server and client on one machine (opcua)")


def test_what_the_network_lives_on_is_told() -> None:
    times = {"first_seen": Instant(1), "last_seen": Instant(2)}
    answers = Conduit(client=OTHER, server=SELF, protocol="udp", port=123, octets=48, **times)
    assert suggest(SELF, (answers,)) == ("network server", 3, "answers NTP")
    assert suggest(OTHER, (answers,)) is None
