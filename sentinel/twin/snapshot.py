"""A snapshot: everything a rollout starts from, as arrays; and how far the twin is in step with the plant.

All numbers are SI; the tag units stay at the edges (`Model.inputs`, `Model.outputs`).  At rest a snapshot is a length-prefixed JSON header
followed by raw little-endian arrays; what comes back is checked for shape, size and finiteness, else `CodecError`.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinel.model.codec import CodecError
from sentinel.model.ids import Digest, digest
from sentinel.model.time import Instant

F8 = NDArray[np.float64]

MAGIC = b"TWINSNP1"
MAX_MEMBERS = 4096
MAX_ROWS = 4096  # states, parameters or inputs: far above any plant we have met
MAX_HEADER_OCTETS = 1 << 20


class Grade(StrEnum):
    IN_STEP = "in_step"
    DEGRADED = "degraded"  # some tags deviate, or are silent: judge with care
    LOST = "lost"  # the twin does not know where the plant is


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """A tag that keeps the twin from being in step.  ``distance`` is the root mean square of its recent innovations in standard
    deviations (about 1 when all is well); None when the tag is silent or unusable."""

    tag: str
    distance: float | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    grade: Grade
    reason: str  # one sentence
    deviations: tuple[Deviation, ...] = ()
    since: Instant | None = None  # when the grade was entered

    @property
    def is_in_step(self) -> bool:
        return self.grade is Grade.IN_STEP


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """An ensemble at an instant.  Rows of `states`, `controllers` and `parameters` are members; all of them SI, all of them read-only.

    ``controllers``: two columns per controller, in the order of the plant file: integral and output (both as fractions of full scale).
    ``inputs``: the writable tags in the order of `Model.inputs`, in the tags' own units.
    ``digest`` is the model's: a snapshot of another model is refused.  ``trusted`` = made while the innovation test passed.
    """

    at: Instant
    digest: Digest
    states: F8
    controllers: F8
    parameters: F8
    inputs: F8
    trusted: bool
    health: Health
    _fingerprint: Digest | None = field(default=None, init=False, repr=False)  # computed once: a case asks for it at every rollout

    def __post_init__(self) -> None:
        for name in _ARRAYS:
            array = np.ascontiguousarray(getattr(self, name), np.float64)
            if array.ndim != (1 if name == "inputs" else 2):
                raise ValueError(f"snapshot: {name} has {array.ndim} dimensions")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if not len(self.states) == len(self.controllers) == len(self.parameters):
            raise ValueError("snapshot: states, controllers and parameters have different numbers of members")

    @property
    def members(self) -> int:
        return len(self.states)

    def take(self, members: int) -> "Snapshot":
        """The first members: always the same ones, so that runs of equal size share their random numbers."""
        if not 1 <= members <= self.members:
            raise ValueError(f"snapshot: {members} members asked for, it has {self.members}")
        return Snapshot(
            at=self.at,
            digest=self.digest,
            states=self.states[:members],
            controllers=self.controllers[:members],
            parameters=self.parameters[:members],
            inputs=self.inputs,
            trusted=self.trusted,
            health=self.health,
        )

    def fingerprint(self) -> Digest:
        """SHA-256 of the octets: names the snapshot in a verdict."""
        if self._fingerprint is None:
            object.__setattr__(self, "_fingerprint", digest(self.to_octets()))
        assert self._fingerprint is not None
        return self._fingerprint

    def to_octets(self) -> bytes:
        health = self.health
        header = {
            "at": int(self.at),
            "digest": self.digest,
            "trusted": self.trusted,
            "health": {
                "grade": str(health.grade),
                "reason": health.reason,
                "since": None if health.since is None else int(health.since),
                "deviations": [[d.tag, d.distance, d.why] for d in health.deviations],
            },
            "shapes": {name: list(getattr(self, name).shape) for name in _ARRAYS},
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        arrays = b"".join(getattr(self, name).astype("<f8").tobytes() for name in _ARRAYS)
        return MAGIC + len(text).to_bytes(4, "big") + text + arrays

    @staticmethod
    def from_octets(octets: bytes) -> "Snapshot":
        start = len(MAGIC) + 4
        if octets[: len(MAGIC)] != MAGIC or len(octets) < start:
            raise CodecError("snapshot: these octets do not begin like one")
        size = int.from_bytes(octets[len(MAGIC) : start], "big")
        if size > MAX_HEADER_OCTETS or start + size > len(octets):
            raise CodecError("snapshot: the header's length does not fit")
        try:
            header = json.loads(octets[start : start + size])
            shapes = {name: _shape(name, header["shapes"][name]) for name in _ARRAYS}
            health = _health(header["health"])
            at, model, trusted = header["at"], header["digest"], header["trusted"]
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            raise CodecError(f"snapshot: header: {error}") from error
        if type(at) is not int or type(trusted) is not bool or type(model) is not str:
            raise CodecError("snapshot: header: at, digest or trusted is of the wrong kind")
        offset = start + size
        if len(octets) != offset + 8 * sum(int(np.prod(shape)) for shape in shapes.values()):
            raise CodecError("snapshot: the arrays' length does not fit the shapes in the header")
        arrays: dict[str, F8] = {}
        for name, shape in shapes.items():
            count = int(np.prod(shape))
            array = np.frombuffer(octets, "<f8", count, offset).astype(np.float64).reshape(shape)
            if not np.isfinite(array).all():
                raise CodecError(f"snapshot: {name} holds numbers that are not finite")
            arrays[name] = array
            offset += 8 * count
        try:
            return Snapshot(at=Instant(at), digest=Digest(model), trusted=trusted, health=health, **arrays)
        except ValueError as error:
            raise CodecError(str(error)) from error


_ARRAYS = ("states", "controllers", "parameters", "inputs")


def _shape(name: str, given: Any) -> tuple[int, ...]:
    limits = (MAX_ROWS,) if name == "inputs" else (MAX_MEMBERS, MAX_ROWS)
    if not isinstance(given, list) or len(given) != len(limits):
        raise ValueError(f"shape of {name} is {given!r}")
    if any(type(size) is not int or not 0 <= size <= limit for size, limit in zip(given, limits, strict=True)):
        raise ValueError(f"shape of {name} is out of bounds: {given!r}")
    if len(limits) == 2 and given[0] < 1:
        raise ValueError(f"{name} has no member")
    return tuple(given)


def _health(given: Any) -> Health:
    def finite(value: Any) -> float | None:
        if value is None:
            return None
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise ValueError("a deviation's distance is not a number")
        return float(value)

    since = given["since"]
    if since is not None and type(since) is not int:
        raise ValueError("since is not an instant")
    return Health(
        grade=Grade(given["grade"]),
        reason=str(given["reason"]),
        since=None if since is None else Instant(since),
        deviations=tuple(Deviation(tag=str(tag), distance=finite(far), why=str(why)) for tag, far, why in given["deviations"]),
    )
