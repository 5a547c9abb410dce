"""A window: what one source heard in one slot of packet time, the unit that detectors score."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sentinel.model.command import Command
from sentinel.model.observation import Details, Flows, Messages, Readings
from sentinel.model.time import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    source: str
    start: Instant
    end: Instant
    messages: Messages = field(default_factory=Messages.empty)
    flows: Flows = field(default_factory=Flows.empty)
    details: Details = field(default_factory=Details.empty)
    readings: Readings = field(default_factory=Readings.empty)
    by_protocol: Mapping[str, Readings] = field(default_factory=dict)  # those of the readings that its own messages carry
    residuals: Readings = field(default_factory=Readings.empty)  # reading minus the twin's forecast, per tag, in standard deviations
    forecasts: Readings = field(default_factory=Readings.empty)  # what the twin shows of the tags that were read, where it is in step
    commands: tuple[Command, ...] = ()
