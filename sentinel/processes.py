"""From settings to processes: which there are, and what each is told.

Each child reads one JSON file in the run directory, written anew at every start of the appliance.
"""

import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from collectors.outbox import Outbox
from sandbox.config import NO_NAMESPACE
from sentinel.baseline import store
from sentinel.clock import Clock
from sentinel.durable import write_whole
from sentinel.model.codec import to_jsonable
from sentinel.model.observation import Outage
from sentinel.model.time import Instant
from sentinel.places import ENFORCER, Places
from sentinel.settings import PollOpcua, Settings, Waveform
from sentinel.supervisor import Process, Report, python
from sentinel.twin.plant import load_plant

_FANOUT_GROUPS = 61  # interfaces of one appliance before their numbers meet those of the next process
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # small arrays: threads would only fight over the cores


def processes(settings: Settings, places: Places) -> list[Process]:
    """The brain first; the order matters to nobody else, for all of them connect again and again.

    Raises ConfigError or InputError for files that the settings name and that are wrong: here, where somebody reads it.
    """
    if places.given is not None:
        store.load(places.given)
    tags = [to_jsonable(tag) for tag in load_plant(places.plant).tags.tags] if settings.appliance.plant else []
    found = [_process("brain", "sentinel.app", places.settings)]
    told: dict[str, Any]
    if settings.appliance.plant:
        told = {
            "plant": str(places.plant),
            "socket": str(places.court),
            "members": settings.court.members,
            "horizon_s": settings.court.horizon_s,
        }
        found.append(_process("court", "sandbox", _write(places, "court", told)))
        tier = _process("wire", "sandbox.emulators", _write(places, "wire", told | {"socket": str(places.wire)}))
        found.append(replace(tier, final=frozenset({NO_NAMESPACE})))
    if settings.enforce.enforcer == "nftables":
        told = {
            "socket": str(places.enforcer),
            "journal": str(places.directory / "enforcer.jsonl"),
            "never_cut": sorted({*settings.enforce.never_cut, *settings.controllers(), *settings.own_addresses()}),
            "brain_uid": os.getuid(),
        }
        child = _process(ENFORCER, "sentinel.respond.enforcers", _write(places, ENFORCER, told), settings.enforce.namespace)
        found.append(child)
    group = os.getpid() * _FANOUT_GROUPS  # so that two appliances hardly ever name the same
    for capture in settings.capture:
        for name in capture.processes():
            told = {"name": name, "intake": str(places.intake), "interfaces": list(capture.interfaces)}
            if capture.workers > 1:
                told["fanout_group"] = group % (1 << 16)
            if capture.recent_megabytes:
                told["recent"] = str(places.recent / name)
                told["recent_octets"], told["recent_s"] = round(capture.recent_megabytes * 1e6), capture.recent_hours * 3600
            found.append(_collector("capture", name, told, places, capture.namespace))
        group += len(capture.interfaces)
    for gate in settings.gate:
        told = {
            "name": gate.name,
            "intake": str(places.intake),
            "directory": str(places.run),
            "listen": gate.listen,
            "upstream": gate.upstream,
            "transparent": gate.transparent,
            "deadline_ms": gate.deadline_ms,
            "unknown_tag": gate.unknown_tag,
            "observe": gate.observe,
            "tags": tags,
        }
        kind = "gate"
        if gate.protocol == "opcua":
            kind = "gate-opcua"
            told["certificates"] = str(places.directory / (gate.certificates or f"gates/{gate.name}"))
        found.append(_collector(kind, gate.name, told, places, gate.namespace))
    for poll in settings.poll_modbus:
        told = {"name": poll.name, "intake": str(places.intake), "server": poll.server, "period_s": poll.period_s, "source": poll.source}
        found.append(_collector("poll-modbus", poll.name, told | {"tags": tags}, places, poll.namespace))
    for subscription in settings.poll_opcua:
        told = {"name": subscription.name, "intake": str(places.intake), "url": subscription.url, "period_ms": subscription.period_ms}
        told["security"] = _security(subscription, places)
        found.append(_collector("poll-opcua", subscription.name, told | {"tags": tags}, places, subscription.namespace))
    for waveform in settings.waveform:
        told = {"name": waveform.name, "intake": str(places.intake), "sensor": waveform.sensor, "frame_s": waveform.frame_s}
        if waveform.url:
            told |= {"url": waveform.url, "node": waveform.node, "period_ms": 1000 * waveform.period_s}
            told |= {"rate_hz": waveform.rate_hz, "rate_node": waveform.rate_node, "security": _security(waveform, places)}
        else:
            told |= {"directory": str(places.settings.parent / waveform.directory), "period_s": waveform.period_s}
        found.append(_collector("waveform-opcua" if waveform.url else "waveform", waveform.name, told, places, ""))
    return found


def _security(poll: PollOpcua | Waveform, places: Places) -> dict[str, str]:
    told = {"policy": poll.policy, "mode": poll.mode, "user": poll.user}
    if poll.policy:
        told["certificates"] = str(places.directory / (poll.certificates or f"polls/{poll.name}"))
    if poll.password_file:
        told["password_file"] = str(places.settings.parent / poll.password_file)
    return told


def _collector(kind: str, name: str, told: dict[str, Any], places: Places, namespace: str) -> Process:
    return _process(name, "collectors", _write(places, name, told), namespace, kind)


def _process(name: str, module: str, file: Path, namespace: str = "", *arguments: str) -> Process:
    return Process(name=name, argv=python("-m", module, *arguments, str(file)), namespace=namespace, environment=_ONE_THREAD)


def _write(places: Places, name: str, told: dict[str, Any]) -> Path:
    file = places.run / f"{name}.json"
    write_whole(file, json.dumps(told, indent=1).encode())
    return file


@contextlib.asynccontextmanager
async def reporting(places: Places, clock: Clock, killed: Instant | None = None) -> AsyncIterator[Report]:
    """How the supervisor tells the brain of outages: as any collector does, so that a brain that is away hears of them when it is back.

    ``killed``: when the supervisor before this one was last alive, if nobody asked it to end.
    """
    outbox = Outbox(places.intake, "supervisor", lambda _: None, clock=clock)

    async def report(outage: Outage) -> None:
        await outbox.outage(outage)

    if killed is not None:
        reason = "it ended without being asked to, and all processes with it"
        await report(Outage(process="supervisor", since=killed, until=clock.now(), reason=reason))
    async with outbox.open(farewell_s=0.0):
        yield report
