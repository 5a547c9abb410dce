"""A Sigma condition over columns: pySigma parses, this evaluates; the result is a mask, one bit per row.

Fields are the column names of `Messages` or `Flows`.  Numbers compare with numbers, ``|gt |gte |lt |lte`` work; names (``client``,
``server``, ``source``, ``target``) take strings with wildcards, regular expressions and ``|cidr``; closed sets (``kind``, ``protocol``,
``defect``) take their names in lower case; single TCP flags are the fields ``syn fin rst psh ack urg`` (1 or 0).  What cannot be
evaluated is refused when the rule is compiled.
"""

import ipaddress
import operator
import re
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionNOT, ConditionOR
from sigma.types import (
    CompareOperators,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExpansion,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
)

from sentinel.errors import ConfigError
from sentinel.model.columns import Array, Columns
from sentinel.model.observation import Flows
from sentinel.model.protocol import Defect, FlowKind, MessageKind, Protocol

Mask = Callable[[Any], Array]

_COMPARE = {
    CompareOperators.LT: operator.lt,
    CompareOperators.LTE: operator.le,
    CompareOperators.GT: operator.gt,
    CompareOperators.GTE: operator.ge,
}
TCP_FLAGS = {"fin": 0x01, "syn": 0x02, "rst": 0x04, "psh": 0x08, "ack": 0x10, "urg": 0x20}


def closed_set(columns: type[Columns], field: str) -> type[IntEnum] | None:
    if field == "kind":
        return FlowKind if columns is Flows else MessageKind
    return {"protocol": Protocol, "defect": Defect}.get(field)


def compiled(expression: Any, columns: type[Columns], where: str) -> Mask:
    """Raises ConfigError for a field that the columns do not have, and for what cannot be evaluated."""
    if isinstance(expression, ConditionAND | ConditionOR):
        parts = [compiled(part, columns, where) for part in expression.args]
        join = np.logical_and if isinstance(expression, ConditionAND) else np.logical_or
        return lambda rows: join.reduce([part(rows) for part in parts])
    if isinstance(expression, ConditionNOT):
        inner = compiled(expression.args[0], columns, where)
        return lambda rows: ~inner(rows)
    if isinstance(expression, ConditionFieldEqualsValueExpression):
        return _compiled_field(expression.field, expression.value, columns, where)
    raise ConfigError(where, f"{type(expression).__name__} cannot be evaluated over columns: name a field and a value")


def _compiled_field(field: str, value: Any, columns: type[Columns], where: str) -> Mask:
    if isinstance(value, SigmaExpansion):
        parts = [_compiled_field(field, each, columns, where) for each in value.values]
        return lambda rows: np.logical_or.reduce([part(rows) for part in parts])
    if field in TCP_FLAGS and columns is Flows and isinstance(value, SigmaNumber):
        bit, wanted = TCP_FLAGS[field], bool(value.number)
        return lambda rows: ((rows.tcp_flags & bit) != 0) == wanted
    if field not in columns.dtypes():
        raise ConfigError(where, f"{columns.__name__} has no field {field}; it has {', '.join(columns.dtypes())}")
    if field in columns.coded_fields():
        matches = _name_test(value, where)
        return lambda rows: np.isin(getattr(rows, field), [code for code, name in enumerate(rows.names) if matches(name)])
    names = closed_set(columns, field)
    if names is not None and isinstance(value, SigmaString):
        known = {member.name.lower(): int(member) for member in names}
        if str(value) not in known:
            raise ConfigError(where, f"{field} is one of {', '.join(known)}, not {value}")
        number = known[str(value)]
        return lambda rows: getattr(rows, field) == number
    if isinstance(value, SigmaNumber):
        exact = value.number
        return lambda rows: getattr(rows, field) == exact
    if isinstance(value, SigmaCompareExpression) and value.op in _COMPARE:
        compare, limit = _COMPARE[value.op], value.number.number
        return lambda rows: compare(getattr(rows, field), limit)
    raise ConfigError(where, f"{field} is a number, it cannot be held against {value}")


def _name_test(value: Any, where: str) -> Callable[[str], bool]:
    if isinstance(value, SigmaString):
        pattern = re.compile(value.to_regex().regexp.to_plain() if value.contains_special() else re.escape(value.to_plain()), re.IGNORECASE)
        return lambda name: pattern.fullmatch(name) is not None
    if isinstance(value, SigmaRegularExpression):
        expression = re.compile(str(value.regexp))
        return lambda name: expression.search(name) is not None
    if isinstance(value, SigmaCIDRExpression):
        network = ipaddress.ip_network(value.cidr, strict=False)
        return lambda name: _within(name, network)
    raise ConfigError(where, f"an address cannot be held against {value}")


def _within(name: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(name) in network
    except ValueError:
        return False
