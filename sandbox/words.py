"""Sentences that an operator understands, from numbers."""

from collections.abc import Sequence

from sentinel.model.tags import Tag


def number(value: float) -> str:
    if abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def amount(value: float, unit: str) -> str:
    return number(value) if unit == "1" else f"{number(value)} {unit}"


def named(tag: Tag) -> str:
    """ "level of T101 (LT101)" where the plant file says what the tag is, else its name."""
    return f"{tag.doc} ({tag.name})" if tag.doc else tag.name


def duration(seconds: float) -> str:
    return "at once" if seconds < 1.0 else f"after {seconds:.0f} s"


def futures(count: int, members: int) -> str:
    return f"{count} of {members} futures"


def listed(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
