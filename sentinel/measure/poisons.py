"""Ways to make a twin believe what is not so: what arrives of the readings, what the plant does unheard, which plant file is used.

In: a random generator.  Out: a `Poison`.  Every lie is told in the direction that makes harm look harmless: what must not rise reads low.
The attacker sits between controller and appliance, may write to the controller unheard, and has time.
"""

import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sentinel.demo.wiring import PLANT_FILE
from sentinel.measure.stage import Distortion, Write

CLEAN_S = 300.0  # in which the twin hears the truth
RAMP_S = 400.0  # over which a slow lie grows
UNHEARD_S = 60.0  # into the lie: when the plant is moved behind its back


@dataclass(frozen=True, slots=True, kw_only=True)
class Poison:
    """``section``: whose writes are tried.  ``writes``: reach the plant and nobody's ears; seconds from the start of the lie."""

    says: str
    section: str
    distort: Distortion | None = None
    writes: tuple[Write, ...] = ()
    plant: str = field(default_factory=PLANT_FILE.read_text)


# What must not rise, by how much it may be made to read lower, and which section it belongs to.
_LIES = (("LT101", -0.3, "1"), ("LT102", -0.3, "1"), ("TT201", -12.0, "2"), ("TT202", -20.0, "2"), ("TT301", -15.0, "3"))
# A flow or power that reads wrong by a factor teaches the filter wrong parameters.
_WEAKENED = (("FT101", 0.75, "1"), ("FT102", 1.3, "1"), ("JT201", 0.7, "2"), ("JT301", 0.7, "3"), ("FT301", 1.4, "3"))
# The plant is driven to the edge of what it may do, unheard, while the readings say that nothing happens.
_PUSHED = (
    ("LIC101.SP", 1.5, "1"),
    ("LIC102.SP", 1.35, "1"),
    ("TIC201.SP", 76.0, "2"),
    ("TIC301.SP", 62.0, "3"),
    ("SIC301.SP", 8500.0, "3"),
)


def section_of(tag: str) -> str:
    """T101 belongs to section 1."""
    return next((letter for letter in tag if letter.isdigit()), "")


def _slowly(distorted: Callable[[float, Mapping[str, float]], Mapping[str, float]]) -> Distortion:
    """``distorted`` gets the share of the lie that is told by now."""
    return lambda time_s, values: distorted(min(max(time_s - CLEAN_S, 0.0) / RAMP_S, 1.0), values)


def slow_bias(chance: random.Random) -> Poison:
    tag, bias, section = chance.choice(_LIES)
    bias *= chance.uniform(0.5, 1.0)
    return Poison(
        says=f"{tag} drifts by {bias:.3g} over {RAMP_S:g} s",
        section=section,
        distort=_slowly(lambda share, values: {**values, tag: values[tag] + share * bias}),
    )


def slow_factor(chance: random.Random) -> Poison:
    tag, factor, section = chance.choice(_WEAKENED)
    factor = 1.0 + (factor - 1.0) * chance.uniform(0.5, 1.0)
    return Poison(
        says=f"{tag} comes to read {factor:.2f} times too much over {RAMP_S:g} s",
        section=section,
        distort=_slowly(lambda share, values: {**values, tag: values[tag] * (1.0 + share * (factor - 1.0))}),
    )


def frozen(chance: random.Random) -> Poison:
    """A section's readings stand where they stood while the plant is driven elsewhere."""
    return _standing(chance, "stands still", lambda _, value: value)


def spoofed(chance: random.Random) -> Poison:
    """The same, each reading with noise of its own: physics has nothing against it, and no register stands still."""
    noise = random.Random(chance.random())  # noqa: S311
    return _standing(chance, "reads as before", lambda tag, value: value * (1.0 + noise.gauss(0.0, 0.001)) if _is_lively(tag) else value)


def _standing(chance: random.Random, says: str, told: Callable[[str, float], float]) -> Poison:
    tag, value, section = chance.choice(_PUSHED)
    kept: dict[str, float] = {}

    def distort(time_s: float, values: Mapping[str, float]) -> Mapping[str, float]:
        if time_s < CLEAN_S:
            kept.update(values)
            return values
        return {name: told(name, kept[name]) if section_of(name) == section else read for name, read in values.items()}

    return Poison(says=f"section {section} {says}, {tag} = {value:g}", section=section, distort=distort, writes=_push(tag, value))


def replayed(chance: random.Random) -> Poison:
    """All that is read is a recording of the last minutes, over and over, while the plant is driven elsewhere."""
    tag, value, section = chance.choice(_PUSHED)
    recording: deque[Mapping[str, float]] = deque(maxlen=240)

    def distort(time_s: float, values: Mapping[str, float]) -> Mapping[str, float]:
        if time_s < CLEAN_S:
            recording.append(dict(values))
        else:
            recording.rotate(-1)
            return recording[-1]
        return values

    return Poison(says=f"everything is a replay, {tag} = {value:g}", section=section, distort=distort, writes=_push(tag, value))


def wrong_curve(chance: random.Random) -> Poison:
    """P101 is described with 20 % less, or more, flow than it has."""
    factor = chance.choice((0.8, 1.2))
    text = PLANT_FILE.read_text()
    right = "max_flow: 4.22 L/s"
    if right not in text:
        raise ValueError(f"{PLANT_FILE} does not say {right!r}")
    return Poison(says=f"pump curve {factor:g} times", section="1", plant=text.replace(right, f"max_flow: {4.22 * factor:.3f} L/s"))


def missing(chance: random.Random) -> Poison:
    """A transmitter that an invariant watches was never read."""
    tag, _, section = chance.choice(_LIES)
    return Poison(says=f"{tag} is never read", section=section, distort=lambda _, values: _but(values, tag))


def silenced(chance: random.Random) -> Poison:
    """A transmitter falls silent, then the plant is driven elsewhere."""
    tag, value, section = chance.choice(_PUSHED)
    gone = chance.choice([name for name, _, belongs in _LIES if belongs == section])
    return Poison(
        says=f"{gone} falls silent, {tag} = {value:g}",
        section=section,
        distort=lambda time_s, values: values if time_s < CLEAN_S else _but(values, gone),
        writes=_push(tag, value),
    )


def _push(tag: str, value: float) -> tuple[Write, ...]:
    return ((UNHEARD_S, tag, value),)


def _but(values: Mapping[str, float], tag: str) -> Mapping[str, float]:
    return {name: value for name, value in values.items() if name != tag}


def _is_lively(tag: str) -> bool:
    """Measurements and controller outputs; setpoints and modes stand still of themselves."""
    return tag.endswith(".OP") or ("." not in tag and tag[1] == "T")


CATALOGUE: Mapping[str, Callable[[random.Random], Poison]] = {
    "slow_bias": slow_bias,
    "slow_factor": slow_factor,
    "frozen": frozen,
    "spoofed": spoofed,
    "replayed": replayed,
    "wrong_curve": wrong_curve,
    "missing": missing,
    "silenced": silenced,
}
