"""What devices tell of themselves in one datagram: as the standards lay it out, cut anywhere, and as nobody would send it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.wire.announced import BACNET_PORT, ENIP_PORT, announced
from sentinel.model.protocol import Protocol, Topic


def identity(name: bytes = b"1756-L61/B", vendor: int = 1, status: int = 0) -> bytes:
    """A ListIdentity reply (CIP Volume 2, 2-4.4)."""
    item = struct.pack("<H", 1) + struct.pack(">HHI8x", 2, ENIP_PORT, 0x0A010101)
    item += struct.pack("<HHHBBHI", vendor, 14, 54, 20, 11, 0, 0xC0FFEE) + bytes((len(name),)) + name + b"\3"
    return struct.pack("<HHIIQI", 0x63, len(item) + 6, 0, status, 0, 0) + struct.pack("<HHH", 1, 12, len(item)) + item


def i_am(device: int = 1234, vendor: int = 10, control: bytes = b"\x20\xff\xff\0\xff") -> bytes:
    """An I-Am (ANSI/ASHRAE 135, 16.10) as a broadcast to every network."""
    body = b"\x01" + control + b"\x10\x00\xc4" + struct.pack(">I", 8 << 22 | device) + b"\x22\x05\xc4\x91\x03\x21" + bytes((vendor,))
    return b"\x81\x0b" + struct.pack(">H", 4 + len(body)) + body


def test_an_ethernet_ip_device_says_who_it_is() -> None:
    protocol, told = announced(identity(), ENIP_PORT)
    assert protocol is Protocol.ENIP
    assert told == [
        (Topic.VENDOR, "Rockwell Automation/Allen-Bradley"),
        (Topic.PRODUCT, "1756-L61/B"),
        (Topic.FIRMWARE, "20.011"),
        (Topic.SERIAL, "00c0ffee"),
    ]
    assert announced(identity(vendor=4711), ENIP_PORT)[1][0] == (Topic.VENDOR, "CIP vendor 4711")


def test_a_bacnet_device_says_who_it_is() -> None:
    expected = [(Topic.NAME, "device 1234"), (Topic.VENDOR, "Schneider Electric")]
    assert announced(i_am(), BACNET_PORT) == (Protocol.BACNET, expected)
    assert announced(i_am(control=b"\0"), BACNET_PORT)[1] == expected
    assert announced(i_am(vendor=201, control=b"\0"), BACNET_PORT)[1][1] == (Topic.VENDOR, "BACnet vendor 201")


@pytest.mark.parametrize(
    ("octets", "port"),
    [
        (identity(status=1), ENIP_PORT),
        (identity()[:24], ENIP_PORT),
        (i_am(control=b"\x08\0\x05\1\x0a"), BACNET_PORT),  # of a device behind a router
        (i_am(control=b"\x80"), BACNET_PORT),
        (i_am() + b"\0", BACNET_PORT),
    ],
)
def test_what_is_none_says_nothing(octets: bytes, port: int) -> None:
    assert announced(octets, port)[1] == []


@given(st.data(), st.sampled_from([(identity(), ENIP_PORT), (i_am(), BACNET_PORT)]), st.binary(max_size=40))
def test_no_octets_make_it_fail(data: st.DataObject, whole: tuple[bytes, int], noise: bytes) -> None:
    octets, port = whole
    at = data.draw(st.integers(0, len(octets)))
    for attempt in (octets[:at], noise, octets[:at] + noise + octets[at + len(noise) :]):
        assert len(announced(attempt, port)[1]) in (0, 2, 4)
