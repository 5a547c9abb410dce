"""Who is there, as far as this life and the one before it know: assets, conduits, who has scanned, and who came after learning."""

import asyncio
import dataclasses
from collections.abc import Collection, Mapping

from sentinel.baseline.inventory import with_stations
from sentinel.brain.recollection import SCANS, Recollection
from sentinel.model.asset import Asset, Conduit
from sentinel.model.finding import Finding
from sentinel.model.ids import AssetId
from sentinel.model.time import Instant
from sentinel.pipeline import Analysis
from sentinel.records import Records
from sentinel.respond.interlock import Rules


class Stock:
    def __init__(self, before: Recollection, rules: Rules) -> None:
        self._before = before
        self._rules = rules
        self._scanners: set[AssetId] = before.scanners
        self._kept: set[Asset | Conduit] = set()
        self.assets: Mapping[AssetId, Asset] = before.assets
        self.conduits: Collection[Conduit] = tuple(before.conduits.values())
        self.learnt_until: Instant | None = None  # None while learning

    def take(self, analysis: Analysis) -> None:
        """In the analysis's own thread."""
        self.assets = {asset.id: asset for asset in self._before.with_assets(analysis.assets)}
        self.conduits = self._before.with_conduits(analysis.conduits)

    async def keep(self, records: Records) -> None:
        """What has changed since the last call."""
        stations = await asyncio.to_thread(with_stations, tuple(self.assets.values()), tuple(self.conduits))
        stock: set[Asset | Conduit] = {*stations, *self.conduits}
        if changed := stock - self._kept:
            await records.kept(*changed)
        self._kept = stock

    def note(self, finding: Finding) -> None:
        if SCANS & set(finding.techniques) and finding.assets:
            self._scanners.add(finding.assets[0])

    def rules(self) -> Rules:
        """The interlock's list, with the end of learning as far as it is known: who came later is no operator station."""
        return self._rules if self.learnt_until is None else dataclasses.replace(self._rules, learnt_until=self.learnt_until)

    def is_new(self, source: AssetId) -> bool:
        """Not heard of before learning ended."""
        if self.learnt_until is None:
            return False
        known = self.assets.get(source)
        return known is None or known.first_seen >= self.learnt_until

    def has_scanned(self, source: AssetId) -> bool:
        return source in self._scanners
