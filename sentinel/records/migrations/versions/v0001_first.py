"""Everything the main road keeps; the audit log refuses to be changed."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# table: {filter column: (type, nullable, indexed)}
_TABLES: dict[str, dict[str, tuple[type, bool, bool]]] = {
    "assets": {},
    "conduits": {"client": (sa.Text, False, True), "server": (sa.Text, False, True), "protocol": (sa.Text, False, False)},
    "findings": {
        "state": (sa.Text, False, True),
        "severity": (sa.Integer, False, True),
        "cause": (sa.Text, False, True),
        "assets": (sa.Text, False, False),
    },
    "labels": {"finding": (sa.Text, False, True), "state": (sa.Text, False, False)},
    "commands": {"origin": (sa.Text, False, False), "source": (sa.Text, False, True), "target": (sa.Text, False, True)},
    "verdicts": {"command": (sa.Text, False, True), "judgement": (sa.Text, False, True)},
    "actions": {"state": (sa.Text, False, True), "target": (sa.Text, False, True), "finding": (sa.Text, True, True)},
    "signatures": {"action": (sa.Text, False, True), "step": (sa.Text, False, False)},
    "receipts": {"action": (sa.Text, False, True)},
    "outages": {"process": (sa.Text, False, True)},
    "tallies": {"source": (sa.Text, False, True)},
    "excerpts": {"kind": (sa.Text, False, False), "of": (sa.Text, True, True)},
    "snapshots": {},
    "plans": {"kind": (sa.Text, False, True)},
    "credentials": {"name": (sa.Text, False, True), "public_key": (sa.Text, False, True), "revoked": (sa.Integer, False, False)},
    "invitations": {},
}


def upgrade() -> None:
    for table, extra in _TABLES.items():
        columns: list[Any] = [
            sa.Column("key", sa.Text, primary_key=True, nullable=False),
            sa.Column("at", sa.Integer, nullable=False),
            sa.Column("body", sa.Text, nullable=False),
        ]
        columns += [sa.Column(name, kind, nullable=nullable) for name, (kind, nullable, _) in extra.items()]
        op.create_table(table, *columns, sqlite_strict=True)
        for name in ["at", *(name for name, (_, _, indexed) in extra.items() if indexed)]:
            op.create_index(f"ix_{table}_{name}", table, [name])
    op.create_table(
        "audit",
        sa.Column("sequence", sa.Integer, primary_key=True, nullable=False),
        sa.Column("at", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("actor", "action", "record", "previous", "hash")),
        sqlite_strict=True,
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_refuses_{event.lower()} BEFORE {event} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def downgrade() -> None:
    raise NotImplementedError("the records are never taken back to an older version")
