"""Collections that are built in turns."""

import threading
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest

from retrieval.building import LATELY, Builders, Building, Pace, Turns
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


def test_what_was_stopped_is_counted_on_from_where_it_stood(tmp_path: Path) -> None:
    builders, stood = Builders(), threading.Event()

    def work(done: int, total: int) -> Generator[Step, None, None]:
        yield Step(done, total, done, 0)
        if done < total:
            stood.set()
            while not (state := builders.state("k")) or not state.stopping:
                time.sleep(0.01)
            yield Step(done, total, done, 0)

    def run(done: int, total: int) -> Building:
        stood.clear()
        builders.start("k", collection, partial(work, done, total))
        if done < total:
            assert stood.wait(20)
            builders.cancel("k")
        while not (state := builders.state("k")) or not state.finished:
            time.sleep(0.01)
        return state

    with Collection.create(tmp_path / "k", "k", None, mean_colour()) as collection:
        states = [run(28, 217), run(40, 189), run(149, 149), run(3, 3)]
        builders.stop()
    assert [(one.done, one.total) for one in states] == [(28, 217), (68, 217), (217, 217), (3, 3)]


@pytest.mark.parametrize(
    ("returning", "unreadable", "told"), [(5, 0, False), (4, 0, True), (5, 1, True), (0, 0, True)]
)
def test_only_what_was_there_before_is_no_news(returning: int, unreadable: int, told: bool) -> None:
    step = Step(5, 5, 5 - unreadable, unreadable)
    state = Building(step, ended=100.0, returning=returning)
    assert bool(building(state, "Sea", 101.0)) == told


def test_pace_and_time_left_come_from_what_was_done() -> None:
    state = Building(Step(30, 60, 30, 0), since=(100.0, 10))
    assert state.rate(110.0) == pytest.approx(2.0)
    assert state.seconds_left(110.0) == pytest.approx(15.0)
    assert Building(Step(0, 50, 0, 0), since=(100.0, 0)).seconds_left(110.0) is None
    assert Building(Step(4, 50, 4, 0), since=(100.0, 0)).seconds_left(101.0) is None  # too early


def test_the_pace_is_that_of_late() -> None:
    clock, pace = Clock(), Pace()
    done = 0

    def left(seconds: float, more: int, times: int = 1) -> float | None:
        """Go on, and return how many seconds are said to be left of 10,000 pictures."""
        nonlocal done
        for _ in range(times):
            clock.now += seconds
            done += more
            since = pace.since(clock.now, done)
        return Building(Step(done, 10_000, done, 0), since=since).seconds_left(clock.now)

    pace.since(clock.now, 0)
    left(0.1, 100, times=40)  # known already: nothing to compute
    assert left(2, 8, times=12) == pytest.approx((10_000 - done) / 4)
    assert left(3600, 8) is None  # the computer slept
    assert left(2, 8, times=2) == pytest.approx((10_000 - done) / 4)
    assert left(2, 8, times=12) == pytest.approx((10_000 - done) / 4)
    assert left(3 * LATELY, 30) == pytest.approx((10_000 - done) / (30 / 3 / LATELY))
    assert left(3 * LATELY, 60) == pytest.approx((10_000 - done) / (60 / 3 / LATELY))
