"""Collections that are built in turns."""

import threading
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest

from retrieval.building import Builders, Building, Turns
from retrieval.collection import Collection
from retrieval.indexing import Step
from retrieval.pages.results_markup import building
from tests.made import Clock, mean_colour


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


def test_what_is_asked_for_meanwhile_is_told_as_what_it_is(tmp_path: Path) -> None:
    gate, builders = threading.Event(), Builders()

    def work(waits: bool = False) -> Generator[Step, None, None]:
        if waits:
            gate.wait(20)
        yield Step(1, 1, 1, 0)

    def ended() -> Building:
        gate.set()
        while not (state := builders.state("k")) or not state.finished:
            time.sleep(0.01)
        return state

    with Collection.create(tmp_path / "k", "k", None, mean_colour()) as collection:
        for asked, returning in (((3,), 3), ((3, 0), 0), ((0, 3), 0)):
            gate.clear()
            builders.start("k", collection, partial(work, waits=True))
            for number in asked:
                builders.start("k", collection, work, returning=number)
            assert ended().returning == returning
        builders.stop()


@pytest.mark.parametrize(
    ("returning", "unreadable", "told"), [(5, 0, False), (4, 0, True), (5, 1, True), (0, 0, True)]
)
def test_only_what_was_there_before_is_no_news(returning: int, unreadable: int, told: bool) -> None:
    step = Step(5, 5, 5 - unreadable, unreadable)
    state = Building(step, ended=100.0, returning=returning)
    assert bool(building(state, "Sea", 101.0)) == told
