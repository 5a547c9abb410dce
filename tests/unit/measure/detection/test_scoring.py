"""The scoring benchmark on small streams: what it feeds is what it counts, and every layer has something to look at."""

from sentinel.measure.detection import scoring


def test_a_small_stream_of_messages_is_judged_whole() -> None:
    figures = scoring.pdus(8)
    exchanges = 8 * scoring.SCORE_S * 1000 // scoring.PERIOD_MS
    assert 2 * exchanges * 0.9 <= figures["pdus"] <= 2 * exchanges * 1.2
    assert figures["pdus_per_s"] > 0
    assert figures["pdus_window_ms"] > 0


def test_a_candidate_learns_beside_where_it_is_asked_for() -> None:
    assert scoring.pdus(8, beside=True)["pdus"] == scoring.pdus(8)["pdus"]
    assert scoring._learnt_values(2, beside=True)[0].candidate is not None
    assert scoring._learnt_values(2)[0].candidate is None


def test_the_process_layers_see_the_values() -> None:
    analysis, stream = scoring._learnt_values(16)
    states = analysis.baseline().detectors
    assert states["residual"]["tags"], "a model of the process was learnt"
    assert len(states["limits"]["read_tags"]) == 16
    readings = stream(scoring.READINGS_LEARN_S, 5)
    assert len(readings) == 80
    assert (readings.seen >= scoring.START + scoring.READINGS_LEARN_S * scoring.NS_PER_S).all()
