"""The tables.  Each keeps a value of the vocabulary as canonical JSON (``body``) beside the columns by which it is found.

All tables are STRICT: SQLite itself refuses a text where a number belongs.  Instants are integers, ns UTC.
"""

from typing import Any

from sqlalchemy import Integer, Text
from sqlmodel import Field, SQLModel


class Row(SQLModel):
    """``key`` names the value, ``at`` orders it; ``body`` is `sentinel.model.codec.to_json` of it."""

    __table_args__ = {"sqlite_strict": True}

    key: str = Field(sa_type=Text, primary_key=True)
    at: int = Field(sa_type=Integer, index=True)
    body: str = Field(sa_type=Text)


def text_column(*, index: bool = True) -> Any:
    return Field(sa_type=Text, index=index)


def number_column(*, index: bool = True) -> Any:
    return Field(sa_type=Integer, index=index)


class AssetRow(Row, table=True):
    __tablename__ = "assets"


class ConduitRow(Row, table=True):
    __tablename__ = "conduits"
    client: str = text_column()
    server: str = text_column()
    protocol: str = text_column(index=False)


class FindingRow(Row, table=True):
    __tablename__ = "findings"
    revision: int = number_column()
    state: str = text_column()
    severity: int = number_column()
    cause: str = text_column()
    risk: int = number_column()  # thousandths of all
    assets: str = text_column(index=False)  # "\n10.0.0.1\n10.0.0.2\n"


class LabelRow(Row, table=True):
    __tablename__ = "labels"
    finding: str = text_column()
    state: str = text_column(index=False)


class CommandRow(Row, table=True):
    __tablename__ = "commands"
    origin: str = text_column(index=False)
    source: str = text_column()
    target: str = text_column()


class VerdictRow(Row, table=True):
    __tablename__ = "verdicts"
    command: str = text_column()
    judgement: str = text_column()


class ActionRow(Row, table=True):
    __tablename__ = "actions"
    revision: int = number_column()
    state: str = text_column()
    target: str = text_column()
    finding: str | None = Field(default=None, sa_type=Text, index=True)


class SignatureRow(Row, table=True):
    __tablename__ = "signatures"
    action: str = text_column()
    step: str = text_column(index=False)


class ReceiptRow(Row, table=True):
    __tablename__ = "receipts"
    action: str = text_column()


class OutageRow(Row, table=True):
    __tablename__ = "outages"
    process: str = text_column()


class TallyRow(Row, table=True):
    __tablename__ = "tallies"
    source: str = text_column()


class ExcerptRow(Row, table=True):
    __tablename__ = "excerpts"
    kind: str = text_column(index=False)
    of: str | None = Field(default=None, sa_type=Text, index=True)


class SnapshotRow(Row, table=True):
    __tablename__ = "snapshots"


class PlanRow(Row, table=True):
    __tablename__ = "plans"
    kind: str = text_column()


class CredentialRow(Row, table=True):
    __tablename__ = "credentials"
    name: str = text_column()
    public_key: str = text_column()
    revoked: int = number_column(index=False)  # 0 or 1


class InvitationRow(Row, table=True):
    __tablename__ = "invitations"


class AuditRow(SQLModel, table=True):
    """``record`` is the canonical JSON that ``hash`` covers together with ``previous``."""

    __tablename__ = "audit"
    __table_args__ = {"sqlite_strict": True}

    sequence: int = Field(sa_type=Integer, primary_key=True)
    at: int = Field(sa_type=Integer, index=True)
    actor: str = Field(sa_type=Text)
    action: str = Field(sa_type=Text)
    record: str = Field(sa_type=Text)
    previous: str = Field(sa_type=Text)
    hash: str = Field(sa_type=Text)


class CounterRow(SQLModel, table=True):
    __tablename__ = "counters"
    __table_args__ = {"sqlite_strict": True}

    name: str = Field(sa_type=Text, primary_key=True)
    value: int = Field(sa_type=Integer)
