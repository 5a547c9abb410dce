"""Reads a shop from text: our own YAML or JSON form, or the standard text forms of job-shop and flexible-job-shop instances.

Job shop: "jobs machines", then one line per job of "machine duration" pairs, machines from 0.  Flexible job shop: "jobs machines [mean
flexibility]", then per job its number of operations, and per operation the number of alternatives and "machine duration" pairs, machines
from 1.  Lines that begin with # are comments.  Raises `InputError` "name:line" or the key's path when the text is none of these, or two.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from sentinel.errors import InputError
from sentinel.optimise.problem import MAX_OPERATIONS, Job, Machine, Operation, Shop

MAX_OCTETS = 8 * 1024 * 1024
_SHOP_KEYS = ("scheduling", "time_unit", "objective", "machines", "jobs")
_JOB_KEYS = ("release", "due", "deadline", "weight", "operations")
_OPERATION_KEYS = ("name", "machines", "writes")


def read(text: str, name: str) -> Shop:
    if len(text) > MAX_OCTETS:
        raise InputError(f"{name}: {len(text)} characters, at most {MAX_OCTETS} are taken")
    lines = [line.strip() for line in text.splitlines()]
    first = next((line for line in lines if line and not line.startswith("#")), "")
    if first and all(_is_number(word) for word in first.split()):
        return _read_numbers(lines, name)
    return from_document(_load(text, name), name)


def from_document(document: Any, name: str) -> Shop:
    """Our own form, already parsed: what the API receives."""
    root = _mapping(document, name, _SHOP_KEYS)
    objective = _mapping(root.get("objective", {}), f"{name}: objective", ("makespan", "tardiness"))
    machines = root.get("machines", ())
    if isinstance(machines, Mapping):
        built = tuple(_machine(str(key), value, f"{name}: machines.{key}") for key, value in machines.items())
    else:
        built = tuple(Machine(name=str(one)) for one in _list(machines, f"{name}: machines"))
    jobs = _mapping(root.get("jobs", {}), f"{name}: jobs", None)
    return Shop(
        name=str(root.get("scheduling", name)),
        time_unit=str(root.get("time_unit", "1")),
        makespan_weight=objective.get("makespan", 1),
        tardiness_weight=objective.get("tardiness", 1),
        machines=built,
        jobs=tuple(_job(str(key), value, f"{name}: jobs.{key}") for key, value in jobs.items()),
    )


def _machine(name: str, document: Any, where: str) -> Machine:
    spans = _list(_mapping(document or {}, where, ("unavailable",)).get("unavailable", ()), f"{where}.unavailable")
    for span in spans:
        if not isinstance(span, list | tuple) or len(span) != 2:
            raise InputError(f"{where}.unavailable: {span!r} is not [from, until]")
    return Machine(name=name, unavailable=tuple((span[0], span[1]) for span in spans))


def _job(name: str, document: Any, where: str) -> Job:
    values = _mapping(document, where, _JOB_KEYS)
    operations = _list(values.get("operations", ()), f"{where}.operations")
    return Job(
        name=name,
        release=values.get("release", 0),
        due=values.get("due"),
        deadline=values.get("deadline"),
        weight=values.get("weight", 1),
        operations=tuple(_operation(number, one, f"{where}.operations.{number}") for number, one in enumerate(operations, start=1)),
    )


def _operation(number: int, document: Any, where: str) -> Operation:
    values = _mapping(document, where, _OPERATION_KEYS)
    writes = _mapping(values.get("writes", {}), f"{where}.writes", None)
    for tag, value in writes.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{where}.writes.{tag}: {value!r} is not a number")
    return Operation(
        name=str(values.get("name", number)),
        machines={str(key): value for key, value in _mapping(values.get("machines", {}), f"{where}.machines", None).items()},
        writes={str(tag): float(value) for tag, value in writes.items()},
    )


def _mapping(value: Any, where: str, keys: tuple[str, ...] | None) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: a mapping is needed here, not {_kind(value)}")
    for key in value:
        if keys is not None and key not in keys:
            raise InputError(f"{where}: unknown key {key!r}; known are {', '.join(keys)}")
    return value


def _list(value: Any, where: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"{where}: a list is needed here, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    return {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}.get(type(value), "a number")


class _Loader(yaml.SafeLoader):
    """YAML without aliases, which can blow a small file up, and without keys that are given twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not taken", self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key is given twice", node.start_mark)
        return mapping


def _load(text: str, name: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506  derives from the safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise InputError(f"{name}:{line}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: neither YAML nor JSON: {error}") from error


def _is_number(word: str) -> bool:
    return word.lstrip("+-").replace(".", "", 1).isdecimal()


def _whole(words: list[str], where: str) -> list[int]:
    try:
        return [int(word) for word in words]
    except ValueError:
        raise InputError(f"{where}: whole numbers are needed here") from None


def _read_numbers(lines: list[str], name: str) -> Shop:
    rows = [(number, line.split()) for number, line in enumerate(lines, start=1) if line and not line.startswith("#")]
    (header, words), body = rows[0], [(number, _whole(row, f"{name}:{number}")) for number, row in rows[1:]]
    if not 2 <= len(words) <= 3:
        raise InputError(f"{name}:{header}: the first line says jobs, machines, and perhaps the mean flexibility")
    flexible = len(words) == 3
    jobs, machines = _whole(words[:2], f"{name}:{header}")
    if not (1 <= jobs <= MAX_OPERATIONS and 1 <= machines <= MAX_OPERATIONS):
        raise InputError(f"{name}:{header}: {jobs} jobs on {machines} machines; 1 to {MAX_OPERATIONS} are taken")
    if len(body) != jobs:
        raise InputError(f"{name}: {jobs} jobs are announced, {len(body)} lines follow")
    forms = [_flexible_job] if flexible else [_plain_job, _flexible_job]
    shops, reasons = [], []
    for form in forms:
        try:
            built = tuple(form(index, row, machines, f"{name}:{number}") for index, (number, row) in enumerate(body))
            shops.append(Shop(name=name, machines=tuple(Machine(name=str(one)) for one in range(machines)), jobs=built))
        except InputError as error:
            reasons.append(str(error))
    if not shops:
        raise InputError(f"{name}: no instance of a job shop: {'; nor of a flexible one: '.join(reasons)}")
    if len(shops) == 2 and shops[0] != shops[1] and any(len(row) != 2 * machines for _, row in body):
        raise InputError(f"{name}: reads as a job shop and as a flexible job shop; write it in our own form")
    return shops[0]


def _plain_job(index: int, row: list[int], machines: int, where: str) -> Job:
    """Industrial instances visit fewer or more machines than there are, some twice; the classical ones each machine once."""
    if len(row) % 2:
        raise InputError(f"{where}: {len(row)} numbers are no pairs of machine and duration")
    pairs = list(zip(row[::2], row[1::2], strict=True))
    for machine, _ in pairs:
        if not 0 <= machine < machines:
            raise InputError(f"{where}: machine {machine} is not one of 0 to {machines - 1}")
    operations = tuple(Operation(name=str(number), machines={str(machine): time}) for number, (machine, time) in enumerate(pairs, start=1))
    return Job(name=str(index + 1), operations=operations)


def _flexible_job(index: int, row: list[int], machines: int, where: str) -> Job:
    numbers = iter(row)
    operations = []
    for number in range(1, _next(numbers, where) + 1):
        alternatives: dict[str, int] = {}
        for _ in range(_next(numbers, where)):
            machine, time = _next(numbers, where), _next(numbers, where)
            if not 1 <= machine <= machines:
                raise InputError(f"{where}: machine {machine} is not one of 1 to {machines}")
            alternatives[str(machine - 1)] = time
        operations.append(Operation(name=str(number), machines=alternatives))
    if next(numbers, None) is not None:
        raise InputError(f"{where}: numbers are left over")
    return Job(name=str(index + 1), operations=tuple(operations))


def _next(numbers: Iterator[int], where: str) -> int:
    try:
        return next(numbers)
    except StopIteration:
        raise InputError(f"{where}: numbers are missing") from None
