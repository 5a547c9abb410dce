"""permit: who is there, and may they.  Certificates and enrolment in `access`, the decision itself, pure, in `policy`."""

from sentinel.access.access import Access, Identity, Issued, Refusal
from sentinel.access.policy import Denial, Grant, Party, Permission, Request, Role, permit

__all__ = ["Access", "Denial", "Grant", "Identity", "Issued", "Party", "Permission", "Refusal", "Request", "Role", "permit"]
