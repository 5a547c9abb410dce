"""What the operator does all day: a routine of writes that repeats every 13 s, so that 30 s of learning see every kind of them.

Every write is harmless for ever, not only until the next one: pumps and valves are left in automatic, setpoints stay in a narrow band, and
without P101 the tanks come to rest at one level.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

CYCLE_S = 13.0
_HAND_S = 0.04  # a hand is not a clock


@dataclass(frozen=True, slots=True)
class Habit:
    """One routine write: when in the cycle, which tags (neighbours on the wire), which values from cycle to cycle."""

    at_s: float
    says: str
    tags: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


def _around(centre: float, far: float) -> tuple[tuple[float, ...], ...]:
    """The band's ends first: two cycles show all of it."""
    return ((centre + far,), (centre - far,), (centre + far / 2,), (centre - far / 2,))


HABITS = (
    Habit(0.6, "moves the level setpoint of T101", ("LIC101.SP",), _around(1.2, 0.02)),
    Habit(1.9, "steps the spindle's speed", ("SIC301.SP",), _around(6000.0, 300.0)),
    Habit(3.2, "moves the level setpoint of T102", ("LIC102.SP",), _around(0.8, 0.02)),
    Habit(4.5, "moves the loop's setpoint", ("TIC201.SP",), _around(60.0, 0.5)),
    Habit(5.8, "moves the bearing's setpoint", ("TIC301.SP",), _around(45.0, 0.5)),
    Habit(7.1, "pump changeover: P101 stops", ("P101.RUN",), ((0.0,),)),
    Habit(8.1, "pump changeover: P101 starts", ("P101.RUN",), ((1.0,),)),
    Habit(
        9.4, "acknowledges: all loops in automatic", ("LIC101.AUTO", "LIC102.AUTO", "TIC201.AUTO", "TIC301.AUTO"), ((1.0, 1.0, 1.0, 1.0),)
    ),
    Habit(
        11.0,
        "loads the recipe",
        ("LIC101.SP", "LIC102.SP", "TIC201.SP", "TIC301.SP", "SIC301.SP"),
        ((1.2, 0.8, 60.0, 45.0, 6000.0),),
    ),
)


def routine(seed: int) -> Iterator[tuple[float, Habit, tuple[float, ...]]]:
    """(seconds from the start, habit, values), without end."""
    chance = random.Random(seed)  # noqa: S311
    turn = chance.choice(((0, 1, 2, 3), (1, 0, 3, 2)))
    cycle = 0
    while True:
        for habit in HABITS:
            values = habit.values[turn[cycle % 4] % len(habit.values)]
            yield cycle * CYCLE_S + habit.at_s + chance.uniform(0.0, _HAND_S), habit, values
        cycle += 1


def routine_writes(seconds: float, seed: int = 1) -> list[tuple[float, str, float]]:
    """The routine as writes for `simulation.simulate`."""
    writes: list[tuple[float, str, float]] = []
    for at_s, habit, values in routine(seed):
        if at_s >= seconds:
            return writes
        writes += [(at_s, tag, value) for tag, value in zip(habit.tags, values, strict=True)]
    return writes
