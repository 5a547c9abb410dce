"""Where things lie on the box: every path of one appliance, derived from its settings file."""

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sentinel.errors import ConfigError
from sentinel.model.time import Instant
from sentinel.settings import Settings

ENFORCER = "enforcer"  # the name of its process


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    settings: Path
    directory: Path
    plant: Path
    given: Path | None = None  # the baseline that the settings name

    @classmethod
    def of(cls, settings: Settings, file: Path) -> Self:
        """Relative paths are relative to the settings file.  Raises ConfigError when a file that they name does not exist."""
        home = file.absolute().parent
        plant = home / settings.appliance.plant
        if settings.appliance.plant and not plant.is_file():
            raise ConfigError(str(file), f"appliance.plant: {plant} does not exist")
        given = home / settings.learning.baseline if settings.learning.baseline else None
        if given is not None and not given.is_file():
            raise ConfigError(str(file), f"learning.baseline: {given} does not exist")
        return cls(settings=file.absolute(), directory=home / settings.appliance.directory, plant=plant, given=given)

    @property
    def run(self) -> Path:
        """Sockets and the children's configuration."""
        return self.directory / "run"

    @property
    def records(self) -> Path:
        """The databases, the evidence, the audit log's anchor."""
        return self.directory / "records"

    @property
    def history(self) -> Path:
        """Journal and segments of what the tags showed."""
        return self.directory / "history"

    @property
    def recent(self) -> Path:
        """Recent packets, a directory for each sensor."""
        return self.directory / "recent"

    @property
    def logs(self) -> Path:
        return self.directory / "log"

    @property
    def authority(self) -> Path:
        return self.directory / "authority"

    @property
    def intake(self) -> Path:
        return self.run / "intake.sock"

    @property
    def court(self) -> Path:
        return self.run / "court.sock"

    @property
    def wire(self) -> Path:
        return self.run / "wire.sock"

    @property
    def enforcer(self) -> Path:
        return self.run / "enforcer.sock"

    def make(self) -> None:
        for place in (self.directory, self.run, self.logs):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[Instant | None]:
        """One appliance per directory.  Raises ConfigError while another one runs in it; the kernel lets go of the claim of a dead one.

        Yields when the one before was last alive, if it ended without being asked to: only who is asked empties the claim.
        """
        with (self.run / "claim").open("a+", encoding="ascii") as claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigError(str(self.directory), "an appliance runs already in this directory") from error
            claim.seek(0)
            killed = bool(claim.read())
            last_sign = max((path.stat().st_mtime_ns for path in self.records.glob("*")), default=0)
            claim.truncate(0)
            claim.write("running\n")
            claim.flush()
            yield Instant(last_sign) if killed and last_sign else None
            claim.truncate(0)
