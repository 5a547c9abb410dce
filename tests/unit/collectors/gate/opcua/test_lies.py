"""Octets that no honest client sends: the gate says what is wrong where the protocol lets it, ends the connection, and serves the next."""

import asyncio
import random
import struct
from pathlib import Path

import pytest

from tests.unit.collectors.gate.opcua.stage import Raw, Server, gate_before, hello, opening, read, text
from tests.unit.collectors.gate.plant import WAIT_S

TYPE_INVALID, TOO_LARGE, INTERNAL = 0x807E0000, 0x80800000, 0x80820000
CHANNEL, TOKEN, SEQUENCE, POLICY, MODE, CHECKS = 0x80220000, 0x80870000, 0x80880000, 0x80550000, 0x80540000, 0x80130000


def chunk(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    return kind + struct.pack("<I", 8 + len(body) if size is None else size) + body


def policy(uri: bytes, certificate: bytes | None = None) -> bytes:
    return chunk(b"OPNF", struct.pack("<I", 0) + text(uri) + text(certificate) + text(None) + bytes(64))


BASIC = b"http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", TYPE_INVALID),
        (chunk(b"MSGF", bytes(40)), TYPE_INVALID),  # nobody has said hello
        (chunk(b"HELC", bytes(40)), TYPE_INVALID),
        (chunk(b"HELF", b"", size=1 << 31), TOO_LARGE),
        (chunk(b"HELF", b"", size=8193), TOO_LARGE),
        (chunk(b"HELF", b"", size=8), INTERNAL),
        (chunk(b"HELF", b"", size=0), INTERNAL),
        (chunk(b"HELF", bytes(19)), INTERNAL),
        (chunk(b"HELF", bytes(20) + struct.pack("<i", 100) + b"short"), INTERNAL),
        (chunk(b"HELF", bytes(20) + text(b"x" * 4097)), 0x80830000),
        (hello(receives=8191), INTERNAL),
        (hello() + hello(), TYPE_INVALID),
        (hello() + opening(), INTERNAL),  # before the gate has acknowledged
    ],
)
async def test_before_there_is_a_channel(tmp_path: Path, server: Server, octets: bytes, status: int) -> None:
    async with gate_before(server.port, tmp_path, lambda _: True) as (gate, _):
        client = await Raw.connect(gate.address)
        client.writer.write(octets)
        assert await client.error() == status
        honest = await Raw.with_session(gate.address)
        assert (await honest.ask(631, read("SP"))).result == 0


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (policy(b"http://opcfoundation.org/UA/SecurityPolicy#Basic128Rsa15"), POLICY),
        (policy(BASIC), CHECKS),
        (policy(BASIC, b"\x30\x82\x01\x00" + bytes(200)), CHECKS),
        (policy(BASIC, b"no certificate"), CHECKS),
        (chunk(b"OPNF", struct.pack("<Ii", 0, -5)), INTERNAL),
        (chunk(b"OPNF", struct.pack("<Ii", 0, 1 << 30)), INTERNAL),
        (opening()[:-40] + b"", None),  # never whole: the patience ends it
        (opening(kind=1), CHECKS),  # nothing to renew
        (opening(kind=2), CHECKS),
        (opening().replace(struct.pack("<III", 0, 0, 1), struct.pack("<III", 0, 0, 2)), MODE),
        (opening().replace(struct.pack("<III", 0, 0, 1), struct.pack("<III", 0, 0, 9)), CHECKS),
        (chunk(b"MSGF", bytes(40)), TYPE_INVALID),
    ],
)
async def test_while_a_channel_is_opened(tmp_path: Path, server: Server, octets: bytes, status: int | None) -> None:
    async with gate_before(server.port, tmp_path, lambda _: True, patience_s=0.3) as (gate, _):
        client = await Raw.connect(gate.address)
        client.writer.write(hello())
        assert (await client.chunk())[:4] == b"ACKF"
        client.writer.write(octets)
        if status is None:
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await client.chunk()
        else:
            assert await client.error() == status


@pytest.mark.parametrize(
    ("lie", "status"),
    [
        (lambda client: client.message(1, b"", channel=client.channel + 1), CHANNEL),
        (lambda client: client.message(1, b"", token=99), TOKEN),
        (lambda client: client.message(1, b"", sequence=client.sequence), SEQUENCE),
        (lambda client: client.message(1, b"", sequence=client.sequence + 2), SEQUENCE),
        (lambda client: client.message(1, b"", kind=b"MSGX"), TYPE_INVALID),
        (lambda client: client.message(1, b""), 0x80070000),
        (lambda client: client.message(1, bytes(10)), 0x80070000),
        (lambda client: client.message(1, bytes(10), b"MSGC") + client.message(2, bytes(10)), INTERNAL),
        (lambda client: chunk(b"MSGF", b"", size=65537), TOO_LARGE),
        (lambda client: chunk(b"MSGF", bytes(8)), INTERNAL),
        (lambda client: hello(), TYPE_INVALID),
        (lambda client: opening(channel=client.channel, sequence=client.sequence + 1), CHECKS),  # issued twice
        (lambda client: b"".join(client.message(1, b"", b"MSGC") for _ in range(65)), TOO_LARGE),
        (lambda client: b"".join(client.message(1, bytes(60_000), b"MSGC") for _ in range(2)), TOO_LARGE),
    ],
)
async def test_in_a_channel(tmp_path: Path, server: Server, lie, status: int) -> None:  # type: ignore[no-untyped-def]
    async with gate_before(server.port, tmp_path, lambda _: True, message_octets=100_000, chunks=64) as (gate, _):
        client = await Raw.with_session(gate.address)
        client.writer.write(lie(client))
        assert await client.error() == status


async def test_an_aborted_message_is_forgotten_and_the_channel_goes_on(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, lambda _: True) as (gate, _):
        client = await Raw.with_session(gate.address)
        client.writer.write(client.message(50, b"\x01\x00" + struct.pack("<H", 673), b"MSGC"))
        client.writer.write(client.message(50, struct.pack("<I", 0x80000000) + text(b"never mind"), b"MSGA"))
        assert (await client.ask(631, read("SP"))).result == 0


async def test_a_message_that_never_ends_is_cut_when_the_patience_ends(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, lambda _: True, patience_s=0.2) as (gate, _):
        client = await Raw.with_session(gate.address)
        client.writer.write(client.message(50, bytes(100), b"MSGC"))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await client.chunk()


@pytest.mark.parametrize("seed", range(30))
async def test_soup_on_the_port_ends_a_connection_and_nothing_else(tmp_path: Path, server: Server, seed: int) -> None:
    """Half of the soups are sound messages with some octets changed."""
    chance = random.Random(seed)
    async with gate_before(server.port, tmp_path, lambda _: True, patience_s=0.2) as (gate, _):
        for _ in range(10):
            client = await Raw.connect(gate.address)
            octets = bytearray(hello() if chance.random() < 0.7 else chance.randbytes(chance.randrange(1, 300)))
            if chance.random() < 0.7:
                client.writer.write(hello())
                await client.chunk()
                octets = bytearray(opening())
            for _ in range(chance.randrange(1, 6)):
                octets[chance.randrange(len(octets))] = chance.randrange(256)
            client.writer.write(bytes(octets))
            client.writer.write_eof()
            try:
                await asyncio.wait_for(client.reader.read(), WAIT_S)
            except ConnectionResetError:
                continue
        honest = await Raw.with_session(gate.address)
        assert (await honest.ask(631, read("SP"))).result == 0


async def test_requests_with_changed_octets_end_a_connection_at_most(tmp_path: Path, server: Server) -> None:
    chance = random.Random(7)
    async with gate_before(server.port, tmp_path, lambda _: False, patience_s=0.2) as (gate, _):
        for _ in range(30):
            client = await Raw.with_session(gate.address)
            for service in (422, 428, 461, 467, 673, 712):
                body = bytearray(b"\x01\x00" + struct.pack("<H", service) + client.session + bytes(20) + read("SP") + bytes(60))
                for _ in range(3):
                    body[chance.randrange(4, len(body))] = chance.randrange(256)
                client.writer.write(client.message(chance.randrange(200, 1 << 31), bytes(body)))
            client.close()
        honest = await Raw.with_session(gate.address)
        assert (await honest.ask(631, read("SP"))).result == 0


async def test_half_open_channels_are_bounded_and_make_room(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, lambda _: True, connections=16, connections_per_address=16, patience_s=0.2) as (gate, _):
        flood = [await Raw.connect(gate.address) for _ in range(40)]
        for client in flood[::2]:
            if not client.writer.is_closing():
                client.writer.write(hello()[:20])
        ends = await asyncio.wait_for(asyncio.gather(*(client.reader.read() for client in flood), return_exceptions=True), WAIT_S)
        assert len(ends) == 40
        assert gate.counters.refused >= 40
        honest = await Raw.with_session(gate.address)
        assert (await honest.ask(631, read("SP"))).result == 0


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        (327, text(b"certificate") + text(b"\x30\x82\x01\x00" + bytes(256))),  # X509IdentityToken
        (940, text(b"issued") + text(b"token") + text(None)),  # IssuedIdentityToken
    ],
)
async def test_a_user_whose_proof_cannot_pass_a_gate_is_refused_with_the_protocol_s_own_status(
    tmp_path: Path, server: Server, encoding: int, content: bytes
) -> None:
    async with gate_before(server.port, tmp_path, lambda _: True) as (gate, _):
        raw = await Raw.with_session(gate.address)
        proof = text(None) * 2
        token = b"\x01\x00" + struct.pack("<H", encoding) + b"\x01" + text(content)
        answer = await raw.ask(467, proof + struct.pack("<ii", -1, -1) + token + text(b"rsa-sha256") + text(bytes(256)))
        assert (answer.service, answer.result) == (397, 0x80210000)  # ServiceFault, Bad_IdentityTokenRejected
        assert (await raw.ask(631, read("SP"))).result == 0, "who was let in before stays who he was"
