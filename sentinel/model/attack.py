"""ATT&CK for ICS techniques by id.  The pinned table itself is data: ``rules/attack-ics.toml``."""

import re
from dataclasses import dataclass

_ID = re.compile(r"T[0-9]{4}(\.[0-9]{3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Technique:
    id: str
    name: str
    tactics: tuple[str, ...] = ()
    revoked_by: str | None = None  # the id that replaced it
    near: str | None = None  # withdrawn without a successor: the id that says it today, by our own judgement


def is_technique_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None
