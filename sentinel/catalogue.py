"""Every plug of the appliance as it describes itself, room by room: for ``sentinel describe`` and the API's capability page."""

from collections.abc import Mapping, Sequence

from collectors.wire import CATALOGUE as PROTOCOLS
from sentinel.detect.catalogue import detectors
from sentinel.optimise.catalogue import CATALOGUE as PLANNERS
from sentinel.ports import Spec, Stability
from sentinel.respond.enforcers import CATALOGUE as ENFORCERS
from sentinel.twin.components import CATALOGUE as COMPONENTS


def capabilities() -> Mapping[str, Sequence[Spec]]:
    return {
        "wire": [wire.spec for wire in PROTOCOLS],
        "detect": [detector.spec for detector in detectors()],
        "twin": [Spec(name=kind.name, summary=kind.says, stability=Stability.STABLE) for kind in COMPONENTS],
        "respond": [enforcer.spec for enforcer in ENFORCERS.values()],
        "optimise": [planner.spec for planner in PLANNERS.values()],
    }
