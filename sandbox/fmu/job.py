"""What the two sides of an FMU's process tell each other: a job as JSON, an answer as raw arrays of known size or a sentence.

All numbers are in the FMU's own units.  The answer may be anything, since machine code of others shares a process with whoever writes it:
its length alone is believed, then every number is looked at.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]

DONE, REFUSED = b"DONE", b"NOPE"
MAX_REASON_OCTETS = 2000
MAX_ANSWER_OCTETS = 1 << 29
MAX_PATH_OCTETS = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """``parameters`` and ``starts``: a row per member, columns as their references.  A future is a list of (step, values of all
    inputs) in rising order, the first at step 0.  ``limits``: (row of `outputs`, limit, whether it is an upper one).  ``record``: rows of
    `outputs`."""

    directory: str
    library: str
    version: int
    name: str
    token: str
    can_fork: bool
    step_s: float
    steps: int
    every: int
    members: int
    parameter_references: list[int]
    parameters: list[list[float]]
    start_references: list[int]
    starts: list[list[float]]
    input_references: list[int]
    input_kinds: list[str]
    futures: list[list[tuple[int, list[float]]]]
    outputs: list[int]
    limits: list[tuple[int, float, bool]]
    record: list[int]

    def encode(self) -> bytes:
        return json.dumps(asdict(self), allow_nan=False).encode()

    @staticmethod
    def decode(octets: bytes) -> "Job":
        return Job(**json.loads(octets))

    @property
    def samples(self) -> int:
        return self.steps // self.every

    @property
    def octets(self) -> int:
        """Of a complete answer, without its first word."""
        limits, members = len(self.limits), self.members
        return 8 * len(self.futures) * members * (2 * limits + 1 + self.samples * len(self.record) + len(self.start_references))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lived:
    """One future.  ``distance`` and ``violation_s``: (limits, members); ``valid``: 1 or 0 per member; ``paths``: (samples, recorded,
    members); ``final``: (starts, members)."""

    distance: F8
    violation_s: F8
    valid: F8
    paths: F8
    final: F8

    @staticmethod
    def blank(job: Job) -> "Lived":
        members = job.members
        return Lived(
            distance=np.full((len(job.limits), members), np.nan),
            violation_s=np.full((len(job.limits), members), np.nan),
            valid=np.zeros(members),
            paths=np.full((job.samples, len(job.record), members), np.nan),
            final=np.full((len(job.start_references), members), np.nan),
        )

    @property
    def arrays(self) -> tuple[F8, ...]:
        return self.distance, self.violation_s, self.valid, self.paths, self.final


def encode(lived: Sequence[Lived]) -> bytes:
    return DONE + b"".join(array.astype("<f8").tobytes() for one in lived for array in one.arrays)


def decode(octets: bytes, job: Job) -> tuple[Lived, ...]:
    """Raises ValueError where it is no answer to this job."""
    if octets[: len(DONE)] != DONE or len(octets) != len(DONE) + job.octets:
        raise ValueError(f"{len(octets)} octets that are no answer")
    numbers = np.frombuffer(octets, "<f8", offset=len(DONE)).astype(np.float64)
    found, at = [], 0
    for _ in job.futures:
        blank = Lived.blank(job)
        for array in blank.arrays:
            array[...] = numbers[at : at + array.size].reshape(array.shape)
            at += array.size
        found.append(blank)
    return tuple(found)
