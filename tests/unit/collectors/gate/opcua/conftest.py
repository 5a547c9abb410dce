"""One asyncua server for the tests of a module: it takes seconds to start."""

import logging
import socket
from collections.abc import Iterator

import pytest

from tests.unit.collectors.gate.opcua.stage import Server, asyncua_server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def _nothing_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """An exception in a connection's callback would only be logged, and the connection closed: as if the lie had been found out."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.fixture
def free_port() -> int:
    return _free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with asyncua_server(_free_port(), tmp_path_factory.mktemp("server")) as running:
        yield running
