"""What weighs how much."""

from sandbox.drift import Trend
from sandbox.intent import Evidence, gather, harm_percentile, weigh
from sandbox.protocol import Context, Step
from sandbox.replay import Replay, at_once
from sentinel.model.ids import AssetId
from sentinel.model.verdict import Intent
from sentinel.twin.snapshot import Deviation, Snapshot
from tests.unit.sandbox.conftest import NOW, command


def test_harm_alone_is_a_mistake_and_nothing_is_one_too() -> None:
    assert weigh(()) is Intent.MISTAKE
    assert weigh((Evidence(says="", weight=1, is_deliberate=False),)) is Intent.MISTAKE
    assert weigh((Evidence(says="", weight=2),)) is Intent.UNKNOWN
    assert weigh((Evidence(says="", weight=2), Evidence(says="", weight=1, is_deliberate=False))) is Intent.TARGETED


def test_every_piece_is_a_sentence() -> None:
    other = Step(seen=NOW, source=AssetId("10.0.0.20"), tag="LIC101.SP", value=1.2, applied=True)
    trend = Trend(tag="LIC101.SP", first=1.2, value=1.4, moves=4, ahead=1.6, led="as many again")
    spoofed = Deviation(tag="LT101", distance=7.2, why="7.2 standard deviations from the forecast")
    context = Context(steps=(other,), source_is_new=True, source_scanned=True, source_days_without=12)
    says = [piece.says for piece in gather(command({"LIC101.SP": 1.4}), context, (), (trend,), (spoofed,), 0.97)]
    assert says == [
        "4 writes have moved LIC101.SP in one direction, from 1.2 to 1.4",
        "10.0.0.66 has never written before",
        "10.0.0.66 has looked around in the network before",
        "10.0.0.66 has written for 12 days, and never at this time of day",
        "these tags were written by 10.0.0.20 so far, never by 10.0.0.66",
        "readings contradict the plant where it moves it: LT101 (7.2 standard deviations from the forecast)",
        "it leads to more harm than 97 % of random values of the same tags",
    ]


def test_the_worst_value_is_found_to_be_the_worst(snapshot: Snapshot, replay: Replay) -> None:
    def percentile(value: float) -> float | None:
        run = replay.run(snapshot, {"SIC301.SP": value})
        return at_once(harm_percentile(replay, snapshot, {}, {"SIC301.SP": value}, run, seed=1))

    assert percentile(12000.0) == 1.0
    assert percentile(6000.0) != 1.0
    run = replay.run(snapshot, {"P301.RUN": 0.0})
    assert at_once(harm_percentile(replay, snapshot, {}, {"P301.RUN": 0.0}, run, seed=1)) is None
