"""Conduits in words, and the network as a picture."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from sentinel.baseline.inventory import with_stations
from sentinel.baseline.lines import lines, share
from sentinel.baseline.picture import MAX_ASSETS, draw_network
from sentinel.model.asset import Asset, Conduit, Identity
from sentinel.model.ids import AssetId
from sentinel.model.time import Instant

TIMES: dict[str, Any] = {"first_seen": Instant(1), "last_seen": Instant(2)}
PLC, HMI, PC = AssetId("10.0.0.10"), AssetId("10.0.0.1"), AssetId("10.0.0.2")


def conduit(client: AssetId, server: AssetId, protocol: str = "modbus", port: int = 502, **more: Any) -> Conduit:
    return Conduit(client=client, server=server, protocol=protocol, port=port, **TIMES, **more)


def test_an_opening_belongs_to_what_it_opens_and_passing_ports_are_one_line() -> None:
    found = lines(
        [
            conduit(HMI, PLC, "tcp", packets=3),
            conduit(HMI, PLC, packets=10, octets=90, messages=9),
            conduit(PC, PLC, "tcp", 50001, packets=2, octets=5),
            conduit(PC, PLC, "tcp", 50000, packets=1),
        ]
    )
    assert [(one.client, one.protocol, one.port, one.packets) for one in found] == [
        (HMI, "modbus", "502", 13),
        (PC, "tcp", "50000 and 1 more", 3),
    ]


def test_payload_on_a_decoded_port_that_is_no_message_is_not_hidden() -> None:
    found = lines([conduit(HMI, PLC, "tcp", packets=3, octets=40), conduit(HMI, PLC, packets=10, octets=90, messages=9)])
    assert [(one.protocol, one.blind) for one in found] == [("modbus", ()), ("tcp", ("unknown protocol",))]


@pytest.mark.parametrize(
    ("given", "blind"),
    [
        ({"messages": 100}, ()),
        ({"messages": 100, "unread": 30, "encrypted": 20, "gaps": 4}, ("20 % encrypted", "10 % unreadable", "octets lost in 4 s")),
        ({"messages": 1000, "unread": 1}, ("<1 % unreadable",)),
        ({"protocol": "s7comm", "octets": 9}, ("not decoded",)),
        ({"protocol": "udp", "port": 123, "octets": 48}, ()),
        ({"protocol": "udp", "port": 4789, "octets": 48}, ()),
        ({"protocol": "udp", "port": 4788, "octets": 48}, ("unknown protocol",)),
        ({"protocol": "tcp", "port": 4789, "octets": 48}, ("unknown protocol",)),
        ({"protocol": "other_ip", "port": 50, "octets": 48}, ("encrypted tunnel (ESP)",)),
    ],
)
def test_what_is_not_seen_is_said(given: dict[str, Any], blind: tuple[str, ...]) -> None:
    assert lines([conduit(HMI, PLC, **given)])[0].blind == blind


def test_a_share_is_never_rounded_to_none_or_all() -> None:
    assert [share(*pair) for pair in ((0, 10), (1, 1000), (999, 1000), (9999, 10_000), (10, 10), (0, 0))] == [
        "0 %", "<1 %", "99.9 %", "99.9 %", "100 %", "0 %",
    ]  # fmt: skip


def plant(controllers: int) -> tuple[list[Asset], list[Conduit]]:
    plcs = [AssetId(f"10.0.{number // 200}.{number % 200 + 10}") for number in range(controllers)]
    assets = [Asset(id=one, mac="02:00:00:00:00:01", **TIMES) for one in (*plcs, HMI, PC)]
    return assets, [
        *(conduit(HMI, one, messages=9, octets=90, operations=("write_single_coil",)) for one in plcs),
        conduit(PC, plcs[0], "s7comm", 102, octets=5),
    ]


@pytest.mark.parametrize("controllers", [3, 60, 400])
def test_the_picture_shows_every_asset_and_conduit_that_it_has_room_for(controllers: int) -> None:
    assets, conduits = plant(controllers)
    picture = ET.fromstring(draw_network(with_stations(assets, conduits), conduits, "Plant"))
    marked = [group.get("data-of", "") for group in picture.iter("{http://www.w3.org/2000/svg}g")]
    drawn = [mark for mark in marked if mark.startswith("asset ")]
    assert len(drawn) == len(set(drawn)) == min(controllers + 2, MAX_ASSETS)
    assert ("not drawn" in "".join(picture.itertext())) == (controllers + 2 > MAX_ASSETS)
    assert sum(mark.startswith("conduit ") for mark in marked) == len(
        [one for one in conduits if {f"asset {one.client}", f"asset {one.server}"} <= set(drawn)]
    )
    width, height = float(picture.get("width", "0")), float(picture.get("height", "0"))
    boxes = [tuple(float(box.get(side, "0")) for side in ("x", "y", "width", "height")) for box in picture.iter() if box.get("rx")]
    assert all(x + w <= width and y + h <= height for x, y, w, h in boxes)
    assert len({box[:2] for box in boxes}) == len(boxes)


def test_what_a_device_says_cannot_break_the_picture() -> None:
    assets, conduits = plant(2)
    evil = Identity(vendor='<script>"&', product="]]></svg>")
    picture = draw_network([Asset(id=PLC, identity=evil, **TIMES), *assets[1:]], conduits, "<&>")
    assert "<script>" not in picture
    assert any("<script>" in text for text in ET.fromstring(picture).itertext())
