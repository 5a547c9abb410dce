"""Values of OPC UA nodes as they were heard: what was read and published becomes readings, what was written or called becomes commands.

In: `Details` and the messages that they belong to.  With a tag map only the nodes that it binds are readings, and their values are
engineering values already; without one a node is named by where it lives ("10.0.0.10 ns=2;s=LT101").
"""

from collections import defaultdict

import numpy as np

from sentinel.baseline.values import heard_command
from sentinel.model.columns import Array
from sentinel.model.command import Command, TagWrite
from sentinel.model.ids import AssetId
from sentinel.model.observation import Details, Messages, Readings
from sentinel.model.opcua import is_bad, is_uncertain, operation
from sentinel.model.protocol import Defect, MessageKind, Protocol, Quality, Topic
from sentinel.model.tags import MAX_UNNAMED, TagMap

_HEARD = (Topic.VALUE_READ, Topic.VALUE_PUBLISHED)
_MEANT = (Topic.VALUE_WRITTEN, Topic.METHOD_CALLED, Topic.NODE_ADDED, Topic.NODE_DELETED, Topic.HISTORY_UPDATED)
_RESULTS = (Topic.WRITE_RESULT, Topic.CALL_RESULT)

Key = tuple[int, int]  # flow, request


def node_readings(details: Details, tag_map: TagMap | None = None) -> Readings:
    """One row per scalar number, in the order of the details; ``time`` is the source's own where it gives one."""
    rows = np.flatnonzero(np.isin(details.topic, _HEARD) & (details.subject >= 0) & np.isfinite(details.number))
    if not len(rows):
        return Readings.empty()
    names: dict[str, int] = {}
    pairs, which = np.unique(np.stack([details.server[rows], details.subject[rows]]), axis=1, return_inverse=True)
    codes = np.array([_name(details, int(server), int(node), tag_map, names) for server, node in pairs.T], np.int32)[which]
    rows, codes = rows[codes >= 0], codes[codes >= 0]
    status = details.status[rows]
    quality = np.where(is_bad(status), Quality.BAD, np.where(is_uncertain(status), Quality.UNCERTAIN, Quality.GOOD))
    stamped, seen = details.stamped[rows], details.time[rows]
    return Readings(
        names=tuple(names),
        time=np.where(stamped >= 0, stamped, seen),
        seen=seen,
        tag=codes,
        value=details.number[rows],
        quality=quality.astype(np.uint8),
    )


def _name(details: Details, server: int, node: int, tag_map: TagMap | None, names: dict[str, int]) -> int:
    text = str(details.name_of(node))
    if tag_map is None:
        return names.setdefault(f"{details.name_of(server)} {text}", len(names))
    tag = tag_map.by_node.get(text)
    return -1 if tag is None else names.setdefault(tag.name, len(names))


def node_commands(messages: Messages, details: Details, tag_map: TagMap) -> tuple[Command, ...]:
    """Requests that mean to change something, as commands of origin WIRE.  What the server was heard to refuse is marked so."""
    meant = np.flatnonzero(np.isin(details.topic, _MEANT))
    if not len(meant):
        return ()
    carriers = _carriers(messages)
    results = _results(messages, details)
    groups: dict[tuple[int, int, int], list[int]] = defaultdict(list)  # flow, request, time
    for row in meant.tolist():
        groups[int(details.flow[row]), int(details.transaction[row]), int(details.time[row])].append(row)
    commands = []
    for key, rows in groups.items():
        carrier = carriers.get(key)
        if carrier is None or messages.defect[carrier] != Defect.NONE:
            continue
        statuses = results.get(key[:2], {})
        writes = _writes(details, rows, tag_map, statuses)
        named = operation(int(messages.function[carrier]))
        commands.append(heard_command(messages, carrier, messages.pdu(carrier), "opcua", named, writes))
    return tuple(commands)


def _carriers(m: Messages) -> dict[tuple[int, int, int], int]:
    """The last chunk of each request."""
    rows = np.flatnonzero((m.protocol == Protocol.OPCUA) & (m.kind == MessageKind.REQUEST))
    return {(int(m.flow[row]), int(m.transaction[row]), int(m.time[row])): row for row in rows.tolist()}


def _results(m: Messages, details: Details) -> dict[Key, dict[int, bool]]:
    """Of each request that was answered: which of its operations were refused, by their ordinal; -1 = all of them."""
    found: dict[Key, dict[int, bool]] = defaultdict(dict)
    for row in np.flatnonzero(np.isin(details.topic, _RESULTS)).tolist():
        of = found[int(details.flow[row]), int(details.transaction[row])]
        of[len(of)] = bool(is_bad(details.status[row]))
    for row in np.flatnonzero((m.protocol == Protocol.OPCUA) & (m.kind == MessageKind.EXCEPTION) & (m.transaction >= 0)).tolist():
        found[int(m.flow[row]), int(m.transaction[row])][-1] = True
    return found


def _writes(details: Details, rows: list[int], tag_map: TagMap, statuses: dict[int, bool]) -> tuple[TagWrite, ...]:
    """All that have a name, and the first `MAX_UNNAMED` of those that have none."""
    writes, unnamed = [], 0
    for ordinal, row in enumerate(rows):
        point = details.name_of(int(details.subject[row])) or "a node that was not told"
        tag = tag_map.by_node.get(point)
        unnamed += tag is None
        if tag is None and unnamed > MAX_UNNAMED:
            continue
        number = float(details.number[row])
        raw = number if np.isfinite(number) else None
        is_value = tag is not None and details.topic[row] == Topic.VALUE_WRITTEN
        writes.append(
            TagWrite(
                tag=tag.name if tag else None,
                point=point,
                raw=raw,
                value=raw if is_value else None,
                unit=tag.unit if tag else None,
                refused=statuses.get(-1, False) or statuses.get(ordinal, False),
            )
        )
    return tuple(writes)


def of_servers(columns: Messages | Details, servers: frozenset[AssetId]) -> Array:
    """Which rows are of a conversation with one of these servers; none named = all."""
    if not servers:
        return np.ones(len(columns), bool)
    return np.isin(columns.server, [code for code, name in enumerate(columns.names) if name in servers])
