"""What the court is tried with: plants at operating points of their own, single writes, and sequences.

Everything is drawn from one seed.  A plant has parameters, noise and setpoints of its own.  Single writes: any writable tag alike; a mode
is flipped, a number is drawn near what stands, over the engineered range, or over twice that range as far as the register carries it.
Sequences: a setpoint moved in steps, a loop taken to manual and driven, a defence taken away before a push, two unrelated writes.
Nothing here knows what will be harmful.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sentinel.demo.wiring import Interface
from sentinel.measure.stage import Write
from sentinel.model.tags import Tag, TagRole

SINGLES_PER_PLANT = 8
SEQUENCES_PER_PLANT = 2
TRIALS_PER_PLANT = SINGLES_PER_PLANT + SEQUENCES_PER_PLANT
SETTLE_S = 400.0  # after the plant was sent to its operating point
LISTEN_S = 300.0  # of it, the last seconds, in which the twin hears the plant: an appliance hears it for days
LONGEST_S = 200.0  # from the first write of a trial to its last
_FIRST_SEED = 1000  # the demo's plants have small seeds

# Where operators of the reference plant run it: setpoint to (low, high).
OPERATING = {
    "LIC101.SP": (1.0, 1.3),
    "LIC102.SP": (0.6, 0.9),
    "TIC201.SP": (50.0, 66.0),
    "TIC301.SP": (40.0, 50.0),
    "SIC301.SP": (4000.0, 7000.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """``steps``: seconds after the trial begins, tag, value; the last within `LONGEST_S`."""

    kind: str
    steps: tuple[Write, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A plant, how it came to where it is, and what is tried on it: all singles from one instant, then each sequence from there."""

    seed: int
    history: tuple[Write, ...]
    trials: tuple[Trial, ...]


def draw(number: int, seed: int, interface: Interface) -> Group:
    chance = random.Random(f"trials {seed} {number}")  # noqa: S311
    history = tuple((0.0, tag, registered(interface.tags.by_name[tag], chance.uniform(*band))) for tag, band in OPERATING.items())
    standing = {**interface.starts, **{tag: value for _, tag, value in history}}
    tags = [tag for tag in interface.tags.tags if tag.writable]
    singles = [Trial(kind="single", steps=((0.0, *written(chance, chance.choice(tags), standing)),)) for _ in range(SINGLES_PER_PLANT)]
    kinds = chance.sample(list(_SEQUENCES), SEQUENCES_PER_PLANT)
    sequences = [Trial(kind=kind, steps=_SEQUENCES[kind](chance, tags, standing)) for kind in kinds]
    return Group(seed=_FIRST_SEED + 10_000 * seed + number, history=history, trials=(*singles, *sequences))


def registered(tag: Tag, value: float) -> float:
    """As the register rounds it, so that court and plant are told the same."""
    assert tag.modbus is not None
    words = tag.modbus.encode(value)
    if tag.modbus.is_bit:
        return float(words[0])
    return tag.modbus.decode(b"".join(word.to_bytes(2, "big") for word in words))[1]


def written(chance: random.Random, tag: Tag, standing: Mapping[str, float]) -> tuple[str, float]:
    if tag.role is TagRole.MODE:
        return tag.name, 1.0 - standing[tag.name]
    span = tag.high - tag.low
    near, far = standing[tag.name], chance.uniform(tag.low - span / 2, tag.high + span / 2)
    value = chance.choice((near + chance.uniform(-0.1, 0.1) * span, chance.uniform(tag.low, tag.high), far))
    return tag.name, registered(tag, value)


def drift(chance: random.Random, tags: list[Tag], standing: Mapping[str, float]) -> tuple[Write, ...]:
    """One setpoint, 3 to 10 equal steps, to anywhere within its range and half of it beyond."""
    tag = chance.choice([one for one in tags if one.role is TagRole.SETPOINT])
    target = chance.uniform(tag.low, tag.high + (tag.high - tag.low) / 2)
    count, pause_s = chance.randint(3, 10), chance.uniform(3.0, LONGEST_S / 10)
    begin = standing[tag.name]
    return tuple((i * pause_s, tag.name, registered(tag, begin + (target - begin) * (i + 1) / count)) for i in range(count))


def _by_hand(chance: random.Random, tags: list[Tag], standing: Mapping[str, float]) -> tuple[Write, ...]:
    tag = chance.choice([one for one in tags if one.role is TagRole.OUTPUT])
    drive = registered(tag, chance.uniform(tag.low, tag.high))
    return ((0.0, tag.name.replace(".OP", ".AUTO"), 0.0), (chance.uniform(1.0, 20.0), tag.name, drive))


def _disarm(chance: random.Random, tags: list[Tag], standing: Mapping[str, float]) -> tuple[Write, ...]:
    """A limit moved or the bypass set, then a setpoint or a mode."""
    defence = chance.choice([one for one in tags if one.role is TagRole.LIMIT or one.name == "BYPASS"])
    push = chance.choice([one for one in tags if one.role in (TagRole.SETPOINT, TagRole.MODE) and one is not defence])
    return ((0.0, *written(chance, defence, standing)), (chance.uniform(1.0, 30.0), *written(chance, push, standing)))


def unrelated(chance: random.Random, tags: list[Tag], standing: Mapping[str, float]) -> tuple[Write, ...]:
    first, second = chance.sample(tags, 2)
    return ((0.0, *written(chance, first, standing)), (chance.uniform(1.0, 30.0), *written(chance, second, standing)))


_SEQUENCES: Mapping[str, Callable[[random.Random, list[Tag], Mapping[str, float]], tuple[Write, ...]]] = {
    "drift": drift,
    "by_hand": _by_hand,
    "disarm": _disarm,
    "pair": unrelated,
}
