"""Rules: Sigma files of ``rules/`` over the same columns that the other detectors see.  They need no baseline.

A rule file carries, beside what Sigma defines, a block ``sentinel`` (``title`` with {client}, {server}, {operation} and {count};
``cause``, the kind of cause it folds under) and a block ``samples`` with rows that must match and rows that must not; loading checks
neither silently: a rule that does not compile stops the start.  A low or medium rule that fires while the baseline is learnt is usual
for that pair and stays quiet.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, ClassVar

import numpy as np
from sigma.exceptions import SigmaError
from sigma.rule import SigmaLevel, SigmaRule
from yaml import YAMLError

from sentinel.detect.attack import checked
from sentinel.detect.evidence import asset, frames_of, listed, operation_words
from sentinel.detect.sigma_columns import Mask, compiled
from sentinel.detect.usual import Usual
from sentinel.errors import ConfigError
from sentinel.model.columns import Columns, distinct, grouped
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Flows, Messages
from sentinel.model.time import Instant
from sentinel.model.window import Window
from sentinel.ports import Spec, Stability

_COLUMNS: dict[str, type[Columns]] = {"message": Messages, "flow": Flows}
_SEVERITY = {
    SigmaLevel.INFORMATIONAL: Severity.INFO,
    SigmaLevel.LOW: Severity.LOW,
    SigmaLevel.MEDIUM: Severity.MEDIUM,
    SigmaLevel.HIGH: Severity.HIGH,
    SigmaLevel.CRITICAL: Severity.CRITICAL,
}
_CAUSES = ("actor", "protocol", "habit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    id: str
    title: str
    template: str
    description: str
    cause: str
    severity: Severity
    techniques: tuple[str, ...]
    columns: type[Columns]
    matches: Mask
    samples: Mapping[str, Sequence[Mapping[str, Any]]]
    where: str


def rule_of(text: str, where: str) -> Rule:
    """Raises ConfigError with the file and what is wrong in it."""
    try:
        sigma = SigmaRule.from_yaml(text)
        parsed = [condition.parsed for condition in sigma.detection.parsed_condition]
    except (SigmaError, YAMLError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(where, f"not a Sigma rule: {error}") from error
    ours, samples = sigma.custom_attributes.get("sentinel"), sigma.custom_attributes.get("samples")
    category = sigma.logsource.category
    if sigma.id is None or sigma.level is None or len(parsed) != 1 or category not in _COLUMNS:
        raise ConfigError(where, f"needs an id, a level, one condition and a logsource category of {', '.join(_COLUMNS)}")
    if not isinstance(ours, dict) or ours.get("cause") not in _CAUSES or not isinstance(ours.get("title"), str):
        raise ConfigError(where, f"needs a block sentinel with a title and a cause of {', '.join(_CAUSES)}")
    if not isinstance(samples, dict) or not samples.get("positive") or not samples.get("negative"):
        raise ConfigError(where, "needs samples: at least one positive and one negative")
    columns = _COLUMNS[category]
    return Rule(
        id=str(sigma.id),
        title=sigma.title,
        template=ours["title"],
        description=re.sub(r"\s+", " ", sigma.description or sigma.title).strip(),
        cause=ours["cause"],
        severity=_SEVERITY[sigma.level],
        techniques=checked(tuple(tag.name.upper() for tag in sigma.tags if re.fullmatch(r"t\d{4}(\.\d{3})?", tag.name)), where),
        columns=columns,
        matches=compiled(parsed[0], columns, where),
        samples=samples,
        where=where,
    )


def load_rules(folder: Traversable | None = None) -> tuple[Rule, ...]:
    """All ``*.yml`` below the folder (default: the rules that come with the product), in the order of their ids."""
    folder = folder if folder is not None else files("rules")
    rules: dict[str, Rule] = {}
    for path in _yaml_files(folder):
        rule = rule_of(path.read_text("utf-8"), path.name)
        if rule.id in rules:
            raise ConfigError(path.name, f"has the id of {rules[rule.id].where}")
        rules[rule.id] = rule
    return tuple(rules[key] for key in sorted(rules))


def _yaml_files(folder: Traversable) -> list[Traversable]:
    found: list[Traversable] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _yaml_files(entry)
        elif entry.name.endswith(".yml"):
            found.append(entry)
    return found


class Rules:
    spec: ClassVar[Spec] = Spec(
        name="rules",
        summary="Sigma rules by protocol: operations that are grave or telling whoever sends them",
        stability=Stability.STABLE,
        attack=("T0814", "T0816", "T0843", "T0845", "T0858", "T0888", "T0889", "T0886"),
    )

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._usual = Usual()

    def learn(self, window: Window) -> None:
        for rule in self._rules:
            if rule.severity <= Severity.MEDIUM:
                self._usual.learn(self._matches(rule, _rows_for(rule, window)))

    def activate(self) -> None:
        """Rules have no thresholds."""

    def score(self, window: Window) -> Sequence[Detection]:
        return self._usual.without(found for rule in self._rules for found in self._matches(rule, _rows_for(rule, window)))

    def at_once(self, messages: Messages) -> Sequence[Detection]:
        return self._usual.without(found for rule in self._rules if rule.columns is Messages for found in self._matches(rule, messages))

    def _matches(self, rule: Rule, columns: Any) -> list[Detection]:
        if not len(columns):
            return []
        rows = np.flatnonzero(rule.matches(columns))
        if not len(rows):
            return []
        clients, servers = (columns.client, columns.server) if rule.columns is Messages else (columns.source, columns.target)
        first, which = distinct(clients[rows], servers[rows])
        found = []
        for at, group in zip(first.tolist(), grouped(which), strict=True):
            members = rows[group]
            client, server = (columns.name_of(int(codes[rows[at]])) or "unknown" for codes in (clients, servers))
            operations = "packets"
            if rule.columns is Messages:
                keys = dict.fromkeys(
                    zip(
                        columns.protocol[members].tolist(),
                        columns.function[members].tolist(),
                        columns.subfunction[members].tolist(),
                        strict=True,
                    )
                )
                operations = listed(operation_words(*key) for key in keys)
            frames = frames_of(columns.frame[members])
            found.append(
                Detection(
                    detector=self.spec.name,
                    title=rule.template.format(client=client, server=server, operation=operations, count=len(members)),
                    seen=Instant(int(columns.time[members].min())),
                    frame=frames[0] if frames else 0,
                    frames=frames,
                    source=asset(client),
                    target=asset(server),
                    cause=f"{rule.cause}:{client}",
                    feature=f"rule: {rule.title}",
                    observed=f"{len(members)} x {operations}",
                    expected=f"nothing that the rule {rule.id} matches",
                    score=float(len(members)),
                    threshold=0.0,
                    why=f"{client} to {server}: {operations}. {rule.description}",
                    techniques=rule.techniques,
                    severity=rule.severity,
                    confidence=0.7 if rule.severity >= Severity.HIGH else 0.4,
                )
            )
        return found

    def state(self) -> Mapping[str, Any]:
        return self._usual.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._usual.restore(state)


def _rows_for(rule: Rule, window: Window) -> Messages | Flows:
    return window.messages if rule.columns is Messages else window.flows
