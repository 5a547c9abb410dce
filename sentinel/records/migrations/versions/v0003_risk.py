"""Findings carry their risk in thousandths of all, so that they can be listed in the order in which to look at them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("findings", sa.Column("risk", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_findings_risk", "findings", ["risk"])


def downgrade() -> None:
    raise NotImplementedError("the records are never taken back to an older version")
