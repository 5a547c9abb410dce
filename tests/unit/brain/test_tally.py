from sentinel.brain.tally import added, grown
from sentinel.model.observation import Counters


def test_what_a_sensor_counted_since() -> None:
    first, then = Counters(accepted=10, refused=1, dropped=2), Counters(accepted=25, refused=1, dropped=5, failed=1)
    assert grown(first, then) == Counters(accepted=15, dropped=3, failed=1)
    assert added(grown(Counters(), first), grown(first, then)) == then
    assert grown(then, Counters(accepted=3, dropped=1)) == Counters(accepted=3, dropped=1)  # it began anew
