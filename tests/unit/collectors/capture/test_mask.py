"""Passwords in clear text do not leave the sensor."""

import struct

import pytest

from collectors.capture.mask import masked
from collectors.capture.packets import ETHERNET
from collectors.capture.pcapng import Packet
from tests.unit.collectors.capture.frames import MS, START, Talk

PASSWORD = b"correct horse battery staple"


def text(octets: bytes | None) -> bytes:
    return struct.pack("<i", -1) if octets is None else struct.pack("<i", len(octets)) + octets


def token(password: bytes = PASSWORD, algorithm: bytes | None = None) -> bytes:
    """A UserNameIdentityToken in its extension object, with something before and behind it."""
    body = text(b"username") + text(b"operator") + text(password) + text(algorithm)
    return b"MSGF before \x01\x00\x44\x01\x01" + struct.pack("<i", len(body)) + body + b" behind"


def packets_of(talk: Talk) -> list[Packet]:
    return [
        Packet(frame=i + 1, time=START + i * MS, wire=len(octets), interface=("plant", ETHERNET), octets=octets)
        for i, octets in enumerate(talk.packets)
    ]


def test_a_password_is_masked_and_everything_else_stays() -> None:
    talk = Talk(sport=4840)
    talk.ask(token())
    before = packets_of(talk)
    after = masked(before)
    assert after[:3] == before[:3]
    assert after[3].octets == before[3].octets.replace(PASSWORD, b"*" * len(PASSWORD))
    assert after[3].note == "28 octets of a password are masked"


@pytest.mark.parametrize("cut", range(49, 78))
def test_over_two_segments_and_sent_again(cut: int) -> None:
    """From the token's last length field on; before it no frame alone shows that a password follows."""
    talk = Talk(sport=4840, isn=2**32 - 70)  # the sequence number wraps within the password
    octets = token()
    assert octets[:49].endswith(struct.pack("<i", len(PASSWORD)))
    talk.ask(octets[:cut])
    talk.raw(0, octets[cut - 10 : cut], shift=-10)
    talk.ask(octets[cut:])
    talk.answer(PASSWORD)  # the same octets, in another stream: they are not known to be one
    after = masked(packets_of(talk))
    sent = b"".join(packet.octets[54:] for packet in (after[3], after[5]))
    assert sent == octets.replace(PASSWORD, b"*" * len(PASSWORD))
    assert after[4].octets[54:] == octets.replace(PASSWORD, b"*" * len(PASSWORD))[cut - 10 : cut]
    assert after[6].octets.endswith(PASSWORD)


@pytest.mark.parametrize("sent", [token(b""), token(b"cipher text", b"http://www.w3.org/2001/04/xmlenc#rsa-oaep"), token()[:40]])
def test_what_is_no_clear_password_stays(sent: bytes) -> None:
    talk = Talk(sport=4840)
    talk.ask(sent)
    assert masked(packets_of(talk)) == packets_of(talk)


def test_lying_lengths_mask_no_more_than_there_is() -> None:
    talk = Talk(sport=4840)
    head = b"\x01\x00\x44\x01\x01" + struct.pack("<i", 99)
    for lengths in ((2**31 - 1, 0, 0), (0, 0, 2**31 - 1), (-5, -(2**31), 7), (0, 2**31 - 1, 3)):
        talk.ask(head + b"".join(struct.pack("<i", length) for length in lengths) + b"xyz")
    before, after = packets_of(talk), masked(packets_of(talk))
    assert [len(packet.octets) for packet in after] == [len(packet.octets) for packet in before]
    assert [packet.octets[:54] for packet in after] == [packet.octets[:54] for packet in before]
    assert masked([]) == []


def test_without_tcp_it_is_masked_in_its_frame() -> None:
    octets = b"\x02" * 12 + b"\x88\xb8" + token()
    after = masked([Packet(frame=1, time=START, wire=len(octets), interface=("plant", ETHERNET), octets=octets)])
    assert PASSWORD not in after[0].octets
