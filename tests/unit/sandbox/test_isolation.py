"""Locked in, nothing gets out: tried in a process of its own, as root and without any right."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.isolation import Isolation, Layer, LayerReport, install
from sentinel.errors import IsolationError
from tests.unit.sandbox.conftest import environment, open_to_all

SCRIPT = Path(__file__).with_name("locked_process.py")


def locked(python: tuple[str, ...], directory: Path) -> dict[str, object]:
    open_to_all(directory)
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = str(service.getsockname()[1])
        done = subprocess.run(
            [*python, str(SCRIPT), str(directory), port], env=environment(), cwd="/", capture_output=True, timeout=60, check=False
        )
    assert done.stdout, done.stderr.decode()
    result: dict[str, object] = json.loads(done.stdout)
    return result


def must_hold(result: dict[str, object], directory: Path) -> None:
    assert result["takes_untrusted"] is True
    attempts = result["attempts"]
    assert isinstance(attempts, dict)
    assert {name: what for name, what in attempts.items() if not what.startswith("refused")} == {}
    assert not (directory / "escaped").exists()
    layers = result["layers"]
    assert isinstance(layers, dict)
    assert {name for name, (holds, _) in layers.items() if holds} >= {"network", "limits", "files", "rights", "calls"}


@pytest.mark.netns
def test_nothing_gets_out_of_a_court_that_root_has_started(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    must_hold(locked((sys.executable,), tmp_path), tmp_path)


@pytest.mark.netns
def test_nothing_gets_out_of_a_court_that_nobody_has_started(as_nobody: tuple[str, ...], tmp_path: Path) -> None:
    result = locked(as_nobody, tmp_path)
    layers = result["layers"]
    assert isinstance(layers, dict)
    if not layers["network"][0]:
        pytest.skip(f"unprivileged user namespaces are not allowed here: {layers['network'][1]}")
    must_hold(result, tmp_path)


def test_without_network_namespace_or_call_filter_nothing_untrusted_is_taken() -> None:
    def held(**layers: bool) -> bool:
        reports = tuple(LayerReport(name=name, holds=holds, says="") for name, holds in layers.items())
        return Isolation(layers=reports).takes_untrusted

    assert held(network=True, calls=True, landlock=False)
    assert not held(network=False, calls=True)
    assert not held(network=True, calls=False)
    assert not held()


def test_a_layer_that_lets_something_through_stops_the_start() -> None:
    open_door = Layer("nothing", lambda: None, lambda: "the door stood open")
    with pytest.raises(IsolationError, match=r"'door' .* does not hold: the door stood open"):
        install({"door": open_door})


def test_a_layer_that_a_later_one_has_opened_stops_the_start() -> None:
    opened: list[str] = []
    door = Layer("nothing", lambda: None, lambda: opened[0] if opened else None)
    with pytest.raises(IsolationError, match=r"'door' .* it was opened again"):
        install({"door": door, "clumsy": Layer("nothing", lambda: opened.append("it was opened again"), lambda: None)})


def test_a_layer_that_any_machine_has_must_be_installed() -> None:
    def refuse() -> None:
        raise OSError(1, "refused")

    rare = Layer("something", refuse, lambda: None)
    assert install({"rare": rare}) == (LayerReport(name="rare", holds=False, says="[Errno 1] refused"),)
    with pytest.raises(IsolationError, match="'common' cannot be installed"):
        install({"common": Layer("something", refuse, lambda: None, everywhere=True)})


def test_a_process_with_threads_is_refused() -> None:
    script = "import threading; t = threading.Event(); threading.Thread(target=t.wait, daemon=True).start()\n"
    script += "from sandbox.isolation import lock_down; lock_down({})"
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert "2 threads run" in done.stderr
