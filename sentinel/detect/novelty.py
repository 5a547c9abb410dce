"""Novelty: who is there, who talks to whom, with which operation on which addresses.  Exact whitelists, learnt; no thresholds.

New assets, new conversations and commands over new conversations are the business of the asset that opens them (``actor:``).  A known
client that does a little more than it was heard to do on a conduit it owns is a small thing (``habit:``): the same operation on another
server of its own is none at all, and a write to addresses that it polls is what operators do.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.evidence import (
    ARP,
    DNS_PORT,
    QUIET_PORTS,
    REMOTE_PORTS,
    TCP_SYN,
    asset,
    frames_of,
    industrial_port,
    is_local,
    listed,
    operation_words,
    service_of,
    service_words,
)
from sentinel.detect.operations import Conduit, Operation, OperationBook, is_read, is_unread, is_write, span_of
from sentinel.model.asset import is_group
from sentinel.model.columns import Array, distinct, grouped, remembered
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Flows, Messages
from sentinel.model.protocol import MessageKind
from sentinel.model.time import Instant
from sentinel.model.window import Window
from sentinel.ports import Spec, Stability

MAX_LEARNT = 500_000  # assets, conduits, operations; a flood while learning must not fill the memory
BUSY_HABITS = 20  # so many new things by one known client are no longer small
DYNAMIC_PORTS = 3  # a pair that was heard on so many high ports negotiates them (FTP data, DCOM)
_REGISTERED = 1024
MANY_SERVERS = 3  # a known asset that opens conversations with more in one second is up to something
_SMALL_TALK = frozenset(f"udp/{port}" for port in QUIET_PORTS if port != DNS_PORT)


class Novelty:
    spec: ClassVar[Spec] = Spec(
        name="novelty",
        summary="assets, conversations, operations and address ranges that were not there while the baseline was learnt",
        stability=Stability.STABLE,
        attack=("T0848", "T0886", "T0885", "T0861", "T0836", "T0806", "T0871", "T1692.001"),
    )

    def __init__(self) -> None:
        self._assets: set[str] = set()
        self._macs: set[str] = set()
        self._conduits: set[Conduit] = set()
        self._peers: dict[str, set[str]] = defaultdict(set)
        self._dynamic: set[tuple[str, str]] = set()
        self._clients: dict[str, set[str]] = defaultdict(set)  # of each server
        self._book = OperationBook()
        self._habits: dict[str, set[tuple[Operation, int]]] = defaultdict(set)
        self._active = False

    # -- learning --

    def learn(self, window: Window) -> None:
        for client, server, service, _ in _conversations(window.flows)[0]:
            self._learn_conduit(client, server, service)
        for known, codes in ((self._assets, window.flows.source), (self._macs, window.flows.source_mac)):
            for code in dict.fromkeys(codes.tolist()):
                name = window.flows.name_of(code)
                if name and len(known) < MAX_LEARNT:
                    known.add(name)
        messages = window.messages
        for operation, span, _, port in requests(messages)[0]:
            self._learn_conduit(operation[0], operation[1], f"tcp/{port}")
            if len(self._assets) < MAX_LEARNT:
                self._assets.update(operation[:2])
            if len(self._book) < MAX_LEARNT:
                self._book.add(operation, span)

    def _learn_conduit(self, client: str, server: str, service: str) -> None:
        if len(self._conduits) < MAX_LEARNT:
            self._conduits.add((client, server, service))
            self._peers[client].add(server)
            self._clients[server].add(client)

    def activate(self) -> None:
        self._active = True
        high: dict[tuple[str, str], int] = defaultdict(int)
        for client, server, service in self._conduits:
            _, _, number = service.partition("/")
            high[client, server] += number == "dynamic" or (
                number.isdigit() and int(number) >= _REGISTERED and not industrial_port(service)
            )
        self._dynamic = {pair for pair, ports in high.items() if ports >= DYNAMIC_PORTS}

    # -- scoring --

    def score(self, window: Window) -> Sequence[Detection]:
        if not self._active:
            return ()
        return [*self._score_flows(window.flows), *self._score_messages(window.messages)]

    def at_once(self, messages: Messages) -> Sequence[Detection]:
        """Of strangers' requests only: whoever talks to the server already and does a little more can wait for his second."""
        if not self._active:
            return ()
        rows = np.flatnonzero((messages.kind == MessageKind.REQUEST) & (messages.client >= 0) & (messages.server >= 0))
        first, which = distinct(messages.client[rows], messages.server[rows], messages.port[rows])
        places = zip(*(column[rows[first]].tolist() for column in (messages.client, messages.server, messages.port)), strict=True)
        foreign = [not self._is_known(messages.names[client], messages.names[server], f"tcp/{port}") for client, server, port in places]
        if not any(foreign):
            return ()
        return self._score_messages(messages.take(rows[np.array(foreign)[which]]))

    def _is_known(self, client: str, server: str, service: str) -> bool:
        return (client, server, service) in self._conduits or (
            (client, server) in self._dynamic and not industrial_port(service) and service.startswith("tcp/")
        )

    def _score_flows(self, flows: Flows) -> list[Detection]:
        keys, which = _conversations(flows)
        parts = grouped(which)
        unknown: dict[str, list[int]] = defaultdict(list)
        for index, key in enumerate(keys):
            if not self._is_known(*key[:3]) and not self._is_small_talk(flows, parts[index], key):
                unknown[key[0]].append(index)
        found = []
        for client, indices in unknown.items():
            found += [
                self._contact(flows, client, [keys[i] for i in group], _joined(parts, group), cause)
                for cause, group in self._causes(client, indices, keys).items()
            ]
        return found

    def _causes(self, client: str, indices: list[int], keys: list[tuple[str, str, str, bool]]) -> dict[str, list[int]]:
        """A stranger, or who commands a device or tries many, is one cause whatever it does; a visit among known assets is its own."""
        servers = {keys[i][1] for i in indices if not industrial_port(keys[i][2])}
        if client not in self._assets or len(servers) > MANY_SERVERS:
            return {f"actor:{client}": indices}
        causes: dict[str, list[int]] = defaultdict(list)
        for i in indices:
            _, server, service, _ = keys[i]
            causes[f"actor:{client}" if industrial_port(service) else f"contact:{client}>{server}"].append(i)
        return causes

    def _is_small_talk(self, flows: Flows, rows: Array, key: tuple[str, str, str, bool]) -> bool:
        """Known assets that speak to a group or ask each other for names and addresses, and one that speaks to itself: no news anywhere."""
        client, server, service, group = key
        if group:  # a known hardware address may use another address of its own
            mac = flows.name_of(int(flows.source_mac[rows[0]]))
            return client in self._assets or mac in self._macs
        return client == server or ({client, server} <= self._assets and service in _SMALL_TALK)

    def _contact(self, flows: Flows, client: str, contacts: list[tuple[str, str, str, bool]], rows: Array, cause: str) -> Detection:
        stranger = client not in self._assets
        industrial = [c for c in contacts if industrial_port(c[2])]
        remote = [c for c in contacts if not c[3] and c[2].startswith("tcp/") and _port(c[2]) in REMOTE_PORTS]
        outside = [c for c in contacts if not c[3] and not is_local(c[1])]
        only_group = all(group for *_, group in contacts)
        quiet = all(group or _port(service) in QUIET_PORTS or service == "icmp" for _, _, service, group in contacts)
        shown = industrial or remote or outside or contacts
        _, server, service, group = shown[0]
        whom = "everybody" if group else server
        more = f" and {len(contacts) - 1} more" if len(contacts) > 1 else ""
        who = f"{client}, never seen before," if stranger else client
        commanding = industrial and int(flows.octets[rows].sum()) > 0  # a connection alone says nothing yet
        verb = "opens" if (flows.tcp_flags[rows] & TCP_SYN).any() else "speaks"
        if only_group:
            title, severity = f"A new asset appears: {client} announces itself by {service_words(service)}", Severity.LOW
        elif stranger:
            title, severity = f"{who} {verb} {service_words(service)} to {whom}{more}", Severity.HIGH if commanding else Severity.MEDIUM
        else:
            title = f"{client} {verb} {service_words(service)} to {whom}{more}, which it did not do before"
            severity = Severity.HIGH if commanding or outside else Severity.LOW if quiet else Severity.MEDIUM
        techniques = ["T0848"] if industrial else []
        techniques += ["T0886"] if remote else []
        techniques += ["T0885"] if not (industrial or remote or only_group or quiet) else []
        known = self._peers.get(client, set())  # never by index: who asks for a stranger must not make an entry for it
        peers = sorted(known - {"group"})
        alone = "it was not there" if stranger else "it only announced itself" if "group" in known else "it only answered others"
        expected = f"it only spoke to {listed(peers)}" if peers else alone
        observed = listed([f"{service_words(s)} to {'everybody' if g else t}" for _, t, s, g in contacts])
        frames = frames_of(flows.frame[rows])
        return Detection(
            detector=self.spec.name,
            title=title,
            seen=Instant(int(flows.time[rows].min())),
            frame=frames[0] if frames else 0,
            frames=frames,
            source=asset(client),
            target=asset(server) if not group else None,
            cause=cause,
            feature="asset" if stranger else "turned client" if industrial and not known else "conversation",
            observed=observed,
            expected=expected,
            score=float(len(contacts)),
            threshold=0.0,
            why=f"{who} {verb} {observed}; while the baseline was learnt, {expected}.",
            techniques=tuple(techniques),
            severity=severity,
            confidence=0.9 if stranger or industrial else 0.6,
        )

    def _score_messages(self, messages: Messages) -> list[Detection]:
        keys, rows, which = requests(messages)
        parts = grouped(which)
        strange: dict[tuple[str, str, bool], list[int]] = defaultdict(list)
        habits: dict[str, list[int]] = defaultdict(list)
        for index, (operation, span, _, port) in enumerate(keys):
            client, server, protocol, _, function, _ = operation
            if not self._is_known(client, server, f"tcp/{port}"):
                strange[client, server, is_write(protocol, function)].append(index)
            elif not self._book.knows(operation, span) and not self._book.in_role(operation, span):
                habits[client].append(index)
        found = [
            self._foreign_operation(messages, pair, [keys[i] for i in indices], rows[_joined(parts, indices)])
            for pair, indices in strange.items()
        ]
        return found + [
            self._habit(messages, client, [keys[i] for i in indices], rows[_joined(parts, indices)]) for client, indices in habits.items()
        ]

    def _foreign_operation(self, messages: Messages, pair: tuple[str, str, bool], keys: list["Request"], rows: Array) -> Detection:
        client, server, writes = pair
        names = listed(dict.fromkeys(operation_words(o[2], o[4], o[5]) for o, *_ in keys))
        addresses = sorted({a for _, span, *_ in keys if span for a in span})
        where = f", addresses {addresses[0]} to {addresses[-1]}" if addresses else ""
        unread = all(is_unread(o[2], o[4]) for o, *_ in keys)
        reads = all(is_read(o[2], o[4]) or is_unread(o[2], o[4]) for o, *_ in keys)
        verb = "writes to" if writes else "speaks to" if unread else "reads" if reads else "sends commands to"
        rows_of_points = any(span is not None and span[1] > span[0] for _, span, *_ in keys)
        frames = frames_of(messages.frame[rows])
        masters = sorted(self._clients[server]) if server in self._clients else []
        expected = f"only {listed(masters)} spoke to {server}" if masters else f"nobody spoke to {server}"
        return Detection(
            detector=self.spec.name,
            title=f"{client} {verb} {server} without being one of its known clients",
            seen=Instant(int(messages.time[rows[0]])),
            frame=frames[0] if frames else 0,
            frames=frames,
            source=asset(client),
            target=asset(server),
            cause=f"actor:{client}",
            feature="foreign write" if writes else "foreign session" if unread else "foreign read" if reads else "foreign command",
            observed=f"{names}{where}",
            expected=expected,
            score=float(len(rows)),
            threshold=0.0,
            why=f"{client} {verb} {server}: {names}{where}; while the baseline was learnt, {expected}.",
            techniques=("T1692.001", "T0848", "T0836", *(("T0806",) if rows_of_points else ()))
            if writes
            else ("T0848", "T0861")
            if reads
            else ("T0848", "T0871"),
            severity=Severity.CRITICAL if writes else Severity.HIGH,
            confidence=0.95,
        )

    def _habit(self, messages: Messages, client: str, keys: list["Request"], rows: Array) -> Detection:
        severity = Severity.LOW
        for operation, span, *_ in keys:
            protocol, function = operation[2], operation[4]
            harmless = is_read(protocol, function) or (is_write(protocol, function) and self._book.touches(operation, span))
            severity = severity if harmless else Severity.MEDIUM
            if len(self._habits[client]) <= BUSY_HABITS:
                self._habits[client].add((operation, span[0] if span else -1))
        busy = len(self._habits[client]) > BUSY_HABITS
        operation, span, *_ = keys[0]
        words = operation_words(operation[2], operation[4], operation[5])
        usual = self._book.usual(operation)
        where = f" at {span[0]}" + (f" to {span[1]}" if span[1] > span[0] else "") if span else ""
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        known = listed(operation_words(p, f) for p, f in self._book.functions_of(client, operation[1]))
        expected = f"{words} on addresses {usual}" if usual else f"{known or 'nothing'} from this client"
        frames = frames_of(messages.frame[rows])
        return Detection(
            detector=self.spec.name,
            title=f"{client}, a known client of {operation[1]}, uses {words}{where}{more} for the first time",
            seen=Instant(int(messages.time[rows[0]])),
            frame=frames[0] if frames else 0,
            frames=frames,
            source=asset(client),
            target=asset(operation[1]),
            cause=f"habit:{client}",
            feature="new range" if usual else "new operation",
            observed=f"{words}{where}{more}",
            expected=expected,
            score=float(len(self._habits[client])),
            threshold=float(BUSY_HABITS),
            why=f"{client} asks {operation[1]} for {words}{where}{more}; while the baseline was learnt: {expected}.",
            techniques=("T0836",) if is_write(operation[2], operation[4]) else ("T0861",) if busy else (),
            severity=Severity.MEDIUM if busy else severity,
            confidence=0.5 if busy or severity is Severity.MEDIUM else 0.3,
        )

    # -- at rest --

    def state(self) -> Mapping[str, Any]:
        return {
            "assets": sorted(self._assets),
            "macs": sorted(self._macs),
            "conduits": sorted(map(list, self._conduits)),
            "operations": [[list(operation), [list(span) for span in spans]] for operation, spans in self._book.rows()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._assets, self._macs = set(state["assets"]), set(state["macs"])
        for client, server, service in state["conduits"]:
            self._learn_conduit(client, server, service)
        self._book = OperationBook((tuple(operation), [(low, high) for low, high in spans]) for operation, spans in state["operations"])
        self.activate()


Request = tuple[Operation, tuple[int, int] | None, int, int]  # operation, addresses, first row, port


def _joined(parts: Sequence[Array], indices: Sequence[int]) -> Array:
    return np.sort(np.concatenate([parts[index] for index in indices]))


def _port(service: str) -> int:
    _, _, number = service.partition("/")
    return int(number) if number.isdigit() else -1


@remembered
def _conversations(flows: Flows) -> tuple[list[tuple[str, str, str, bool]], Array]:
    """Distinct (client, server, service, is it a group) below ARP, and for every row the index into them (-1 = none)."""
    which = np.full(len(flows), -1, np.int64)
    rows = np.flatnonzero(~np.isin(flows.kind, ARP) & (flows.source >= 0) & (flows.target >= 0))
    if not len(rows):
        return [], which
    first, index = distinct(
        flows.source[rows], flows.target[rows], flows.kind[rows], flows.port[rows], flows.from_client[rows], flows.target_mac[rows]
    )
    keys: dict[tuple[str, str, str, bool], int] = {}
    place = np.zeros(len(first), np.int64)
    for at, row in enumerate(rows[first].tolist()):
        source, target = flows.names[flows.source[row]], flows.names[flows.target[row]]
        group = is_group(target, flows.name_of(int(flows.target_mac[row])))
        client, server = (source, "group") if group else (source, target) if flows.from_client[row] else (target, source)
        key = (client, server, service_of(int(flows.kind[row]), int(flows.port[row])), group)
        place[at] = keys.setdefault(key, len(keys))
    which[rows] = place[index]
    return list(keys), which


@remembered
def requests(messages: Messages) -> tuple[list[Request], Array, Array]:
    """Distinct requests, the rows that are requests, and for each of these the index of its key."""
    rows = np.flatnonzero((messages.kind == MessageKind.REQUEST) & (messages.client >= 0) & (messages.server >= 0))
    names = ("client", "server", "protocol", "unit", "function", "subfunction", "address", "quantity", "port")
    columns = [getattr(messages, name)[rows] for name in names]
    first, which = distinct(*columns)
    keys: list[Request] = []
    for at in first.tolist():
        client, server, protocol, unit, function, subfunction, address, quantity, port = (int(column[at]) for column in columns)
        operation = (messages.names[client], messages.names[server], protocol, unit, function, subfunction)
        keys.append((operation, span_of(address, quantity), int(rows[at]), port))
    return keys, rows, which
