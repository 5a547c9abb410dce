from sentinel.detect.writers import Writers
from sentinel.model.detection import Severity
from tests.observations import STRANGER, polling, window
from tests.unit.detect.test_limits import write


def test_a_first_writer_and_a_first_point_differ() -> None:
    writers = Writers()
    writers.learn(polling(0))
    writers.activate()
    (stranger,) = writers.score(window(9, commands=(write(9, "LIC101.SP", 1.0),)))
    assert (stranger.severity, stranger.cause) == (Severity.CRITICAL, f"actor:{STRANGER}")

    writers = Writers()
    writers.learn(window(0, commands=(write(0, "LIC101.SP", 1.0),)))
    writers.activate()
    assert writers.score(window(9, commands=(write(9, "LIC101.SP", 1.1),))) == []


def test_before_learning_nobody_is_new() -> None:
    assert Writers().score(window(9, commands=(write(9, "LIC101.SP", 1.0),))) == ()
