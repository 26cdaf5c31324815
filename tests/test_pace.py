"""How often a visitor may ask."""

import pytest

from retrieval.pages.pace import Pace
from tests.made import Clock


def test_as_many_as_a_minute_allows_may_come_at_once_and_then_one_by_one() -> None:
    clock = Clock()
    pace = Pace(30, clock=clock)
    assert [pace.seconds_to_wait("a") for _ in range(30)] == [0.0] * 30
    assert pace.seconds_to_wait("a") == pytest.approx(2.0)
    assert pace.seconds_to_wait("b") == 0.0  # another visitor does not suffer
    clock.now += 2.0
    assert pace.seconds_to_wait("a") == 0.0
    assert pace.seconds_to_wait("a") > 0


def test_asking_all_the_same_does_not_make_the_wait_longer() -> None:
    clock = Clock()
    pace = Pace(60, clock=clock)
    for _ in range(200):
        pace.seconds_to_wait("a")
    clock.now += 1.01
    assert pace.seconds_to_wait("a") == 0.0


def test_the_memory_of_visitors_is_bounded() -> None:
    pace = Pace(1, most=5, clock=Clock())
    for visitor in range(100):
        assert pace.seconds_to_wait(str(visitor)) == 0.0
    assert pace.seconds_to_wait("99") > 0
    assert pace.seconds_to_wait("1") == 0.0  # forgotten
