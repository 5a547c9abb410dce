"""The life of a baseline.  Learning never resumes by itself: what was learnt stays the anchor until a person asks for a new one."""

from enum import StrEnum


class BaselineState(StrEnum):
    LEARNING = "learning"  # windows are learnt, nothing learnt is judged
    ACTIVE = "active"  # windows are judged, nothing is learnt
    DRIFTING = "drifting"  # active, but so much small news came that a person should look


class BaselineEvent(StrEnum):
    ACTIVATE = "activate"
    DRIFT = "drift"
    REVIEW = "review"  # a person looked and keeps the baseline
    RELEARN = "relearn"


TRANSITIONS: dict[BaselineState, dict[BaselineEvent, BaselineState]] = {
    BaselineState.LEARNING: {BaselineEvent.ACTIVATE: BaselineState.ACTIVE},
    BaselineState.ACTIVE: {BaselineEvent.DRIFT: BaselineState.DRIFTING, BaselineEvent.RELEARN: BaselineState.LEARNING},
    BaselineState.DRIFTING: {BaselineEvent.REVIEW: BaselineState.ACTIVE, BaselineEvent.RELEARN: BaselineState.LEARNING},
}


def after_event(state: BaselineState, event: BaselineEvent) -> BaselineState:
    """The next state; raises ValueError when the event means nothing in this state."""
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise ValueError(f"a baseline that is {state} cannot {event}")
    return following
