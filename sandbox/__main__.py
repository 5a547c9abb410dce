"""`python -m sandbox CONFIG.json`: a keeper, a warden that stays outside, and a court that is locked in.

The warden enters the namespaces, forks the court, relays what it says to standard error, and ends it when a case takes too long (a
rollout is native code: nothing inside could interrupt it).  Then the keeper has a new warden start a new court, for the next case: an
empty process namespace cannot be entered twice.  Exit status: 0 after SIGTERM or SIGINT, 1 when the court ended by itself, 2 when the
configuration is wrong, 3 when isolation does not hold, 4 when one case after the other took too long.
"""

import argparse
import os
import selectors
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from sandbox import isolation, kernel
from sandbox.config import BEGIN, CourtConfig, read
from sandbox.isolation import Layer, LayerReport
from sentinel.errors import ConfigError, InputError, IsolationError

ENDED, MISCONFIGURED, NOT_ISOLATED, TOO_LONG = 1, 2, 3, 4
_START_LIMIT_S = 120.0  # compiling a large plant on a slow machine
_WALL_PER_CPU = 5.0  # on a crowded machine a case may wait for its processor so much longer than it computes
_LEAST_SHARE = 0.01  # of a processor since it was looked at last: who has less waits for something else, and no case has to
_LIVES, _WITHIN_S = 4, 120.0  # more courts than that are not lost to single cases: it is the plant, or the machine
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
    """Blocks until there is no court any more.  ``layers`` makes what the court locks itself in with, from its socket's directory."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    wards: list[int] = []
    told: list[int] = []

    def end(number: int, _: object) -> None:
        told.append(number)
        for ward in wards:
            os.kill(ward, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    begun: deque[float] = deque(maxlen=_LIVES)
    while True:
        begun.append(time.monotonic())
        ward = os.fork()
        if ward == 0:
            _become_warden(config, layers)
        wards[:] = [ward]
        if told:
            os.kill(ward, signal.SIGTERM)
        _, ended = os.waitpid(ward, 0)
        wards.clear()
        code = os.waitstatus_to_exitcode(ended)
        if told or code != TOO_LONG:
            return 0 if told else max(code, ENDED)
        if len(begun) == _LIVES and time.monotonic() - begun[0] < _WITHIN_S:
            return TOO_LONG


def _become_warden(config: CourtConfig, layers: Callable[[str], Mapping[str, Layer]]) -> NoReturn:
    """The keeper's child, from here on."""
    code = ENDED
    try:
        code = _guard(config, layers)
    except IsolationError as error:
        print(f"court: {error}", file=sys.stderr)
        code = NOT_ISOLATED
    except BaseException as error:  # noqa: BLE001 - the last frame of a process: whatever it is, say it and end
        traceback.print_exception(error)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _guard(config: CourtConfig, layers: Callable[[str], Mapping[str, Layer]]) -> int:
    """One court, until it ends."""
    stopped = _stop_on_signal()
    # Without a word, and without taking the socket away: by then it may be that of the next keeper's court.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
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
        return _watch(court, status_out, text_out, stopped, config.case_limit_s)
    finally:
        if config.socket.is_socket():
            config.socket.unlink(missing_ok=True)


def _watch(court: int, status: int, text: int, stopped: int, case_limit_s: float) -> int:
    """Relay and count time until both pipes are closed.  A case has its time of the processor, and some more by the clock on the wall."""
    began_s, computed_s = 0.0, 0.0  # of the case: on the wall, and what the court had computed by then
    looked = 0.0, 0.0  # at it last: on the wall, and what it had computed of it
    deadline: float | None = time.monotonic() + _START_LIMIT_S
    verdict: int | None = None
    with selectors.DefaultSelector() as selector:
        for pipe in (status, text, stopped):
            selector.register(pipe, selectors.EVENT_READ)
        while {status, text} & set(selector.get_map()):
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = [int(key.fd) for key, _ in selector.select(wait)]
            if not ready and deadline is not None and verdict is None:
                now_s, had_s = time.monotonic(), _computed_s(court) - computed_s
                left_s, computes = case_limit_s - had_s, had_s - looked[1] > _LEAST_SHARE * (now_s - looked[0])
                looked = now_s, had_s
                if began_s and left_s > 0.0 and computes and now_s - began_s < _WALL_PER_CPU * case_limit_s:
                    deadline = now_s + left_s
                    continue
                verdict, deadline = (TOO_LONG if began_s else ENDED), None
                what = "a case took too long and was ended" if began_s else f"not in session after {_START_LIMIT_S:.0f} s"
                print(f"court: {what}", file=sys.stderr, flush=True)
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
                    began_s, computed_s = time.monotonic(), _computed_s(court)
                    looked = began_s, 0.0
                    deadline = began_s + case_limit_s if octets.endswith(BEGIN) else None
    _, ended = os.waitpid(court, 0)
    if verdict is not None:
        return verdict
    return os.waitstatus_to_exitcode(ended) if os.WIFEXITED(ended) and os.WEXITSTATUS(ended) else ENDED


def _computed_s(process: int) -> float:
    """Time of the processor that a process has had, all its threads together: its own clock (linux/posix-timers.h)."""
    return time.clock_gettime(~process << 3 | 2)


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
        signal.set_wakeup_fd(-1)  # the warden's
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
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
        traceback.print_exception(error)
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
