"""What a brain knows of its life before a restart.

In: the records.  Out: assets and conduits with the time when they were first seen, the evidence of the findings that are still open, who
has scanned, at which hours who wrote, and commands that were kept but not judged any more.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from sentinel.baseline.claims import identity_of, joined
from sentinel.baseline.inventory import Figures
from sentinel.model.asset import Asset, Conduit
from sentinel.model.command import Command, Origin
from sentinel.model.finding import Finding, FindingState
from sentinel.model.ids import AssetId, Digest, FindingId
from sentinel.model.record import Label
from sentinel.model.time import Instant, seconds_between
from sentinel.model.verdict import Verdict
from sentinel.records import Records

OPEN = (FindingState.OPEN, FindingState.ACKNOWLEDGED, FindingState.CONFIRMED)
SCANS = frozenset({"T0840", "T0846", "T0846.001", "T0846.002", "T0846.003", "T0888"})
UNJUDGED_S = 600.0  # an older command met a plant that the twin knows nothing of any more
_LATEST = 256  # commands that are looked at

Join = tuple[AssetId, AssetId, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recollection:
    findings: tuple[Finding, ...] = ()  # that are open, or that a person wants quiet for longer
    held: tuple[Command, ...] = ()  # by a gate; oldest first, as below
    unjudged: tuple[Command, ...] = ()
    assets: Mapping[AssetId, Asset] = field(default_factory=dict)
    conduits: Mapping[Join, Conduit] = field(default_factory=dict)
    written: Mapping[AssetId, Collection[int]] = field(default_factory=dict)  # whole hours since 1970 in which each source wrote

    @classmethod
    def of(cls, records: Records, now: Instant) -> Self:
        latest = tuple(reversed(records.page(Command, limit=_LATEST).items))
        return cls(
            findings=(
                *(finding for state in OPEN for finding in records.each(Finding, where={"state": state.value})),
                *_quiet(records, now),
            ),
            held=tuple(command for command in latest if command.origin is Origin.GATE),
            unjudged=tuple(
                command
                for command in latest
                if command.origin in (Origin.WIRE, Origin.GATE)
                and seconds_between(command.seen, now) <= UNJUDGED_S
                and not records.count(Verdict, where={"command": command.id})
            ),
            assets={asset.id: asset for asset in records.each(Asset)},
            conduits={_join(conduit): conduit for conduit in records.each(Conduit)},
            written={AssetId(source): hours for source, hours in records.hours(Command, "source").items()},
        )

    @property
    def evidence(self) -> dict[FindingId, Digest]:
        return {finding.id: finding.evidence for finding in self.findings if finding.evidence is not None}

    @property
    def scanners(self) -> set[AssetId]:
        return {finding.assets[0] for finding in self.findings if SCANS & set(finding.techniques) and finding.assets}

    def with_assets(self, heard: Iterable[Asset]) -> tuple[Asset, ...]:
        """What is heard in this life, joined with what was known before it."""
        found = dict(self.assets)
        for asset in heard:
            before = self.assets.get(asset.id)
            found[asset.id] = asset if before is None else _joined(before, asset)
        return tuple(found.values())

    def with_conduits(self, heard: Iterable[Conduit]) -> tuple[Conduit, ...]:
        found = dict(self.conduits)
        for conduit in heard:
            before = self.conduits.get(_join(conduit))
            if before is not None:
                conduit = _continued(before, conduit)  # noqa: PLW2901
            found[_join(conduit)] = conduit
        return tuple(found.values())


def _join(conduit: Conduit) -> Join:
    return conduit.client, conduit.server, conduit.protocol, conduit.port


def _continued(before: Conduit, conduit: Conduit) -> Conduit:
    return dataclasses.replace(
        conduit,
        first_seen=min(before.first_seen, conduit.first_seen),
        **{name: getattr(before, name) + getattr(conduit, name) for name in Figures._fields},
        operations=tuple(sorted({*before.operations, *conduit.operations})),
    )


def _joined(before: Asset, asset: Asset) -> Asset:
    claims = joined(before.claims, asset.claims)
    return dataclasses.replace(
        asset,
        mac=asset.mac or before.mac,
        roles=tuple(sorted({*before.roles, *asset.roles})),
        protocols=tuple(sorted({*before.protocols, *asset.protocols})),
        first_seen=min(before.first_seen, asset.first_seen),
        last_seen=max(before.last_seen, asset.last_seen),
        identity=identity_of(claims) or asset.identity or before.identity,
        claims=claims,
        level=asset.level if asset.level is not None else before.level,
        safety=asset.safety or before.safety,
        name=asset.name or before.name,
    )


def _quiet(records: Records, now: Instant) -> Iterator[Finding]:
    """Labels are few: people make them."""
    labelled = {label.finding for label in records.each(Label) if label.quiet_until is not None and label.quiet_until > now}
    for key in sorted(labelled):
        finding = records.find(Finding, key)
        if finding is not None and finding.state not in OPEN and finding.quiet_until is not None and finding.quiet_until > now:
            yield finding
