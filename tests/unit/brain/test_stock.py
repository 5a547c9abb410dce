"""Who counts as new, and who has scanned."""

from dataclasses import replace

from sentinel.brain.recollection import Recollection
from sentinel.brain.stock import Stock
from sentinel.model.ids import AssetId
from sentinel.model.time import Instant
from sentinel.pipeline import Analysis
from sentinel.respond.interlock import Rules
from tests.observations import MASTER, PLC, STRANGER, at, heard, request


def test_whoever_came_after_learning_is_new_and_the_interlock_knows_when_it_ended() -> None:
    stock, analysis = Stock(Recollection(), Rules()), Analysis()
    analysis.heard(heard(30, [request(1.0), request(20.0, client=STRANGER)]))
    stock.take(analysis)
    assert not stock.is_new(AssetId(STRANGER))  # nobody is while learning
    stock.learnt_until = Instant(at(10))
    assert [stock.is_new(AssetId(one)) for one in (MASTER, PLC, STRANGER, "10.0.0.99")] == [False, False, True, True]
    assert stock.rules() == replace(Rules(), learnt_until=Instant(at(10)))
