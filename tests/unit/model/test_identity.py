"""What devices say of themselves, chosen by whoever sends it."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from sentinel.model.identity import MAX_SAYINGS, MAX_TEXT, printable, sayings
from sentinel.model.observation import Messages
from sentinel.model.opcua import SERVICES
from sentinel.model.protocol import Protocol, Topic
from tests.observations import MASTER, PLC, at, details


@given(st.text(st.characters(), max_size=400))
def test_whatever_is_sent_prints_on_one_short_line(text: str) -> None:
    said = printable(text)
    assert len(said) <= MAX_TEXT
    assert all(one == " " or unicodedata.category(one)[0] not in "CZ" or unicodedata.category(one) == "Zs" for one in said)
    assert printable(said) == said


def test_escapes_and_turned_writing_are_left_out() -> None:
    assert printable("\x1b[31mred\x07\u202e\r\n gnp.exe") == "[31mred gnp.exe"


def row(topic: Topic, service: str, **more: object) -> dict[str, object]:
    common = {"time": at(1), "frame": 7, "client": MASTER, "server": PLC, "port": 4840, "protocol": Protocol.OPCUA, "topic": topic}
    return common | {"function": SERVICES[service][1], "subject": -1, "text": -1} | more


def told(*rows: dict[str, object]) -> list[tuple[str, str, str, str]]:
    return [(said.asset, said.by, said.what, said.text) for said in sayings(Messages.empty(), details(*rows))]


def test_an_opcua_server_says_who_it_is_and_who_asks_says_so_too() -> None:
    assert told(
        row(Topic.SERVER_APPLICATION, "GetEndpoints", subject="urn:plc:server", text="Plant server"),
        row(Topic.PRODUCT, "GetEndpoints", text="urn:acme:server"),
        row(Topic.PRODUCT, "Read", text="UA server"),
        row(Topic.CLIENT_APPLICATION, "CreateSession", subject="urn:pc:expert", text="Expert"),
        row(Topic.CERTIFICATE, "CreateSession", subject="ab" * 32, text="server"),
        row(Topic.CERTIFICATE_NAME, "OpenSecureChannel", subject="client", text="CN=Expert"),
        row(Topic.SERVER_APPLICATION, "FindServers", subject="urn:other", text="Another server"),
        row(Topic.PRODUCT, "FindServers", text="urn:other"),
    ) == [
        (PLC, "opcua port 4840", "application", "Plant server"),
        (PLC, "opcua port 4840", "application uri", "urn:plc:server"),
        (PLC, "opcua port 4840", "product uri", "urn:acme:server"),
        (PLC, "opcua port 4840", "product", "UA server"),
        (MASTER, "opcua client", "application", "Expert"),
        (MASTER, "opcua client", "application uri", "urn:pc:expert"),
        (PLC, "opcua port 4840", "certificate", "ab" * 32),
        (MASTER, "opcua client", "certificate name", "CN=Expert"),
    ]


def test_a_flood_is_heard_in_part() -> None:
    assert len(told(*(row(Topic.FIRMWARE, "Read", text=f"v{number}") for number in range(2 * MAX_SAYINGS)))) == MAX_SAYINGS
