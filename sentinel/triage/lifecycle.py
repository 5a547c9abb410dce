"""The life of a finding.  What a person closed never comes back to life: the same cause opens a new finding."""

from enum import StrEnum

from sentinel.model.finding import FindingState


class FindingEvent(StrEnum):
    ACKNOWLEDGE = "acknowledge"
    CONFIRM = "confirm"
    DISMISS = "dismiss"
    CLOSE = "close"
    REOPEN = "reopen"  # the person erred


TRANSITIONS: dict[FindingState, dict[FindingEvent, FindingState]] = {
    FindingState.OPEN: {
        FindingEvent.ACKNOWLEDGE: FindingState.ACKNOWLEDGED,
        FindingEvent.CONFIRM: FindingState.CONFIRMED,
        FindingEvent.DISMISS: FindingState.DISMISSED,
        FindingEvent.CLOSE: FindingState.CLOSED,
    },
    FindingState.ACKNOWLEDGED: {
        FindingEvent.CONFIRM: FindingState.CONFIRMED,
        FindingEvent.DISMISS: FindingState.DISMISSED,
        FindingEvent.CLOSE: FindingState.CLOSED,
    },
    FindingState.CONFIRMED: {FindingEvent.CLOSE: FindingState.CLOSED, FindingEvent.REOPEN: FindingState.OPEN},
    FindingState.DISMISSED: {FindingEvent.CLOSE: FindingState.CLOSED, FindingEvent.REOPEN: FindingState.OPEN},
    FindingState.CLOSED: {FindingEvent.REOPEN: FindingState.OPEN},
}
TAKES_NEWS = frozenset({FindingState.OPEN, FindingState.ACKNOWLEDGED, FindingState.CONFIRMED})


def after_event(state: FindingState, event: FindingEvent) -> FindingState:
    """The next state; raises ValueError when the event means nothing in this state."""
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise ValueError(f"a finding that is {state} cannot {event}")
    return following
