"""keep: the only door to the database.  In and out: values of the vocabulary; nobody else sees a row, a session or a statement."""

from sentinel.records.audit_log import AuditLog, ChainCheck
from sentinel.records.records import Page, Records
from sentinel.records.statements import Change

__all__ = ["AuditLog", "ChainCheck", "Change", "Page", "Records"]
