"""Where things lie on the box: every path of one appliance, derived from its settings file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sentinel.errors import ConfigError
from sentinel.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    settings: Path
    directory: Path
    plant: Path

    @classmethod
    def of(cls, settings: Settings, file: Path) -> Self:
        """Relative paths are relative to the settings file.  Raises ConfigError when the plant file does not exist."""
        home = file.absolute().parent
        plant = home / settings.appliance.plant
        if settings.appliance.plant and not plant.is_file():
            raise ConfigError(str(file), f"appliance.plant: {plant} does not exist")
        return cls(settings=file.absolute(), directory=home / settings.appliance.directory, plant=plant)

    @property
    def run(self) -> Path:
        """Sockets and the children's configuration."""
        return self.directory / "run"

    @property
    def records(self) -> Path:
        """The databases, the evidence, the audit log's anchor."""
        return self.directory / "records"

    @property
    def logs(self) -> Path:
        return self.directory / "log"

    @property
    def authority(self) -> Path:
        return self.directory / "authority"

    @property
    def baseline(self) -> Path:
        return self.directory / "baseline.npz"

    @property
    def intake(self) -> Path:
        return self.run / "intake.sock"

    @property
    def court(self) -> Path:
        return self.run / "court.sock"

    @property
    def enforcer(self) -> Path:
        return self.run / "enforcer.sock"

    def make(self) -> None:
        for place in (self.directory, self.run, self.logs):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
