"""The pinned ATT&CK table: which technique ids a finding may carry, and what became of revoked and deprecated ones.

File: ``rules/attack-ics.toml``.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from sentinel.errors import ConfigError
from sentinel.model.attack import Technique, is_technique_id

TABLE = "attack-ics.toml"


@cache
def techniques() -> Mapping[str, Technique]:
    """By id; a revoked one names its successor in ``revoked_by``, a deprecated one its nearest relative in ``near``."""
    table = tomllib.loads(files("rules").joinpath(TABLE).read_text("utf-8"))
    known = {key: Technique(id=key, name=entry["name"], tactics=tuple(entry["tactics"])) for key, entry in table["techniques"].items()}
    revoked = {key: Technique(id=key, name=entry["name"], revoked_by=entry["by"]) for key, entry in table["revoked"].items()}
    for key, technique in revoked.items():
        if technique.revoked_by not in known or key in known:
            raise ConfigError(TABLE, f"{key} is revoked by {technique.revoked_by}, which the table does not know")
    deprecated = {key: Technique(id=key, name=entry["name"], near=entry["near"]) for key, entry in table["deprecated"].items()}
    for key, technique in deprecated.items():
        if technique.near not in known or key in known or key in revoked:
            raise ConfigError(
                TABLE, f"{key} is deprecated, and {technique.near} named beside it is unknown, or it stands in the table twice"
            )
    return known | revoked | deprecated


def checked(ids: tuple[str, ...], where: str) -> tuple[str, ...]:
    """The ids themselves; raises ConfigError for one that is unknown, revoked or deprecated."""
    for key in ids:
        technique = techniques().get(key)
        if technique is None or not is_technique_id(key):
            raise ConfigError(where, f"{key} is no technique of ATT&CK for ICS as pinned in rules/{TABLE}")
        if technique.revoked_by:
            raise ConfigError(where, f"{key} was revoked: use {technique.revoked_by} ({techniques()[technique.revoked_by].name})")
        if technique.near:
            raise ConfigError(where, f"{key} was deprecated: {technique.near} ({techniques()[technique.near].name}) says it today")
    return ids
