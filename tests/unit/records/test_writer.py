import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from sentinel.records.writer import Writer


@pytest.fixture
def writer() -> Iterator[Writer]:
    made = Writer(create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool))
    yield made
    made.close()


def test_a_listener_is_told_before_whoever_waits(writer: Writer) -> None:
    """The audit anchor is such a listener: whoever knows that an entry is on disk may verify the chain at once."""
    may_run = threading.Event()
    order: list[str] = []

    def wait(connection: Connection) -> None:
        assert may_run.wait(10)

    writer.submit(wait)
    future: Future[int] = writer.submit(lambda connection: 7, done=lambda result: order.append(f"listener {result}"))
    future.add_done_callback(lambda done: order.append(f"future {done.result()}"))
    may_run.set()
    assert future.result(10) == 7
    writer.close()
    assert order == ["listener 7", "future 7"]


def test_a_listener_that_fails_keeps_nobody_waiting(writer: Writer, caplog: pytest.LogCaptureFixture) -> None:
    def fail(result: int) -> None:
        raise ValueError(result)

    assert writer.submit(lambda connection: 7, done=fail).result(10) == 7
    writer.close()
    assert "a listener of the records failed" in caplog.text
