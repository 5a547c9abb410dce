"""Whose fault it is, as a type.

Their bytes are wrong: no exception at all, a `Defect` in the observation.  Everything that is not one of these is our bug and is loud.
"""


class SentinelError(Exception):
    """Base of what we raise on purpose; its text says where and why, for a person."""


class ConfigError(SentinelError):
    """A file that a person wrote is wrong: refuse to start.  ``where`` is "file:line" or the key's path."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class InputError(SentinelError):
    """A file that was handed to us cannot be read as what it claims to be."""


class TransientError(SentinelError):
    """Something outside is down: retry, count."""


class PermanentError(SentinelError):
    """Something outside refuses: do not retry, keep the evidence."""


class IsolationError(SentinelError):
    """The sandbox cannot isolate itself on this machine: it refuses untrusted bytes."""


def sole_error(group: BaseExceptionGroup) -> SentinelError | None:
    """What a task group wrapped, where it is nothing but one of these; of several the first."""
    ours, others = group.split(SentinelError)
    if ours is None or others is not None:
        return None
    first: BaseException = ours
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, SentinelError)
    return first
