"""Findings and actions carry a rising revision, so that a listener who was away can ask for what changed since."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.Text, primary_key=True, nullable=False),
        sa.Column("value", sa.Integer, nullable=False),
        sqlite_strict=True,
    )
    for table in ("findings", "actions"):
        op.add_column(table, sa.Column("revision", sa.Integer, nullable=False, server_default="0"))
    # Rows that are there already are numbered in the order in which they last changed.
    op.execute(
        "WITH ranked AS (SELECT kind, key, row_number() OVER (ORDER BY at, kind, key) AS n FROM "
        "(SELECT 'f' AS kind, key, at FROM findings UNION ALL SELECT 'a', key, at FROM actions)) "
        "UPDATE findings SET revision = (SELECT n FROM ranked WHERE ranked.kind = 'f' AND ranked.key = findings.key)"
    )
    op.execute(
        "WITH ranked AS (SELECT kind, key, row_number() OVER (ORDER BY at, kind, key) AS n FROM "
        "(SELECT 'f' AS kind, key, at FROM findings UNION ALL SELECT 'a', key, at FROM actions)) "
        "UPDATE actions SET revision = (SELECT n FROM ranked WHERE ranked.kind = 'a' AND ranked.key = actions.key)"
    )
    op.execute("INSERT INTO counters (name, value) VALUES ('revision', (SELECT count(*) FROM findings) + (SELECT count(*) FROM actions))")
    for table in ("findings", "actions"):
        op.create_index(f"ix_{table}_revision", table, ["revision"])


def downgrade() -> None:
    raise NotImplementedError("the records are never taken back to an older version")
