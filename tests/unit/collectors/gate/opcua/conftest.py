"""One asyncua server for the tests of a module: it takes seconds to start."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.collectors.gate.opcua.stage import Server, asyncua_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory: Path = tmp_path_factory.mktemp("server")
    with asyncua_server(port, directory) as running:
        yield running
