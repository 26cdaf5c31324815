"""Collections that are built in turns."""

from retrieval.building import Turns
from tests.made import Clock


def test_one_that_has_had_turns_is_not_kept_waiting_by_ever_new_ones() -> None:
    clock = Clock()
    turns = Turns(clock)
    for _ in range(5):
        assert turns.take("long", 0)
        clock.now += 1
        turns.give_back("long")
    new = 0
    assert turns.take(new, 0)
    while not turns.take("long", 0):
        assert new < 9, "it waits without end"
        assert not turns.take(new + 1, 0)  # stands in line before this one ends
        clock.now += 1
        turns.give_back(new)
        turns.forget(new)
        new += 1
        turns.take(new, 0)
    assert new >= 5  # which have had less than it
