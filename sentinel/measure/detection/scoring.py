"""``sentinel bench score``: does scoring keep pace?  Gather, every detector and the fold, over a made-up stream, by processor time.

Two streams, learnt and then judged, each from a seed: Modbus traffic of many connections (`collectors.capture.traffic`, decoded
beforehand), and tag values as a poll would bring them.  ``pdus_per_s`` and ``tag_values_per_s`` are what one core takes; ``window_ms`` is
how long a window of a second keeps the core, the worst of them, which is what stands between the end of a second and its findings.
``slot_s``: findings of what needs a window wait for their second to end.  ``_beside``: with the candidate that learns beside the anchor.
Memory is what `tracemalloc` sees of the
analysis itself, per tag and per conduit, from two sizes of plant, and what it grows by afterwards.
"""

import argparse
import gc
import json
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from collectors.capture.replay import replay
from collectors.capture.traffic import Options, write_traffic
from sentinel.detect.catalogue import detectors
from sentinel.model.observation import SLOT_NS, Heard, Readings
from sentinel.model.protocol import Quality
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole
from sentinel.model.time import NS_PER_S, Instant
from sentinel.pipeline import Analysis

GOAL_PDUS, GOAL_VALUES = 200_000, 100_000  # a second, on one core
CONNECTIONS, PERIOD_MS = 1000, 10  # a hundred exchanges a second of each: 200,000 PDUs a second
TAGS, TAG_HZ = 2000, 50
LEARN_S, SCORE_S = 4, 4
READINGS_LEARN_S, READINGS_SCORE_S = 200, 20  # a process model wants some minutes of rows
START = 1_700_000_000 * NS_PER_S
SEED = 3


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench score", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="of the Modbus stream, each with 100 exchanges a second")
    parser.add_argument("--tags", type=int, default=TAGS, help="of the stream of values, each read 50 times a second")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    given = parser.parse_args(arguments)
    if min(given.connections, given.tags) < 1:
        parser.error("at least one connection and one tag")
    gc.collect()
    gc.freeze()  # what was imported, as the appliance does
    figures = {
        **pdus(given.connections),
        "pdus_per_s_beside": pdus(given.connections, beside=True)["pdus_per_s"],
        **values(given.tags),
        "tag_values_per_s_beside": values(given.tags, beside=True)["tag_values_per_s"],
        **memory(),
    }
    print(json.dumps(figures) if given.json else "\n".join(f"{name:28} {value}" for name, value in figures.items()))
    return 0


# -- messages --


def pdus(connections: int, *, beside: bool = False) -> dict[str, Any]:
    """The stream of messages, with a plant file that names a quarter of the registers; ``beside``: a candidate learns from it as well."""
    seconds = LEARN_S + SCORE_S
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traffic.pcap"
        packets = 3 * connections * seconds * 1000 // PERIOD_MS
        with path.open("wb") as out:
            write_traffic(out, Options(packets=packets, connections=connections, period_ms=PERIOD_MS, seed=SEED))
        stream = list(replay(path))
    tag_map = _registers()
    analysis = Analysis(tag_map=tag_map, fresh=(lambda: detectors(tag_map)) if beside else None)
    first = int(stream[0].messages.time[0])
    edge = first + LEARN_S * NS_PER_S
    learnt, rest = [_part(heard, -1, edge) for heard in stream], [_part(heard, edge, 1 << 62) for heard in stream]
    for heard in learnt:
        analysis.heard(heard)
        _take(analysis)
    analysis.flush()
    analysis.activate()
    count = sum(len(heard.messages) for heard in rest)
    took, worst = 0.0, 0.0
    for heard in _by_second(rest):
        began = time.process_time()
        analysis.heard(heard)
        _take(analysis)
        spent = time.process_time() - began
        took, worst = took + spent, max(worst, spent)
    return {
        "pdus": count,
        "pdus_per_s": round(count / took),
        "pdus_goal": GOAL_PDUS,
        "pdus_window_ms": round(1000 * worst, 1),
        "pdus_findings": len(analysis.findings),
    }


def _registers() -> TagMap:
    """Every fourth holding register of the units that the traffic polls."""
    return TagMap(
        tuple(
            Tag(
                name=f"T{unit}-{address}",
                role=TagRole.PROCESS_VALUE,
                unit="1",
                low=0.0,
                high=65535.0,
                modbus=ModbusPoint(unit=unit, table=Table.HOLDING, address=address),
            )
            for unit in range(1, 5)
            for address in range(0, 1024, 4)
        )
    )


def _part(heard: Heard, since: int, until: int) -> Heard:
    messages, flows = heard.messages, heard.flows
    return Heard(
        source=heard.source,
        until=Instant(min(heard.until, until)),
        messages=messages.take((messages.time >= since) & (messages.time < until)),
        flows=flows.take((flows.time >= since) & (flows.time < until)),
    )


def _by_second(stream: Sequence[Heard]) -> list[Heard]:
    """As a sensor hands over: what each second brought, at its end."""
    edges = sorted({int(slot) for heard in stream for slot in np.unique(heard.messages.time // SLOT_NS)})
    joined: list[Heard] = []
    for slot in edges:
        low, high = slot * SLOT_NS, (slot + 1) * SLOT_NS
        parts = [_part(heard, low, high) for heard in stream]
        messages = type(parts[0].messages).concat([part.messages for part in parts])
        flows = type(parts[0].flows).concat([part.flows for part in parts])
        joined.append(Heard(source=stream[0].source, until=Instant(high), messages=messages, flows=flows))
    return joined


def _take(analysis: Analysis) -> None:
    analysis.take_commands()
    analysis.take_readings()


# -- values --


def values(tags: int, *, beside: bool = False) -> dict[str, Any]:
    """Tags in groups that move together, with noise; each read 50 times a second."""
    analysis, stream = _learnt_values(tags, beside=beside)
    took = worst = 0.0
    count = 0
    for second in range(READINGS_LEARN_S, READINGS_LEARN_S + READINGS_SCORE_S):
        readings = stream(second, TAG_HZ)
        count += len(readings)
        began = time.process_time()
        analysis.readings("bench", readings, Instant(START + (second + 1) * NS_PER_S))
        spent = time.process_time() - began
        took, worst = took + spent, max(worst, spent)
    return {
        "tags": tags,
        "tag_values_per_s": round(count / took),
        "tag_values_goal": GOAL_VALUES,
        "tag_values_window_ms": round(1000 * worst, 1),
        "tag_values_findings": len(analysis.findings),
        "slot_s": SLOT_NS / NS_PER_S,
    }


def _learnt_values(tags: int, *, beside: bool = False) -> tuple[Analysis, Any]:
    names = tuple(f"T{number}" for number in range(tags))
    roles = (TagRole.PROCESS_VALUE, TagRole.PROCESS_VALUE, TagRole.OUTPUT, TagRole.SETPOINT)
    tag_map = TagMap(tuple(Tag(name=name, role=roles[i % 4], unit="1", low=0.0, high=100.0) for i, name in enumerate(names)))
    chance = np.random.default_rng(SEED)
    phase, period_s = chance.uniform(0, 6.28, 1 + tags // 8), chance.uniform(30, 90, 1 + tags // 8)
    group = np.arange(tags) // 8

    def stream(second: int, hz: int) -> Readings:
        at = np.repeat(second + np.arange(hz) / hz, tags)
        tag = np.tile(np.arange(tags, dtype=np.int32), hz)
        wave = np.sin(phase[group[tag]] + 6.283 * at / period_s[group[tag]])
        found = START + (at * NS_PER_S).astype(np.int64)
        return Readings(
            names=names,
            time=found,
            seen=found,
            tag=tag,
            value=np.round(50 + 20 * wave + chance.normal(0, 0.2, len(at)), 2),
            quality=np.full(len(at), Quality.GOOD, np.uint8),
        )

    analysis = Analysis(tag_map=tag_map, fresh=(lambda: detectors(tag_map)) if beside else None)
    for second in range(READINGS_LEARN_S):
        analysis.readings("bench", stream(second, 2), Instant(START + (second + 1) * NS_PER_S))
    analysis.activate()
    return analysis, stream


# -- memory --


def memory() -> dict[str, Any]:
    """Octets per tag and per conduit: the difference of two plants, one twice as large as the other."""
    _held_by_values(16)  # what is loaded on first use belongs to no tag
    tags = [_held_by_values(count) for count in (50, 100)]
    conduits = [_held_by_messages(count) for count in (100, 200)]
    return {
        "octets_per_tag": round((tags[1][0] - tags[0][0]) / 50),
        "octets_per_conduit": round((conduits[1][0] - conduits[0][0]) / 100),
        "octets_grown_in_60_s": tags[1][1],
    }


def _held_by_values(tags: int) -> tuple[int, int]:
    gc.collect()
    tracemalloc.start()
    analysis, stream = _learnt_values(tags)
    sizes = []
    for second in range(READINGS_LEARN_S, READINGS_LEARN_S + 120):
        analysis.readings("bench", stream(second, 2), Instant(START + (second + 1) * NS_PER_S))
        if second in (READINGS_LEARN_S + 59, READINGS_LEARN_S + 119):
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return sizes[0], sizes[1] - sizes[0]


def _held_by_messages(connections: int) -> tuple[int, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traffic.pcap"
        with path.open("wb") as out:
            write_traffic(out, Options(packets=connections * 120, connections=connections, period_ms=200, seed=SEED))
        stream = list(replay(path))
    gc.collect()
    tracemalloc.start()
    analysis = Analysis()
    half = len(stream) and int(stream[0].messages.time[0]) + 4 * NS_PER_S
    for heard in stream:
        analysis.heard(_part(heard, -1, half))
    analysis.flush()
    analysis.activate()
    for heard in stream:
        analysis.heard(_part(heard, half, 1 << 62))
    analysis.flush()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held, 0
