import pytest

from sentinel.baseline.lifecycle import TRANSITIONS, BaselineEvent, BaselineState, after_event


@pytest.mark.parametrize("state", list(BaselineState))
@pytest.mark.parametrize("event", list(BaselineEvent))
def test_every_event_moves_or_is_refused(state: BaselineState, event: BaselineEvent) -> None:
    if event in TRANSITIONS[state]:
        assert after_event(state, event) is TRANSITIONS[state][event]
    else:
        with pytest.raises(ValueError, match=f"{state} cannot {event}"):
            after_event(state, event)


def test_learning_is_left_and_drift_is_reviewed() -> None:
    state = BaselineState.LEARNING
    for event in (BaselineEvent.ACTIVATE, BaselineEvent.DRIFT, BaselineEvent.REVIEW, BaselineEvent.RELEARN):
        state = after_event(state, event)
    assert state is BaselineState.LEARNING
