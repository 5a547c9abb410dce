"""``python -m collectors KIND CONFIG.json``: one collector process, until SIGTERM or SIGINT.

Exit status 0 after a clean end, 2 when the configuration is wrong (one line on standard error says where).
"""

import asyncio
import ctypes
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from sentinel.errors import ConfigError
from sentinel.model.codec import CodecError, from_json

_PR_SET_PDEATHSIG = 1

Run = Callable[[Any, asyncio.Event], Coroutine[Any, Any, None]]


def _capture() -> tuple[type, Run]:
    from collectors.capture import live

    return live.CaptureConfig, live.run


def _gate() -> tuple[type, Run]:
    from collectors.gate import config, service

    return config.GateConfig, service.run


def _gate_opcua() -> tuple[type, Run]:
    from collectors.gate.opcua import config, service

    return config.OpcuaGateConfig, service.run


def _poll_modbus() -> tuple[type, Run]:
    from collectors.poll import modbus

    return modbus.PollConfig, modbus.run


def _poll_opcua() -> tuple[type, Run]:
    from collectors.poll import opcua

    return opcua.SubscribeConfig, opcua.run


def _waveform() -> tuple[type, Run]:
    from collectors.waveform import watch

    return watch.WaveformConfig, watch.run


def _waveform_opcua() -> tuple[type, Run]:
    from collectors.poll import waveforms

    return waveforms.WaveformConfig, waveforms.run


# What each kind needs is imported when that kind is started: scapy (GPL-2.0-only) and asyncua (LGPL-3.0) never share a process.
KINDS: dict[str, Callable[[], tuple[type, Run]]] = {
    "capture": _capture,
    "gate": _gate,
    "gate-opcua": _gate_opcua,
    "poll-modbus": _poll_modbus,
    "poll-opcua": _poll_opcua,
    "waveform": _waveform,
    "waveform-opcua": _waveform_opcua,
}


def read_config(kind: type, path: Path) -> Any:
    """Raises ConfigError that names the file, and the key where there is one."""
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    try:
        return from_json(kind, octets)
    except CodecError as error:
        raise ConfigError(str(path), str(error)) from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.where}", error.problem) from error


async def until_asked_to_end(run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for asked in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(asked, stop.set)
    await run(stop)


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in KINDS:
        print(f"usage: python -m collectors {{{','.join(KINDS)}}} CONFIG.json", file=sys.stderr)
        return 2
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    kind, run = KINDS[arguments[0]]()
    try:
        config = read_config(kind, Path(arguments[1]))
        asyncio.run(until_asked_to_end(lambda stop: run(config, stop)))
    except ConfigError as error:
        print(f"collectors {arguments[0]}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
