"""keep what the plant showed: tag values and twin states in bounded columns on disk, readable while they are written.

A directory holds one journal that grows, ``NUMBER.journal``, and sealed segments, ``FIRST-LAST-NUMBER.parquet``.  What was acknowledged is
in one of them.  A file that is torn is set aside as ``*.torn`` and said.
"""

from sentinel.history.query import Found, Summary, read, summarise
from sentinel.history.writer import Bounds, History

__all__ = ["Bounds", "Found", "History", "Summary", "read", "summarise"]
