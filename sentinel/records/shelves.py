"""Which type of the vocabulary lies in which table, under which key, found by which columns.

`CATALOGUE` is the whole of it: a new type is one entry here, one table and one migration.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sentinel.model.action import Action, Receipt
from sentinel.model.asset import Asset, Conduit
from sentinel.model.command import Command
from sentinel.model.finding import Finding
from sentinel.model.observation import Outage
from sentinel.model.record import Credential, Excerpt, Invitation, Label, PlanRun, Signature, SnapshotMark, Tally
from sentinel.model.verdict import Verdict
from sentinel.records import tables as t

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf(Generic[T]):
    """``columns`` gives key, at and the filter columns; ``merge`` joins what is kept with what comes; ``once``: the first one stays."""

    kind: type[T]
    table: type[t.Row]
    columns: Callable[[T], dict[str, Any]]
    merge: Callable[[T, T], T] | None = None
    once: bool = False
    telemetry: bool = False  # may be lost with the power supply, never with the process
    has_revision: bool = False  # changes are told to listeners


def conduit_key(client: str, server: str, protocol: str, port: int) -> str:
    return f"{client} {server} {protocol} {port}"


def asset_pattern(asset: str) -> str:
    """How one asset stands in the ``assets`` column of a finding."""
    return f"\n{asset}\n"


def _merge_asset(kept: Asset, new: Asset) -> Asset:
    return dataclasses.replace(new, first_seen=min(kept.first_seen, new.first_seen))


def _merge_conduit(kept: Conduit, new: Conduit) -> Conduit:
    return dataclasses.replace(new, first_seen=min(kept.first_seen, new.first_seen))


_SHELVES: tuple[Shelf[Any], ...] = (
    Shelf(kind=Asset, table=t.AssetRow, merge=_merge_asset, telemetry=True, columns=lambda v: {"key": v.id, "at": v.last_seen}),
    Shelf(
        kind=Conduit,
        table=t.ConduitRow,
        merge=_merge_conduit,
        telemetry=True,
        columns=lambda v: {
            "key": conduit_key(v.client, v.server, v.protocol, v.port),
            "at": v.last_seen,
            "client": v.client,
            "server": v.server,
            "protocol": v.protocol,
        },
    ),
    Shelf(
        kind=Finding,
        table=t.FindingRow,
        has_revision=True,
        columns=lambda v: {
            "key": v.id,
            "at": v.last_seen,
            "state": v.state.value,
            "severity": int(v.severity),
            "cause": v.cause,
            "risk": round(10 * v.risk),
            "assets": "".join(f"\n{asset}" for asset in v.assets) + "\n",
        },
    ),
    Shelf(
        kind=Label,
        table=t.LabelRow,
        once=True,
        columns=lambda v: {"key": f"{v.finding} {v.at} {v.by}", "at": v.at, "finding": v.finding, "state": v.state.value},
    ),
    Shelf(
        kind=Command,
        table=t.CommandRow,
        columns=lambda v: {"key": v.id, "at": v.seen, "origin": v.origin.value, "source": v.source, "target": v.target},
    ),
    Shelf(
        kind=Verdict,
        table=t.VerdictRow,
        columns=lambda v: {"key": v.id, "at": v.judged, "command": v.command, "judgement": v.judgement.value},
    ),
    Shelf(
        kind=Action,
        table=t.ActionRow,
        has_revision=True,
        columns=lambda v: {"key": v.id, "at": v.changed, "state": v.state.value, "target": v.target, "finding": v.finding},
    ),
    Shelf(
        kind=Signature,
        table=t.SignatureRow,
        once=True,
        columns=lambda v: {"key": f"{v.action} {v.step} {v.at} {v.by}", "at": v.at, "action": v.action, "step": v.step},
    ),
    Shelf(
        kind=Receipt,
        table=t.ReceiptRow,
        columns=lambda v: {"key": f"{v.action} {v.enforcer} {v.at} {int(v.applied)}", "at": v.at, "action": v.action},
    ),
    Shelf(kind=Outage, table=t.OutageRow, columns=lambda v: {"key": f"{v.process} {v.since}", "at": v.until, "process": v.process}),
    Shelf(
        kind=Tally,
        table=t.TallyRow,
        telemetry=True,
        columns=lambda v: {"key": f"{v.source} {v.start}", "at": v.start, "source": v.source},
    ),
    Shelf(kind=Excerpt, table=t.ExcerptRow, columns=lambda v: {"key": v.digest, "at": v.at, "kind": v.kind, "of": v.of}),
    Shelf(kind=SnapshotMark, table=t.SnapshotRow, telemetry=True, columns=lambda v: {"key": v.digest, "at": v.at}),
    Shelf(kind=PlanRun, table=t.PlanRow, columns=lambda v: {"key": v.id, "at": v.at, "kind": v.plan.kind}),
    Shelf(
        kind=Credential,
        table=t.CredentialRow,
        columns=lambda v: {"key": v.serial, "at": v.issued, "name": v.name, "public_key": v.key, "revoked": int(v.revoked is not None)},
    ),
    Shelf(kind=Invitation, table=t.InvitationRow, columns=lambda v: {"key": v.code, "at": v.made}),
)

CATALOGUE: Mapping[type[Any], Shelf[Any]] = {shelf.kind: shelf for shelf in _SHELVES}
