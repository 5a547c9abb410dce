"""A question about the future: which tags are set to which values, when, and how far to look.

In: what a person typed ("LIC101.SP=1.4 m@90s"), or the same as values.  Out: `Setting`s and a `Question` that fit the model; a question
with several values is a grid, every combination of them one case.  `InputError` says which setting is wrong and why.
"""

import itertools
import math
import re
from dataclasses import dataclass

import numpy as np

from sentinel.errors import InputError
from sentinel.model.tags import Tag, TagRole
from sentinel.twin.compiled import Modelled
from sentinel.twin.document import nearest
from sentinel.twin.snapshot import MAX_MEMBERS, Snapshot
from sentinel.twin.units import UnitError, quantity

_TIME_UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}  # "10m" is ten minutes here, not ten metres
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_DURATION = re.compile(rf"({_NUMBER})\s*([a-z]*)")
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER}):([0-9]{{1,4}})\s*(.*)")
_VALUE = re.compile(rf"({_NUMBER})\s*(.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one question may cost."""

    futures: int
    members: int
    horizon_s: float
    member_steps: float  # futures x members x integration steps: what the time is spent on
    tags: int = 64
    settings: int = 32


AT_THE_DESK = Limits(futures=1024, members=MAX_MEMBERS, horizon_s=7 * 86_400.0, member_steps=2e10)
OVER_THE_API = Limits(futures=128, members=MAX_MEMBERS, horizon_s=86_400.0, member_steps=2e8, tags=16)  # some seconds of one core, some MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A tag is set, in its own unit; several values are one axis of the grid."""

    tag: str
    values: tuple[float, ...]
    at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    settings: tuple[Setting, ...]
    horizon_s: float
    members: int | None = None  # None = all that the snapshot has
    tags: tuple[str, ...] = ()  # whose bands are wanted; none = what the invariants watch and what the settings control


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    tag: str
    value: float
    unit: str
    at_s: float


def duration_s(text: str) -> float:
    """ "10m", "90 s", "1.5 h"; a unit has to be there."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or match[2] not in _TIME_UNITS:
        raise InputError(f"{text!r} is not a duration: a number with s, min (or m), h or d, such as 90s or 10m")
    return float(match[1]) * _TIME_UNITS[match[2]]


def read_setting(text: str, model: Modelled) -> Setting:
    """ "LIC101.SP=1.4 m@90s", "TIC201.SP=330 K", "LIC101.SP=1.2,1.3,1.4", "LIC101.SP=1.0:1.6:7" (seven values from 1.0 to 1.6)."""
    name, equals, rest = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise InputError(f"{text!r}: expected TAG=VALUE, TAG=VALUE@TIME, TAG=A,B,C or TAG=FROM:TO:COUNT")
    tag = writable(name, model)
    value, at, moment = rest.partition("@")
    at_s = duration_s(moment) if at else 0.0
    return checked(Setting(tag=name, values=_values(value.strip(), tag), at_s=at_s), model)


def _values(text: str, tag: Tag) -> tuple[float, ...]:
    if ":" in text:
        match = _RANGE.fullmatch(text)
        if match is None or int(match[3]) < 2:
            raise InputError(f"{tag.name}: {text!r} is not FROM:TO:COUNT, such as 1.0:1.6:7, with a count of 2 or more")
        low, high = (value_of(f"{end} {match[4]}", tag) for end in match.group(1, 2))
        return tuple(float(value) for value in np.linspace(low, high, int(match[3])))
    pieces = [piece.strip() for piece in text.split(",")]
    last = _VALUE.fullmatch(pieces[-1])
    common = last[2] if last else ""
    given = [piece if (match := _VALUE.fullmatch(piece)) is None or match[2] else f"{match[1]} {common}" for piece in pieces]
    return tuple(value_of(piece, tag) for piece in given)


def value_of(text: str, tag: Tag) -> float:
    """A number in the tag's unit, or with a unit of its own."""
    match = _VALUE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{tag.name}: {text!r} is not a number, alone or with a unit like {tag.unit!r}")
    if not match[2] or match[2] == tag.unit:
        return float(match[1])
    try:
        given = quantity(text, tag.unit)
        own = quantity(f"0 {tag.unit}", tag.unit).unit
    except UnitError as error:
        raise InputError(f"{tag.name}: {error}") from error
    return float(f"{own.from_si(given.value):.12g}")  # the way over SI must not show in the last bits


def writable(name: str, model: Modelled) -> Tag:
    tag, rows = model.plant.tags.by_name.get(name), model.input_rows
    if tag is None:
        raise InputError(f"the plant file has no tag {name!r}{nearest(name, rows)}")
    if name not in rows:
        raise InputError(f"{name} {'moves nothing that the twin models' if tag.writable else f'is a {tag.role}: it cannot be set'}")
    return tag


def checked(setting: Setting, model: Modelled) -> Setting:
    """The setting, or an InputError where a value lies outside the tag's engineered range."""
    tag = writable(setting.tag, model)
    unit = "" if tag.unit == "1" else f" {tag.unit}"
    if not setting.values:
        raise InputError(f"{tag.name}: no value is given")
    for value in setting.values:
        if not tag.low <= value <= tag.high:
            raise InputError(f"{tag.name} = {value:g}{unit} is outside its range, {tag.low:g} to {tag.high:g}{unit}")
        if tag.role is TagRole.MODE and value not in {0.0, 1.0}:
            raise InputError(f"{tag.name} = {value:g}: a mode is 0 or 1")
    return setting


def cases(
    model: Modelled, snapshot: Snapshot, question: Question, limits: Limits
) -> tuple[Snapshot, list[tuple[Write, ...]], tuple[str, ...]]:
    """(the members to run, every combination of values, the tags to show).  Raises InputError where it costs more than ``limits``."""
    horizon_s = question.horizon_s
    if not (math.isfinite(horizon_s) and model.step_s <= horizon_s <= limits.horizon_s):
        raise InputError(f"horizon: {horizon_s:g} s, expected {model.step_s:g} s to {limits.horizon_s:g} s")
    members = snapshot.members if question.members is None else question.members
    if not 1 <= members <= min(limits.members, snapshot.members):
        has = "" if snapshot.members >= limits.members else ", as many as the snapshot has"
        raise InputError(f"members: {members}, expected 1 to {min(limits.members, snapshot.members)}{has}")
    if snapshot.digest != model.digest:
        raise InputError("the snapshot is of another plant file, or was made by another version of the engine")
    if not 1 <= len(question.settings) <= limits.settings:
        raise InputError(f"settings: {len(question.settings)}, expected 1 to {limits.settings}")
    seen: set[tuple[str, float]] = set()
    for setting in question.settings:
        checked(setting, model)
        if not (math.isfinite(setting.at_s) and 0.0 <= setting.at_s < horizon_s):
            raise InputError(f"{setting.tag}: set at {setting.at_s:g} s, expected 0 s to before the horizon of {horizon_s:g} s")
        if (setting.tag, setting.at_s) in seen:
            raise InputError(f"{setting.tag} is set twice at {setting.at_s:g} s")
        seen.add((setting.tag, setting.at_s))
    count = math.prod(len(setting.values) for setting in question.settings)
    if count > limits.futures:
        raise InputError(f"the grid has {count} combinations, expected at most {limits.futures}")
    cost = (count + 1) * members * horizon_s / model.step_s
    if cost > limits.member_steps:
        raise InputError(
            f"{count} combinations x {members} members over {horizon_s:g} s are {cost:.2g} steps of members, expected at most "
            f"{limits.member_steps:.2g}: fewer combinations or members, or a shorter horizon"
        )
    units = {one.tag: one.unit for one in model.inputs}
    axes = [[Write(tag=one.tag, value=value, unit=units[one.tag], at_s=one.at_s) for value in one.values] for one in question.settings]
    return snapshot.take(members), list(itertools.product(*axes)), _shown(model, question, limits)


def _shown(model: Modelled, question: Question, limits: Limits) -> tuple[str, ...]:
    rows = model.output_rows
    if len(question.tags) > limits.tags:
        raise InputError(f"tags: {len(question.tags)}, expected at most {limits.tags}")
    for tag in question.tags:
        if tag not in rows:
            known = model.plant.tags.by_name.get(tag)
            why = f"the plant file has no tag {tag!r}{nearest(tag, rows)}" if known is None else f"{tag} is nothing that the twin measures"
            raise InputError(f"tags: {why}")
    if question.tags:
        return tuple(dict.fromkeys(question.tags))
    written = {one.tag for one in question.settings}
    watched = [one.tag for one in model.invariants if one.tag in rows]
    controlled = [one.pv for one in model.plant.controllers if written & {one.sp, one.op, one.auto_tag} and one.pv in rows]
    return tuple(dict.fromkeys([*controlled, *watched]))[: limits.tags] or tuple(rows)[: limits.tags]
