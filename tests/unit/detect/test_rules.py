from typing import Any

import numpy as np
import pytest

from sentinel.detect.attack import checked, techniques
from sentinel.detect.rules import Rule, Rules, load_rules, rule_of
from sentinel.detect.sigma_columns import closed_set
from sentinel.errors import ConfigError
from sentinel.model.observation import Messages
from tests.observations import MASTER, PLC, flow, flows, messages, request, window

_RULES = load_rules()


def _row(rule: Rule, sample: dict[str, Any]) -> Any:
    numbered = {}
    for field, value in sample.items():
        names = closed_set(rule.columns, field)
        numbered[field] = int(names[value.upper()]) if names is not None else value
    if rule.columns is Messages:
        return messages({**request(0), "address": -1, "quantity": -1, **numbered})
    return flows({**flow(0), "tcp_flags": 0, **numbered})


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.where)
def test_a_rule_matches_its_positive_samples_and_no_negative_one(rule: Rule) -> None:
    for wanted in (True, False):
        for sample in rule.samples["positive" if wanted else "negative"]:
            assert bool(rule.matches(_row(rule, dict(sample)))[0]) is wanted, (rule.where, sample)


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.where)
def test_a_rule_speaks_plain_words_and_current_techniques(rule: Rule) -> None:
    title = rule.template.format(client=MASTER, server=PLC, operation="diagnostics", count=3)
    assert MASTER in title
    assert PLC in title
    assert checked(rule.techniques, rule.where)


def test_a_rule_gives_a_detection_with_its_rows() -> None:
    silent = request(1, function=8, subfunction=4, address=-1, quantity=-1, frame=5)
    (found,) = Rules(_RULES).score(window(1, [request(1, frame=4), silent]))
    assert (found.title, found.frames, found.cause) == (f"{MASTER} silences {PLC}: it is told to listen only", (5,), f"actor:{MASTER}")


def test_what_was_usual_while_learning_stays_quiet_unless_it_is_grave() -> None:
    rules = Rules(_RULES)
    inventory = request(1, function=43, subfunction=14)
    silence = request(1, function=8, subfunction=4)
    rules.learn(window(1, [inventory, silence]))
    assert [found.techniques for found in rules.score(window(2, [inventory, silence]))] == [("T0814",)]
    assert rules.score(window(2, [{**inventory, "client": "10.0.0.9"}]))


_TEXT = """
title: t
id: 00000000-0000-4000-8000-000000000001
logsource: {product: modbus, category: message}
detection:
  a: {function|gte: 100, client|cidr: 10.0.0.0/24}
  b: {server: '10.0.*'}
  condition: a and not b
level: low
tags: [attack.t0888]
sentinel: {title: "{client}", cause: actor}
samples: {positive: [{function: 100}], negative: [{function: 1}]}
"""


def test_numbers_addresses_and_wildcards_are_evaluated() -> None:
    rule = rule_of(_TEXT, "t.yml")
    rows = messages(
        request(0, function=101, client="10.0.0.7", server="192.0.2.1"),
        request(0, function=101, client="10.9.0.7", server="192.0.2.1"),
        request(0, function=101, client="10.0.0.7", server="10.0.0.9"),
        request(0, function=99, client="10.0.0.7", server="192.0.2.1"),
    )
    assert np.flatnonzero(rule.matches(rows)).tolist() == [0]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("function|gte", "nonsense|gte", "Messages has no field nonsense"),
        ("attack.t0888", "attack.t0855", r"T0855 was revoked: use T1692\.001"),
        ("attack.t0888", "attack.t0841", r"T0841 was deprecated: T0846\.001 \(.*Port Scan\) says it today"),
        ("attack.t0888", "attack.t0999", "T0999 is no technique"),
        ("category: message", "category: process_creation", "logsource category of message, flow"),
        ("cause: actor", "cause: chance", "a cause of actor"),
        ("samples: {positive: [{function: 100}], negative: [{function: 1}]}", "x: 1", "needs samples"),
        ("condition: a and not b", "condition: a and", "not a Sigma rule"),
        ("function|gte: 100", "kind: dance", "kind is one of request, response, exception"),
        ("title: t\n", "title: [\n", "not a Sigma rule"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_where_it_stands(old: str, new: str, problem: str) -> None:
    assert old in _TEXT
    with pytest.raises(ConfigError, match=rf"t\.yml: .*{problem}"):
        rule_of(_TEXT.replace(old, new), "t.yml")


def test_the_pinned_table_knows_successors() -> None:
    table = techniques()
    assert table["T0855"].revoked_by == "T1692.001"
    assert table["T0805"].revoked_by == "T1695.001"
    assert (table["T0841"].revoked_by, table["T0841"].near) == (None, "T0846.001"), "deprecated by MITRE, revoked by nobody"
    assert table["T1692.001"].name == "Unauthorized Message: Command Message"
    assert all(table[t.revoked_by].revoked_by is None for t in table.values() if t.revoked_by)
