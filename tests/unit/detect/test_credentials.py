"""Passwords in clear text are findings that name whose they are, and what is usual here is quiet."""

import pytest

from sentinel.detect.credentials import Credentials
from sentinel.model.observation import Details
from sentinel.model.protocol import Protocol, Topic
from sentinel.model.time import Instant
from sentinel.model.window import Window
from tests.observations import MASTER, PLC, START, at, details


def login(number: float = 1.0, user: str = "anna", **more: object) -> dict[str, object]:
    return {
        "time": at(1), "frame": 7, "client": MASTER, "server": PLC, "protocol": Protocol.OPCUA, "topic": Topic.IDENTITY,
        "subject": "username", "text": user, "number": number, **more,
    }  # fmt: skip


def window(told: Details) -> Window:
    return Window(source="t", start=Instant(START), end=Instant(at(2)), details=told)


def test_a_password_in_clear_text_is_a_finding() -> None:
    (found,) = Credentials().score(window(details(login(), login(user="bert", frame=9))))
    assert (found.source, found.target, found.frames, found.score) == (MASTER, PLC, (7, 9), 2.0)
    assert "anna and bert" in found.why


@pytest.mark.parametrize("row", [login(0.0), login(topic=Topic.VALUE_READ), login(float("nan"), subject="anonymous")])
def test_what_is_encrypted_or_none_is_not(row: dict[str, object]) -> None:
    assert not Credentials().score(window(details(row)))


def test_what_is_usual_is_quiet_also_after_a_restart() -> None:
    learnt = Credentials()
    learnt.learn(window(details(login())))
    learnt.activate()
    restored = Credentials()
    restored.restore(learnt.state())
    for detector in (learnt, restored):
        assert not detector.score(window(details(login())))
        assert detector.score(window(details(login(client="10.0.0.66"))))
