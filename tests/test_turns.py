"""Turns: whose uploads are taken next, so that nobody waits for all that another one asks for."""

import pytest

from retrieval import settings
from retrieval.pages.turns import Asker, Turns, is_too_much

OWNER = Asker("boss", owner=True)


class Queue:
    """What waits and what is at work; time goes on by hand."""

    def __init__(self, most: int = 2, owners: int = 1) -> None:
        self.now = 0.0
        self.most = most
        self.turns = Turns(owners, clock=lambda: self.now)
        self.waiting: list[tuple[str, Asker, float]] = []
        self.at_work: dict[str, Asker] = {}

    def ask(self, who: Asker, *names: str) -> list[str]:
        """Ask for something, and return what is begun."""
        self.waiting += [(name, who, self.now) for name in names]
        return self._begin()

    def end(self, name: str, seconds: float) -> list[str]:
        """End something after so many seconds, and return what is begun then."""
        self.now += seconds
        del self.at_work[name]
        return self._begin()

    def _begin(self) -> list[str]:
        begun = []
        while name := self.turns.next(self.waiting, list(self.at_work.items()), self.most):
            self.at_work[name] = next(who for other, who, _ in self.waiting if other == name)
            self.waiting = [one for one in self.waiting if one[0] != name]
            begun.append(name)
        return begun


def test_one_who_asks_for_much_waits_for_that_and_in_its_order() -> None:
    queue = Queue()
    assert queue.ask(Asker("a"), *(f"a{number}" for number in range(8))) == ["a0"]
    assert queue.ask(Asker("b"), "b0") == ["b0"]
    assert queue.end("b0", 1) == []
    assert [queue.end(f"a{number}", 1) for number in range(7)] == [[f"a{n}"] for n in range(1, 8)]


def test_of_several_who_ask_for_much_the_one_who_had_least_comes_first() -> None:
    queue = Queue(most=1)
    assert queue.ask(Asker("a"), "a0", "a1", "a2") == ["a0"]
    queue.now += 1
    assert queue.ask(Asker("b"), "b0", "b1") == []
    assert queue.end("a0", 1) == ["b0"]
    assert queue.end("b0", 0.5) == ["b1"]
    assert queue.end("b1", 5) == ["a1"]


def test_made_up_visitors_of_one_group_leave_the_next_place_to_others() -> None:
    queue = Queue(most=1)
    for number in range(4):
        queue.ask(Asker(f"a{number}", "1.2.3.4"), f"a{number}")
    queue.now += 1
    queue.ask(Asker("b", "5.6.7.8"), "b0")
    assert queue.end("a0", 1) == ["b0"]
    queue.ask(Asker("c"), "c0")
    assert [queue.end("b0", 1), queue.end("c0", 1)] == [["c0"], ["a1"]]


def test_the_owner_waits_for_no_visitor_and_all_owners_are_one() -> None:
    queue = Queue(most=1)
    assert queue.ask(Asker("a"), "a0") == ["a0"]
    assert queue.ask(Asker("b"), "b0") == []
    assert queue.ask(OWNER, "mine") == ["mine"]
    assert queue.ask(Asker("boss's phone", owner=True), "at another computer") == []
    assert queue.end("a0", 1) == ["b0"]
    assert queue.end("mine", 1) == ["at another computer"]


def test_who_gives_the_password_meanwhile_waits_for_what_they_asked_before() -> None:
    queue = Queue()
    assert queue.ask(Asker("a"), "before") == ["before"]
    assert queue.ask(Asker("a", owner=True), "after") == []
    assert queue.end("before", 1) == ["after"]


def test_who_has_nothing_here_any_more_begins_anew() -> None:
    queue = Queue(most=1)
    queue.ask(Asker("a"), "a0")
    queue.ask(Asker("b"), "b0", "b1")
    assert queue.end("a0", 4) == ["b0"]
    assert queue.ask(Asker("a"), "a1") == []
    assert queue.end("b0", 1) == ["b1"]  # which is still behind
    assert queue.end("b1", 4) == ["a1"]


@pytest.mark.parametrize("group", ["1.2.3.4", ""])
@pytest.mark.parametrize("places", [1, 2])
def test_what_many_have_had_all_day_shuts_out_neither_them_nor_others(
    places: int, group: str
) -> None:
    queue, asked = Queue(most=places), 0

    def work(seconds: float) -> list[str]:
        """End what has been at work for longest; who had it asks for something again."""
        nonlocal asked
        name, who = next(iter(queue.at_work.items()))
        begun = queue.end(name, seconds / places)
        asked += 1
        return begun + queue.ask(who, f"{name[0]}{asked}")

    for number in range(6):
        queue.ask(Asker(f"pupil {number}", group), f"p in the morning {number}")
    for _ in range(2_000):
        work(0.5)
    queue.ask(Asker("b", "5.6.7.8"), "b in the afternoon")
    begun = "".join(name[0] for _ in range(100) for name in work(0.5))
    # Where the pupils count as one, b has a third or more: of two, who have to ask again each time.
    assert begun.count("b") >= (30 if group else 10)
    assert begun.count("p") >= 30
    assert max(map(len, begun.split("b"))) <= 14
    assert max(map(len, begun.split("p"))) <= 14


def test_those_who_go_on_coming_keep_nobody_waiting_without_end() -> None:
    queue = Queue(most=1)
    queue.ask(Asker("a"), "a0", "a1")
    queue.ask(Asker("visitor 0"), "v0")
    at_work = "a0"
    for number in range(1, 40):
        [at_work] = queue.end(at_work, 1)
        if at_work == "a1":
            break
        queue.ask(Asker(f"visitor {number}"), f"v{number}")
    assert at_work == "a1"


def test_those_who_may_be_one_leave_some_room_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MAX_QUEUE", 4)
    school = [Asker(visitor, "1.2.3.4") for visitor in "abcd"]
    assert not is_too_much(school[2], school[:2], 2)
    assert is_too_much(school[3], school[:3], 2)
    assert not is_too_much(Asker("e", "5.6.7.8"), school[:3], 2)
    assert not is_too_much(Asker("e"), [Asker("f"), Asker("g"), Asker("h")], 2)


def test_neither_one_visitor_nor_all_fill_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MAX_QUEUE", 3)
    a, b, c = map(Asker, "abc")
    assert [is_too_much(who, [a, a], 2) for who in (a, b, OWNER)] == [True, False, False]
    assert [is_too_much(who, [a, a, b], 2) for who in (c, OWNER)] == [True, False]
    assert is_too_much(OWNER, [OWNER] * 3, 2)


def test_of_what_bears_it_the_owner_has_more_at_work_and_a_visitor_has_not() -> None:
    queue = Queue(most=2, owners=2)
    assert queue.ask(OWNER, "mine0", "mine1", "mine2") == ["mine0", "mine1"]
    assert queue.ask(Asker("a"), "a0", "a1", "a2") == ["a0"]
    assert queue.end("mine0", 1) == ["mine2"]
    assert queue.end("a0", 1) == ["a1"]
