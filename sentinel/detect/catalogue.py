"""All detectors, in the order in which they score a window.  Adding one is one file and one line here."""

from collections.abc import Callable

from sentinel.detect.blindness import Blindness
from sentinel.detect.brute_force import BruteForce
from sentinel.detect.calibrate import Budget
from sentinel.detect.covert import CovertChannel
from sentinel.detect.credentials import Credentials
from sentinel.detect.dynamics import Dynamics
from sentinel.detect.exhaustion import Exhaustion
from sentinel.detect.gaps import Gaps
from sentinel.detect.identity import IdentityChange
from sentinel.detect.limits import Limits
from sentinel.detect.liveness import Liveness
from sentinel.detect.logins import Logins
from sentinel.detect.lower import Lower
from sentinel.detect.novelty import Novelty
from sentinel.detect.protocol import ProtocolChecks
from sentinel.detect.quiet import Quiet
from sentinel.detect.residual import Residual
from sentinel.detect.rules import Rules, load_rules
from sentinel.detect.scans import Scans
from sentinel.detect.sequence import RequestOrder
from sentinel.detect.sources import Sources
from sentinel.detect.spectrum import Spectrum
from sentinel.detect.strokes import Strokes
from sentinel.detect.timing import Timing
from sentinel.detect.volume import Volume
from sentinel.detect.writers import Writers
from sentinel.model.tags import TagMap
from sentinel.ports import Detector

CATALOGUE: dict[str, Callable[[TagMap | None, Budget], Detector]] = {
    Rules.spec.name: lambda _tags, _budget: Rules(load_rules()),
    Lower.spec.name: lambda _tags, _budget: Lower(),
    Novelty.spec.name: lambda _tags, _budget: Novelty(),
    Writers.spec.name: lambda _tags, _budget: Writers(),
    ProtocolChecks.spec.name: lambda _tags, _budget: ProtocolChecks(),
    Blindness.spec.name: lambda _tags, _budget: Blindness(),
    Gaps.spec.name: lambda _tags, _budget: Gaps(),
    IdentityChange.spec.name: lambda _tags, _budget: IdentityChange(),
    CovertChannel.spec.name: lambda _tags, _budget: CovertChannel(),
    Credentials.spec.name: lambda _tags, _budget: Credentials(),
    Logins.spec.name: lambda _tags, _budget: Logins(),
    Scans.spec.name: lambda _tags, _budget: Scans(),
    BruteForce.spec.name: lambda _tags, _budget: BruteForce(),
    Exhaustion.spec.name: lambda _tags, _budget: Exhaustion(),
    Volume.spec.name: lambda _tags, budget: Volume(budget),
    Timing.spec.name: lambda _tags, _budget: Timing(),
    RequestOrder.spec.name: lambda _tags, budget: RequestOrder(budget),
    Limits.spec.name: lambda tags, _budget: Limits(tags),
    Liveness.spec.name: lambda tags, _budget: Liveness(tags),
    Quiet.spec.name: Quiet,
    Sources.spec.name: Sources,
    Residual.spec.name: Residual,
    Strokes.spec.name: Strokes,
    Dynamics.spec.name: Dynamics,
    Spectrum.spec.name: Spectrum,
}


def detectors(tag_map: TagMap | None = None, budget: Budget | None = None) -> list[Detector]:
    """A fresh one of each, sharing one false-alarm budget for the whole plant."""
    shared = budget or Budget()
    return [make(tag_map, shared) for make in CATALOGUE.values()]
