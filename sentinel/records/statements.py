"""The statements behind `Records`: put a value on its shelf within an open transaction, narrow a query, mark a place in a list."""

import base64
import binascii
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, desc, func, select, update
from sqlalchemy.dialects.sqlite import insert

from sentinel.errors import InputError
from sentinel.model.action import Action
from sentinel.model.codec import from_json, to_json
from sentinel.model.finding import Finding
from sentinel.model.record import Label
from sentinel.records.shelves import CATALOGUE, Shelf, asset_pattern
from sentinel.records.tables import CounterRow, FindingRow, LabelRow

# The columns of these tables, as SQLAlchemy sees them.
_counters: Any = CounterRow
_findings: Any = FindingRow
_labels: Any = LabelRow


@dataclass(frozen=True, slots=True)
class Change:
    """A finding or an action as it became, with its place in the order of all changes."""

    revision: int
    value: Finding | Action


def conditions(table: Any, where: Mapping[str, Any]) -> Iterator[Any]:
    for name, value in where.items():
        if value is None:
            continue
        if name == "severity_from":
            yield table.severity >= value
        elif name == "asset":
            yield func.instr(table.assets, asset_pattern(value)) > 0
        else:
            yield getattr(table, name) == value


def to_cursor(by: str, place: int, key: str) -> str:
    return base64.urlsafe_b64encode(f"{by} {place} {key}".encode()).decode().rstrip("=")


def from_cursor(text: str, by: str) -> tuple[int, str]:
    """(place, key).  Raises InputError for what was not given out in this order."""
    try:
        padded = text + "=" * (-len(text) % 4)
        order, place, key = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode().split(" ", 2)
        if order != by:
            raise InputError(f"the cursor was given out for an order by {order}, not by {by}")
        return int.from_bytes(int(place).to_bytes(8, "big", signed=True), "big", signed=True), key
    except (binascii.Error, ValueError, OverflowError) as error:  # SQLite's integers have 64 bits
        raise InputError("the cursor is not one that was given out here") from error


def put_all(connection: Connection, shelf: Shelf[Any], values: Sequence[Any]) -> list[Change]:
    """As `put` does it one by one; rows that rest on nothing but themselves go to the database as one statement."""
    if shelf.merge is not None or shelf.has_revision or shelf.kind is Label or len(values) == 1:
        return [change for value in values for change in put(connection, shelf, value)]
    rows = [{**shelf.columns(value), "body": to_json(value).decode()} for value in values]
    table: Any = shelf.table
    statement = insert(table)
    changed = {name: statement.excluded[name] for name in rows[0] if name != "key"}
    key = [table.key]
    connection.execute(statement.on_conflict_do_nothing(key) if shelf.once else statement.on_conflict_do_update(key, set_=changed), rows)
    return []


def put(connection: Connection, shelf: Shelf[Any], value: Any) -> list[Change]:
    table: Any = shelf.table
    if isinstance(value, Finding):
        value = _as_labelled(connection, value)
    if shelf.merge is not None:
        body = connection.execute(select(table.body).where(table.key == shelf.columns(value)["key"])).scalar_one_or_none()
        if body is not None:
            value = shelf.merge(from_json(shelf.kind, body), value)
    columns = {**shelf.columns(value), "body": to_json(value).decode()}
    if shelf.has_revision:
        columns["revision"] = _next_revision(connection)
    statement = insert(table).values(**columns)
    changed = {name: content for name, content in columns.items() if name != "key"}
    key = [table.key]
    connection.execute(statement.on_conflict_do_nothing(key) if shelf.once else statement.on_conflict_do_update(key, set_=changed))
    if isinstance(value, Label):
        return _apply_label(connection, value)
    return [Change(columns["revision"], value)] if shelf.has_revision else []


def _as_labelled(connection: Connection, finding: Finding) -> Finding:
    """What a person said stays, though the fold goes on."""
    newest = select(_labels.body).where(_labels.finding == finding.id).order_by(desc(_labels.at)).limit(1)
    body = connection.execute(newest).scalar_one_or_none()
    if body is None:
        return finding
    label = from_json(Label, body)
    return dataclasses.replace(finding, state=label.state, quiet_until=label.quiet_until, learnt=label.learnt)


def _apply_label(connection: Connection, label: Label) -> list[Change]:
    query = select(_findings.body).where(_findings.key == label.finding)
    body = connection.execute(query).scalar_one_or_none()
    if body is None:
        raise LookupError(f"there is no finding {label.finding}")
    return put(connection, CATALOGUE[Finding], from_json(Finding, body))


def revision_query() -> Any:
    return select(_counters.value).where(_counters.name == "revision")


def _next_revision(connection: Connection) -> int:
    insert_first = insert(CounterRow).values(name="revision", value=0).on_conflict_do_nothing([_counters.name])
    connection.execute(insert_first)
    raised = update(CounterRow).where(_counters.name == "revision").values(value=_counters.value + 1)
    return int(connection.execute(raised.returning(_counters.value)).scalar_one())
