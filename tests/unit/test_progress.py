import io
import sys

import pytest

from sentinel.clock import ManualClock
from sentinel.errors import InputError
from sentinel.progress import Patience


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_says_how_it_goes_on_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, clock = Terminal(), ManualClock()
    monkeypatch.setattr(sys, "stderr", screen)
    patience = Patience(10.0, clock)
    patience.pause(0)
    assert screen.getvalue() == ""
    clock.advance(5.0)
    patience.pause(7)
    patience.pause(8)  # not every time: once a second
    assert screen.getvalue() == "\rsearching: 7 rollouts, 5 s of at most 10 s"
    clock.advance(5.1)
    with pytest.raises(InputError, match="no result within 10 s, after 9 rollouts"):
        patience.pause(9)
    patience.done()
    assert screen.getvalue().endswith("\n")
