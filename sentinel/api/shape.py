"""What all routes share: how a route declares its permission, how it reaches the state and the person, how lists are paged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict

from sentinel.access import Identity, Party, Permission
from sentinel.api.ports import ApiState
from sentinel.model.action import ActionKind
from sentinel.records import Page

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE = "sentinel_needs"


@dataclass(frozen=True, slots=True)
class About:
    """What the policy must know of the thing that is asked for."""

    kind: ActionKind | None = None
    requested_by: Party | None = None


Resolver = Callable[[ApiState, Mapping[str, str]], About]


@dataclass(frozen=True, slots=True)
class Need:
    permission: Permission
    about: Resolver | None = None  # from the path's parameters; raises LookupError where there is no such thing


def needs(permission: Permission, about: Resolver | None = None) -> Callable[[F], F]:
    """Declare an endpoint's permission.  An endpoint without it is reached by nobody."""

    def declare(endpoint: F) -> F:
        setattr(endpoint, _ATTRIBUTE, Need(permission, about))
        return endpoint

    return declare


def need_of(route: Any) -> Need | None:
    need = getattr(getattr(route, "endpoint", None), _ATTRIBUTE, None)
    return need if isinstance(need, Need) else None


async def _state(request: Request) -> ApiState:
    state: ApiState = request.app.state.api
    return state


async def _identity(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


State = Annotated[ApiState, Depends(_state)]
Who = Annotated[Identity, Depends(_identity)]
Limit = Annotated[int, Query(ge=1, le=1000, description="items per page")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next` of the page before")]
Filter = Annotated[str | None, Query(max_length=256)]
Key = Annotated[str, Path(max_length=256)]


class PageOf(BaseModel, Generic[T]):
    """Newest first; ``next`` is the cursor of the following page."""

    items: list[T]
    next: str | None = None

    @classmethod
    def of(cls, page: Page[T]) -> "PageOf[T]":
        return cls.model_construct(items=list(page.items), next=page.next)


class Body(BaseModel):
    """A posted object: what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", str_max_length=2000, allow_inf_nan=False)


def found(value: T | None, what: str) -> T:
    """Raises LookupError, which becomes a 404."""
    if value is None:
        raise LookupError(f"there is no {what}")
    return value
