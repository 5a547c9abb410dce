"""Brings a database to the version of this code, or refuses it.

All pending versions run in one immediate transaction: a start that is killed half-way leaves the old version behind, whole.
"""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from sentinel.errors import ConfigError


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "sentinel.records:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def newest_version() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "the package carries its migrations"
    return head


def upgrade(engine: Engine, where: str, to: str = "head") -> None:
    """Raises ConfigError when the database is of a version that this code does not know."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    with engine.begin() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            problem = f"the database is of version {current}, newer than this code ({newest_version()}): install the newer release"
            raise ConfigError(where, problem)
        command.upgrade(_config(connection), to)
