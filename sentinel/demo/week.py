"""A week of routine at the reference plant, as writes: shifts, grade changes, tool changes, maintenance, and slips that do no harm.

In: a seed and days.  Out: `Doing`s in the order of time, each a few writes that belong together.  Pumps and loops are left as they were
found, but for P101: it is made to wear within hours (6 % of its flow a day) and would not last the week, so that each of its
changeovers brings an overhauled one.  Nothing here sets the bypass: who wants it needs a permit, not a routine.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

DAY_S, HOUR_S = 86_400.0, 3600.0
SHIFTS_H = (5.95, 13.95, 21.95)  # three minutes before the hour

# What grades and operators ask for: setpoint to (low, high, decimals that an operator types).
BANDS: Mapping[str, tuple[float, float, int]] = {
    "LIC101.SP": (1.0, 1.3, 2),
    "LIC102.SP": (0.6, 0.9, 2),
    "TIC201.SP": (50.0, 66.0, 1),
    "TIC301.SP": (40.0, 50.0, 1),
    "SIC301.SP": (4000.0, 7000.0, -1),
}
AUTOMATIC = ("LIC101.AUTO", "LIC102.AUTO", "TIC201.AUTO", "TIC301.AUTO")
_TESTED = (("LIC101.HH", 1.65, 1.8), ("TIC201.HH", 80.0, 85.0), ("SP301.HH", 78.0, 85.0), ("P102.LL", 0.15, 0.1))  # drawn in, as designed
_MISTYPED: Mapping[str, float] = {"TIC201.SP": 6.0, "SIC301.SP": 600.0, "TIC301.SP": 4.5}  # a digit lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """``writes``: seconds after ``at_s``, tag, value.  ``overhauls``: before the last of them P101 is changed for an overhauled one."""

    at_s: float
    says: str
    writes: tuple[tuple[float, str, float], ...]
    overhauls: bool = False


def week(seed: int, days: int = 7) -> list[Doing]:
    chance = random.Random(f"week {seed}")  # noqa: S311
    grade = {tag: round((low + high) / 2, digits) for tag, (low, high, digits) in BANDS.items()}
    doings: list[Doing] = []
    for day in range(days):
        times = _times(chance, day)
        for kind, at_s in times:
            doings += _KINDS[kind](chance, at_s, grade)
    return sorted(doings, key=lambda doing: doing.at_s)


def _times(chance: random.Random, day: int) -> list[tuple[str, float]]:
    """What happens when on a day; apart from the shifts, in slots of their own, so that nobody does two things at once."""
    slots = [day * DAY_S + (7.0 + number / 4) * HOUR_S for number in range(60)]
    chance.shuffle(slots)
    amounts = {"grade": 3, "nudge": 16, "changeover": 2, "tool": 6, "valve": 1, "limit": 1, "service": 1, "slip": 2}
    fixed = [("shift", day * DAY_S + hour * HOUR_S) for hour in SHIFTS_H]
    drawn = [kind for kind, amount in amounts.items() for _ in range(amount)]
    return sorted(fixed + [(kind, slots.pop() + chance.uniform(0.0, 60.0)) for kind in drawn], key=lambda one: one[1])


def _shift(chance: random.Random, at_s: float, grade: dict[str, float]) -> Iterator[Doing]:
    pause_s = chance.uniform(5.0, 30.0)
    writes = [*((0.0, tag, 1.0) for tag in AUTOMATIC), *((pause_s, tag, value) for tag, value in grade.items())]
    yield Doing(at_s=at_s, says="the new shift acknowledges and loads the recipe", writes=tuple(writes))


def _grade(chance: random.Random, at_s: float, grade: dict[str, float]) -> Iterator[Doing]:
    tag = chance.choice(list(BANDS))
    low, high, digits = BANDS[tag]
    begin, end, count, pause_s = grade[tag], chance.uniform(low, high), chance.randint(3, 6), chance.uniform(15.0, 40.0)
    writes = tuple((i * pause_s, tag, round(begin + (end - begin) * (i + 1) / count, digits)) for i in range(count))
    grade[tag] = writes[-1][2]
    yield Doing(at_s=at_s, says=f"another grade: {tag} in {count} steps", writes=writes)


def _nudge(chance: random.Random, at_s: float, grade: dict[str, float]) -> Iterator[Doing]:
    tag = chance.choice(list(BANDS))
    low, high, digits = BANDS[tag]
    moved = min(max(grade[tag] + chance.uniform(-0.1, 0.1) * (high - low), low), high)
    grade[tag] = round(moved, digits)
    yield Doing(at_s=at_s, says=f"{tag} is nudged", writes=((0.0, tag, grade[tag]),))


def _changeover(chance: random.Random, at_s: float, grade: dict[str, float]) -> Iterator[Doing]:
    writes = ((0.0, "P101.RUN", 0.0), (chance.uniform(5.0, 60.0), "P101.RUN", 1.0))
    yield Doing(at_s=at_s, says="pump changeover", writes=writes, overhauls=True)


def _tool(chance: random.Random, at_s: float, grade: dict[str, float]) -> Iterator[Doing]:
    yield Doing(at_s=at_s, says="tool change", writes=((0.0, "SP301.RUN", 0.0), (chance.uniform(20.0, 120.0), "SP301.RUN", 1.0)))


def _valve(chance: random.Random, at_s: float, grade: dict[str, float]) -> Iterator[Doing]:
    """A loop to manual, which holds its output, and back."""
    tag = chance.choice(AUTOMATIC)
    yield Doing(at_s=at_s, says=f"{tag} to manual for a look at its actuator", writes=((0.0, tag, 0.0), (chance.uniform(20, 90), tag, 1.0)))


def _limit(chance: random.Random, at_s: float, grade: dict[str, float]) -> Iterator[Doing]:
    """A trip limit drawn in for a test, short of what would trip, and put back."""
    tag, test, design = chance.choice(
        (("LIC101.HH", 1.65, 1.8), ("TIC201.HH", 80.0, 85.0), ("SP301.HH", 78.0, 85.0), ("P102.LL", 0.15, 0.1))
    )
    yield Doing(at_s=at_s, says=f"{tag} is tested", writes=((0.0, tag, test), (chance.uniform(30.0, 90.0), tag, design)))


def _service(chance: random.Random, at_s: float, grade: dict[str, float]) -> Iterator[Doing]:
    """The heater loop is cooled down, stopped, and started again, in the order that its interlocks ask for."""
    writes = ((0.0, "H201.RUN", 0.0), (240.0, "P201.RUN", 0.0), (400.0, "P201.RUN", 1.0), (430.0, "H201.RUN", 1.0))
    yield Doing(at_s=at_s, says="the heater loop is serviced", writes=writes)


def _slip(chance: random.Random, at_s: float, grade: dict[str, float]) -> Iterator[Doing]:
    """A digit lost while typing, or the wrong pump; put right within half a minute."""
    tag = chance.choice((*_MISTYPED, "P301.RUN"))
    wrong, right = (_MISTYPED[tag], grade[tag]) if tag in _MISTYPED else (0.0, 1.0)
    yield Doing(at_s=at_s, says=f"a slip: {tag} = {wrong:g}", writes=((0.0, tag, wrong), (chance.uniform(5.0, 30.0), tag, right)))


_KINDS = {
    "shift": _shift,
    "grade": _grade,
    "nudge": _nudge,
    "changeover": _changeover,
    "tool": _tool,
    "valve": _valve,
    "limit": _limit,
    "service": _service,
    "slip": _slip,
}
