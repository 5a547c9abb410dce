"""Commands: seen, held or proposed."""

from fastapi import APIRouter

from sentinel.access import Permission
from sentinel.api.shape import Cursor, Filter, Key, Limit, PageOf, State, found, needs
from sentinel.model.command import Command

router = APIRouter(tags=["commands"])


@router.get("/commands")
@needs(Permission.COMMANDS_READ)
def list_commands(state: State, source: Filter = None, target: Filter = None, limit: Limit = 100, cursor: Cursor = None) -> PageOf[Command]:
    return PageOf.of(state.records.page(Command, limit=limit, cursor=cursor, where={"source": source, "target": target}))


@router.get("/commands/{command}")
@needs(Permission.COMMANDS_READ)
def one_command(state: State, command: Key) -> Command:
    return found(state.records.find(Command, command), f"command {command}")
