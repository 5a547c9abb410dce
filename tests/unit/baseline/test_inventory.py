import pytest

from sentinel.baseline import inventory as inventory_module
from sentinel.baseline.inventory import Inventory, with_stations
from sentinel.model.asset import Identity
from sentinel.model.opcua import MessageType
from sentinel.model.protocol import Defect, Protocol
from sentinel.model.time import Instant
from sentinel.model.window import Window
from tests.observations import MASTER, PLC, answer, at, flow, messages, polling, request, window


def test_assets_and_conduits_are_what_was_heard() -> None:
    inventory = Inventory()
    for second in range(3):
        inventory.observe(polling(second))
    inventory.observe(window(5, flow_rows=[flow(5.2, protocol=Protocol.MODBUS)]))
    assets = {asset.id: asset for asset in inventory.assets}
    assert (assets[MASTER].roles, assets[PLC].roles) == (("client",), ("server",))
    assert assets[MASTER].protocols == ("modbus",)
    assert (assets[MASTER].first_seen, assets[MASTER].last_seen) == (at(0.1), at(5.2))
    assert {(c.client, c.server, c.protocol, c.port) for c in inventory.conduits} == {
        (MASTER, PLC, "tcp", 502),
        (MASTER, PLC, "modbus", 502),
    }
    assert {c.protocol: c.messages for c in inventory.conduits} == {"tcp": 0, "modbus": 6}  # packets are no messages


def test_a_conduit_says_what_was_asked_and_what_stayed_unread() -> None:
    inventory = Inventory()
    rows = [
        request(0.1),
        answer(0.11),
        request(0.2, function=6),
        request(0.3, function=-1, defect=Defect.GARBAGE),
        request(0.4, function=3, defect=Defect.BAD_COUNT),
        request(0.5, protocol=Protocol.OPCUA, function=-1, subfunction=MessageType.HELLO),
        request(0.6, protocol=Protocol.OPCUA, function=-1, subfunction=MessageType.MESSAGE),
        request(0.7, protocol=Protocol.OPCUA, function=673),
    ]
    inventory.observe(window(0, rows, [flow(0.1, packets=5, protocol=Protocol.MODBUS), flow(0.2, packets=2, protocol=Protocol.MODBUS)]))
    inventory.observe(window(1, [request(1.1, function=5)]))
    modbus, opcua = sorted(inventory.conduits, key=lambda one: one.protocol)
    assert modbus.operations == ("read_holding_registers", "write_single_coil", "write_single_register")
    assert (modbus.messages, modbus.unread, modbus.packets) == (6, 1, 7)
    assert (opcua.messages, opcua.unread, opcua.operations) == (3, 1, ("Write",))
    told = {asset.id: (asset.kind, asset.level) for asset in with_stations(inventory.assets, inventory.conduits)}
    assert told == {MASTER: ("operator station", 2), PLC: ("controller", 1)}


def test_a_conduit_counts_what_was_missed_and_what_is_encrypted() -> None:
    inventory = Inventory()
    encrypted = request(0.6, protocol=Protocol.OPCUA, function=-1, subfunction=MessageType.MESSAGE)
    cut = request(0.7, protocol=Protocol.OPCUA, function=-1, subfunction=MessageType.MESSAGE, defect=Defect.TRUNCATED)
    gap = flow(0.1, protocol=Protocol.OPCUA, octets=100, defect=Defect.STREAM_GAP)
    inventory.observe(window(0, [encrypted, encrypted, cut], [gap, flow(0.2, protocol=Protocol.OPCUA, octets=20)]))
    inventory.observe(window(1, [], [flow(1.1, protocol=Protocol.OPCUA, octets=3, defect=Defect.STREAM_GAP)]))
    (conduit,) = inventory.conduits
    assert (conduit.messages, conduit.unread, conduit.encrypted) == (3, 3, 2)
    assert (conduit.packets, conduit.octets, conduit.gaps) == (6, 123, 2)


def test_who_tries_every_function_code_fills_no_memory() -> None:
    inventory = Inventory()
    inventory.observe(window(0, [request(0.1, function=code) for code in range(1, 128)]))
    (conduit,) = inventory.conduits
    assert len(conduit.operations) == inventory_module.MAX_OPERATIONS


def identification(*objects: tuple[int, bytes], count: int | None = None) -> bytes:
    listed = b"".join(bytes((number, len(text))) + text for number, text in objects)
    return bytes((0x2B, 0x0E, 1, 1, 0, 0, len(objects) if count is None else count)) + listed


@pytest.mark.parametrize(
    ("pdu", "expected"),
    [
        (identification((0, b"Acme"), (1, b"P-1"), (2, b"v2.1")), Identity(vendor="Acme", product="P-1", firmware="v2.1")),
        (identification((1, b"P-1"), (4, b"Pump master")), Identity(product="Pump master")),
        (identification((0, b"A\x00\x1bB\xff" + b"x" * 99)), Identity(vendor="AB" + "x" * 62)),
        (identification((0, b"Acme"), (1, b"P-1"), count=255), Identity(vendor="Acme", product="P-1")),
        (identification((0, b"Acme"), (1, b"P-1"))[:-1], Identity(vendor="Acme")),
        (identification((0, b"\x00")), None),
        (b"\x2b\x0e\x01", None),
    ],
)
def test_a_server_says_who_it_is(pdu: bytes, expected: Identity | None) -> None:
    """Text of an attacker's choice: bounded, printable, and never read past its end."""
    inventory = Inventory()
    says = answer(0.2, function=43, subfunction=14, pdu_start=0, pdu_octets=len(pdu))
    inventory.observe(Window(source="x", start=Instant(at(0)), end=Instant(at(1)), messages=messages(request(0.1), says, pool=pdu)))
    (server,) = [asset for asset in inventory.assets if asset.id == PLC]
    assert server.identity == expected


def says(second: float, *objects: tuple[int, bytes], unit: int = 1) -> Window:
    pdu = identification(*objects)
    row = answer(second, function=43, subfunction=14, unit=unit, pdu_start=0, pdu_octets=len(pdu))
    return Window(source="x", start=Instant(at(0)), end=Instant(at(9)), messages=messages(request(second), row, pool=pdu))


def test_what_a_device_said_before_stays_with_its_times() -> None:
    inventory = Inventory()
    for second, version in ((1, b"v1"), (2, b"v1"), (3, b"v2")):
        inventory.observe(says(second, (0, b"Acme"), (2, version)))
    (server,) = [asset for asset in inventory.assets if asset.id == PLC]
    assert server.identity == Identity(vendor="Acme", firmware="v2")
    told = [(claim.what, claim.text, claim.first_seen, claim.last_seen) for claim in server.claims]
    assert told == [("vendor", "Acme", at(1), at(3)), ("firmware", "v1", at(1), at(2)), ("firmware", "v2", at(3), at(3))]


def test_who_invents_names_for_a_device_fills_no_memory() -> None:
    inventory = Inventory()
    for number in range(200):
        inventory.observe(says(number, (2, b"v%d" % number)))
    (server,) = [asset for asset in inventory.assets if asset.id == PLC]
    assert [claim.text for claim in server.claims] == [f"v{number}" for number in range(136, 200)]


def test_forged_senders_do_not_fill_the_memory() -> None:
    limit, inventory_module.MAX_ASSETS = inventory_module.MAX_ASSETS, 10
    try:
        inventory = Inventory()
        inventory.observe(window(0, flow_rows=[flow(0, source=f"10.1.0.{i}") for i in range(50)]))
    finally:
        inventory_module.MAX_ASSETS = limit
    assert len(inventory.assets) == 10
    assert inventory.refused == 40
