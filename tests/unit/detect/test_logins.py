"""Passwords that are tried out, in traffic that goes through the real decoder; once in that of a real server."""

import asyncio
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from collectors.capture.replay import replay
from sentinel.baseline.gather import Gather
from sentinel.detect.logins import MIN_FAST, MIN_OPENED, MIN_SLOW, MIN_USERS, MISTYPED, Logins, service_result
from sentinel.detect.memory import freeze, thaw
from sentinel.model.detection import Detection, Severity
from sentinel.model.opcua import SERVICE_FAULT, SERVICES
from sentinel.model.window import Window
from tests.attack_traffic import BEHIND_TIME, HMI, PLC, STRANGER, Packet, UaTalk, capture, timed
from tests.unit.collectors.capture.frames import Talk
from tests.unit.collectors.gate.opcua.stage import asyncua_client, asyncua_server
from tests.unit.collectors.wire.opcua_bodies import activate, answering
from tests.unit.collectors.wire.test_opcua import SECURED, acknowledge, chunk, hello, named, opened

GOOD, DENIED, REJECTED, BUSY = 0, 0x801F0000, 0x80210000, 0x800E0000  # the last one: too busy, which says nothing of a password
HOUR_S = 3600.0
Try = tuple[float, str, int]  # when, who, what the server says


def logging_in(client: str, tries: Sequence[Try], *, first_port: int = 41000) -> list[Packet]:
    """Each over a connection of its own."""
    packets: list[Packet] = []
    for number, (at_s, user, status) in enumerate(tries):
        ua = UaTalk(client, first_port + number % 20_000)
        ua.ask("CreateSession", at_s)
        ua.ask("ActivateSession", at_s, activate(user, b"x" * 20, b"rsa")[BEHIND_TIME:], answered=False)
        service = SERVICES["ActivateSession"][1] if status == GOOD else SERVICE_FAULT
        head = struct.pack("<IIII", 7, 9, ua.answers + 1, ua.sequence)
        ua.talk.answer(chunk(b"MSG", head + named(service) + answering(status)))
        ua.talk.finish()
        packets += timed(ua.talk, at_s)
    return packets


def windows(path: Path, packets: Sequence[Packet]) -> list[Window]:
    gather, found = Gather("sensor"), list[Window]()
    for heard in replay(capture(path, packets)):
        found += gather.hear(heard)
    return found + gather.flush()


def said(detector: Logins, lived: Iterable[Window]) -> list[Detection]:
    return [found for window in lived for found in detector.score(window)]


def test_many_refusals_in_a_minute_are_told_by_the_fifth(tmp_path: Path) -> None:
    tries = [(2.0 + 3 * n, "operator", REJECTED) for n in range(8)]
    found = said(Logins(), windows(tmp_path / "fast.pcap", logging_in(STRANGER, tries)))
    assert [one.score for one in found] == [5.0, 6.0, 7.0, 8.0]
    assert {(one.feature, one.cause, one.severity) for one in found} == {("passwords tried fast", f"actor:{STRANGER}", Severity.HIGH)}
    assert (found[0].source, found[0].target, found[0].techniques) == (STRANGER, PLC, ("T0859",))
    assert len(found[0].frames) == MIN_FAST
    assert "operator" in found[0].why


def test_one_password_for_many_users(tmp_path: Path) -> None:
    """A minute apart: neither fast nor, yet, many."""
    tries = [(2.0 + 70 * n, f"user{n}", DENIED) for n in range(MIN_USERS)]
    (found,) = said(Logins(), windows(tmp_path / "spread.pcap", logging_in(STRANGER, tries)))
    assert (found.feature, found.score) == ("passwords of many users", float(MIN_USERS))
    assert "user0, user1, user2 and user3" in found.why


def test_a_few_an_hour_add_up(tmp_path: Path) -> None:
    tries = [(2.0 + 0.7 * HOUR_S * n, "operator", DENIED) for n in range(MIN_SLOW + 1)]
    found = said(Logins(), windows(tmp_path / "slow.pcap", logging_in(STRANGER, tries)))
    assert [(one.feature, one.score, one.severity) for one in found] == [
        ("passwords tried slowly", float(MIN_SLOW), Severity.MEDIUM),
        ("passwords tried slowly", float(MIN_SLOW + 1), Severity.MEDIUM),
    ]


def test_a_login_that_succeeds_in_the_end_is_the_gravest(tmp_path: Path) -> None:
    tries = [(2.0 + 5 * n, "operator", REJECTED) for n in range(MIN_FAST)]
    found = said(
        Logins(), windows(tmp_path / "in.pcap", logging_in(STRANGER, [*tries, (40.0, "operator", GOOD), (50.0, "operator", GOOD)]))
    )
    assert [one.feature for one in found] == ["passwords tried fast", "login after refusals"]
    assert (found[1].severity, found[1].score) == (Severity.CRITICAL, float(MIN_FAST))
    assert "logs in as operator after 5 refusals" in found[1].title


def test_one_of_many_users_whose_password_was_right(tmp_path: Path) -> None:
    tries = [*((2.0 + 20 * n, f"user{n}", REJECTED) for n in range(MIN_USERS)), (100.0, "anna", GOOD)]
    found = said(Logins(), windows(tmp_path / "in.pcap", logging_in(STRANGER, tries)))
    assert [(one.feature, one.severity) for one in found][-1] == ("login after refusals", Severity.CRITICAL)
    assert "logs in as anna" in found[-1].title


def test_who_mistypes_and_logs_in_has_forgotten_it(tmp_path: Path) -> None:
    day = [
        (shift * HOUR_S + 20.0 * n, user, REJECTED if n < MISTYPED else GOOD)
        for shift, user in enumerate(("anna", "bert", "anna", "carl", "anna", "dora"))
        for n in range(MISTYPED + 1)
    ]
    assert said(Logins(), windows(tmp_path / "day.pcap", logging_in(HMI, day))) == []


def test_a_server_that_is_busy_says_nothing_of_passwords(tmp_path: Path) -> None:
    tries = [(2.0 + 0.5 * n, "operator", BUSY) for n in range(20)]
    assert said(Logins(), windows(tmp_path / "busy.pcap", logging_in(HMI, tries))) == []


def test_a_program_with_an_old_password_that_was_there_before_is_no_news_and_a_quicker_one_is(tmp_path: Path) -> None:
    """Once a minute, all the ten minutes that were learnt."""
    old = windows(tmp_path / "old.pcap", logging_in(HMI, [(60.0 * n, "report", REJECTED) for n in range(10)]))
    learner, halted, restored = Logins(), Logins(), Logins()
    for each in old[:5]:
        halted.learn(each)
    thaw(learner, freeze(halted))
    for each in old[5:]:
        learner.learn(each)
    learner.activate()
    restored.restore(learner.state())
    later = windows(tmp_path / "later.pcap", logging_in(HMI, [(1000.0 + 60.0 * n, "report", REJECTED) for n in range(100)]))
    quick = windows(tmp_path / "quick.pcap", logging_in(HMI, [(8000.0 + 6.0 * n, "report", REJECTED) for n in range(10)]))
    assert said(restored, later) == []
    assert {one.feature for one in said(restored, quick)} == {"passwords tried fast"}
    assert said(Logins(), later)


def opening(at_s: Iterable[float]) -> list[Packet]:
    """Encrypted channels, one after the other."""
    packets: list[Packet] = []
    for number, second in enumerate(at_s):
        talk = Talk(client=HMI, server=PLC, cport=42000 + number, sport=4840)
        talk.ask(hello())
        talk.answer(acknowledge())
        talk.ask(opened(SERVICES["OpenSecureChannel"][0], SECURED))
        talk.finish()
        packets += timed(talk, second)
    return packets


def test_on_encrypted_channels_only_that_they_come_and_go_is_told(tmp_path: Path) -> None:
    lived = windows(tmp_path / "opened.pcap", opening(5.0 + 20.0 * n for n in range(MIN_OPENED + 1)))
    found = said(Logins(), lived)
    assert [(one.feature, one.score, one.severity, one.confidence) for one in found] == [
        ("channel after channel", float(MIN_OPENED), Severity.MEDIUM, 0.3),
        ("channel after channel", float(MIN_OPENED + 1), Severity.MEDIUM, 0.3),
    ]
    assert (found[0].cause, found[0].techniques) == (f"protocol:{HMI}", ())
    assert "nobody here can read" in found[0].why
    learnt, restored = Logins(), Logins()
    for each in lived:
        learnt.learn(each)
    learnt.activate()
    restored.restore(learnt.state())
    assert said(restored, windows(tmp_path / "later.pcap", opening(2000.0 + 20.0 * n for n in range(2 * MIN_OPENED)))) == []


def test_of_an_answer_that_was_cut_short_nothing_is_known() -> None:
    assert service_result(bytes(43)) == -1
    assert service_result(bytes(40) + struct.pack("<I", DENIED)) == DENIED


async def _recorded(upstream: int, heard: list[list[tuple[bool, bytes]]]) -> asyncio.Server:
    """A way to the server on which all octets are kept, connection by connection."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: list[tuple[bool, bytes]], is_client: bool) -> None:
        while octets := await reader.read(1400):
            kept.append((is_client, octets))
            writer.write(octets)
            await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept: list[tuple[bool, bytes]] = []
        heard.append(kept)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(pass_on(reader, far_writer, kept, True), pass_on(far_reader, writer, kept, False), return_exceptions=True)

    return await asyncio.start_server(connected, "127.0.0.1", 0)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.mark.timeout(120)
async def test_what_a_real_server_says_to_wrong_passwords(tmp_path: Path, free_port: int) -> None:
    """asyncua on both sides; the right password last.  The connections are played ten seconds apart."""
    heard: list[list[tuple[bool, bytes]]] = []
    with asyncua_server(free_port, tmp_path):
        way = await _recorded(free_port, heard)
        async with way:
            url = f"opc.tcp://127.0.0.1:{way.sockets[0].getsockname()[1]}/plant"
            passwords = [*(f"guess{number}" for number in range(MISTYPED + 2)), "secret"]
            told = await asyncua_client(url, tmp_path, "SP", user=",".join(f"op:{password}" for password in passwords))
            assert told == [*["BadUserAccessDenied"] * (MISTYPED + 2), "1.0"]
    packets: list[Packet] = []
    for number, parts in enumerate(heard):
        talk = Talk(client=STRANGER, server=PLC, cport=41000 + number, sport=4840)
        for is_client, octets in parts:
            (talk.ask if is_client else talk.answer)(octets)
        packets += timed(talk, 2.0 + 10.0 * number)
    found = said(Logins(), windows(tmp_path / "real.pcap", packets))
    assert [one.feature for one in found][-1] == "login after refusals"
    assert found[-1].severity is Severity.CRITICAL
    assert "as op after 5 refusals" in found[-1].title
