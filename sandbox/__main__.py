"""`python -m sandbox CONFIG.json`: a warden that stays outside and a court that is locked in.

The warden enters the namespaces, forks the court, relays what it says to standard error, and ends it when a case takes too long (a
rollout is native code: nothing inside could interrupt it).  Exit status: 0 after SIGTERM or SIGINT, 1 when the court ended by itself,
2 when the configuration is wrong, 3 when isolation does not hold, 4 when a case took too long.
"""

import argparse
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from sandbox import isolation, kernel
from sandbox.config import BEGIN, CourtConfig, read
from sandbox.isolation import Layer, LayerReport
from sentinel.errors import ConfigError, InputError, IsolationError

ENDED, MISCONFIGURED, NOT_ISOLATED, TOO_LONG = 1, 2, 3, 4
_START_LIMIT_S = 120.0  # compiling a large plant on a slow machine
_CHUNK = 65536
# Before numpy and Arrow are loaded: both would start threads of their own, and isolation is a matter of single threads.
_SINGLE_THREADED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Judges commands on the twin, shut off from everything else.")
    parser.add_argument("config", type=Path, help="JSON: plant, socket, members, horizon_s, seed, case_limit_s, thresholds")
    chosen = parser.parse_args(arguments)
    try:
        return hold_court(read(chosen.config))
    except ConfigError as error:
        print(f"court: {error}", file=sys.stderr)
        return MISCONFIGURED
    except IsolationError as error:
        print(f"court: {error}", file=sys.stderr)
        return NOT_ISOLATED


def hold_court(config: CourtConfig, layers: Callable[[str], Mapping[str, Layer]] = isolation.own_layers) -> int:
    """Blocks until the court ends.  ``layers`` makes what the court locks itself in with, from the directory of its socket."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    entered = isolation.enter_namespaces()
    status_out, status_in = os.pipe()
    text_out, text_in = os.pipe()
    court = os.fork()
    if court == 0:
        os.close(status_out)
        os.close(text_out)
        _become_court(config, entered, layers, status_in, text_in)
    os.close(status_in)
    os.close(text_in)
    try:
        return _watch(court, status_out, text_out, config.case_limit_s)
    finally:
        if config.socket.is_socket():
            config.socket.unlink(missing_ok=True)


def _watch(court: int, status: int, text: int, case_limit_s: float) -> int:
    """Relay and count time until both pipes are closed."""
    stopped = _stop_on_signal()
    deadline: float | None = time.monotonic() + _START_LIMIT_S
    verdict: int | None = None
    with selectors.DefaultSelector() as selector:
        for pipe in (status, text, stopped):
            selector.register(pipe, selectors.EVENT_READ)
        while {status, text} & set(selector.get_map()):
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = [int(key.fd) for key, _ in selector.select(wait)]
            if not ready and deadline is not None and verdict is None:
                verdict, deadline = TOO_LONG, None
                print("court: a case took too long and was ended", file=sys.stderr, flush=True)
                os.kill(court, signal.SIGKILL)
            for pipe in ready:
                octets = os.read(pipe, _CHUNK)
                if pipe == stopped:
                    verdict, deadline = 0, None
                    selector.unregister(stopped)
                    os.kill(court, signal.SIGKILL)  # it holds no state that could be lost
                elif not octets:
                    selector.unregister(pipe)
                elif pipe == text:
                    _relay(octets)
                elif verdict is None:
                    deadline = time.monotonic() + case_limit_s if octets.endswith(BEGIN) else None
    _, ended = os.waitpid(court, 0)
    if verdict is not None:
        return verdict
    return os.waitstatus_to_exitcode(ended) if os.WIFEXITED(ended) and os.WEXITSTATUS(ended) else ENDED


def _relay(octets: bytes) -> None:
    sys.stderr.buffer.write(octets)
    sys.stderr.buffer.flush()


def _stop_on_signal() -> int:
    """A pipe that can be read once SIGTERM or SIGINT has come."""
    out, into = os.pipe()
    os.set_blocking(into, False)
    signal.set_wakeup_fd(into)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return out


def _become_court(
    config: CourtConfig,
    entered: tuple[LayerReport, ...],
    layers: Callable[[str], Mapping[str, Layer]],
    status: int,
    text: int,
) -> NoReturn:
    """The forked child, from here on: leaves by `os._exit` alone, so that nothing of the warden's runs twice."""
    code = ENDED
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(text, 1)
        os.dup2(text, 2)
        os.dup2(status, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        os.environ.clear()
        os.environ.update(_SINGLE_THREADED)
        from sandbox.server import sit

        sit(config, entered, layers(str(config.socket.parent)), lambda octet: os.write(3, octet))
    except IsolationError as error:
        print(f"court: refuses to start: {error}", file=sys.stderr)
        code = NOT_ISOLATED
    except (ConfigError, InputError) as error:
        print(f"court: {error}", file=sys.stderr)
        code = MISCONFIGURED
    except BaseException as error:  # noqa: BLE001 - the last frame of a process: whatever it is, say it and end
        import traceback

        traceback.print_exception(error)
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
