"""What a site sets: one TOML file, read once, refused as a whole when anything in it is not understood.

Every section is a frozen dataclass (`sections`), so that the sample cannot drift; `site` is the whole and what must fit together in it,
`file` how it is read and written.  A section in double brackets may stand several times: one process each.
"""

from sentinel.settings.file import parse, read, sample, write
from sentinel.settings.sections import (
    Api,
    Appliance,
    Capture,
    Court,
    Enforce,
    Gate,
    History,
    Learning,
    PollModbus,
    PollOpcua,
    Waveform,
)
from sentinel.settings.site import Settings

__all__ = [
    "Api",
    "Appliance",
    "Capture",
    "Court",
    "Enforce",
    "Gate",
    "History",
    "Learning",
    "PollModbus",
    "PollOpcua",
    "Settings",
    "Waveform",
    "parse",
    "read",
    "sample",
    "write",
]
