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
        self.turns = Turns(owners, lambda: self.now)
        self.waiting: list[tuple[str, Asker, float]] = []
        self.at_work: dict[str, Asker] = {}

    def ask(self, name: str, who: Asker) -> None:
        self.waiting.append((name, who, self.now))

    def begin(self) -> list[str]:
        """Begin what may be begun, and return it."""
        begun = []
        while name := self.turns.next(self.waiting, list(self.at_work.items()), self.most):
            self.at_work[name] = next(who for other, who, _ in self.waiting if other == name)
            self.waiting = [one for one in self.waiting if one[0] != name]
            begun.append(name)
        self.turns.next(self.waiting, list(self.at_work.items()), self.most)
        return begun

    def end(self, name: str, seconds: float) -> list[str]:
        """End something after so many seconds, and return what is begun then."""
        self.now += seconds
        del self.at_work[name]
        return self.begin() if self.waiting else []  # else nobody looks


def test_one_who_asks_for_much_waits_for_that_and_in_its_order() -> None:
    queue, a, b = Queue(), Asker("a"), Asker("b")
    for number in range(8):
        queue.ask(f"a{number}", a)
    assert queue.begin() == ["a0"]
    queue.ask("b0", b)
    assert queue.begin() == ["b0"]
    assert queue.end("b0", 1) == []
    assert [queue.end(f"a{number}", 1) for number in range(7)] == [[f"a{n}"] for n in range(1, 8)]


def test_of_several_who_ask_for_much_the_one_who_had_least_comes_first() -> None:
    queue = Queue(most=1)
    for number in range(3):
        queue.ask(f"a{number}", Asker("a"))
    assert queue.begin() == ["a0"]
    queue.now += 1
    queue.ask("b0", Asker("b"))
    assert queue.end("a0", 1) == ["b0"]
    assert queue.end("b0", 5) == ["a1"]


def test_made_up_visitors_of_one_address_leave_the_next_place_to_others() -> None:
    queue = Queue(most=1)
    for number in range(4):
        queue.ask(f"a{number}", Asker(f"a{number}", "1.2.3.4"))
    assert queue.begin() == ["a0"]
    queue.now += 1
    queue.ask("b0", Asker("b", "5.6.7.8"))
    assert queue.end("a0", 1) == ["b0"]


def test_the_owner_waits_for_no_visitor_and_all_owners_are_one() -> None:
    queue = Queue(most=1)
    queue.ask("a0", Asker("a"))
    queue.ask("b0", Asker("b"))
    assert queue.begin() == ["a0"]
    queue.ask("mine", OWNER)
    queue.ask("at another computer", Asker("boss's phone", owner=True))
    assert queue.begin() == ["mine"]
    assert queue.end("a0", 1) == ["b0"]
    assert queue.end("mine", 1) == ["at another computer"]


def test_who_gives_the_password_meanwhile_waits_for_what_they_asked_before() -> None:
    queue = Queue()
    queue.ask("before", Asker("a"))
    queue.ask("after", Asker("a", owner=True))
    assert queue.begin() == ["before"]
    assert queue.end("before", 1) == ["after"]


def test_who_has_nothing_here_any_more_begins_anew() -> None:
    queue = Queue(most=1)
    queue.ask("a0", Asker("a"))
    assert queue.begin() == ["a0"]
    assert queue.end("a0", 100) == []
    queue.ask("a1", Asker("a"))
    queue.now += 1
    queue.ask("b0", Asker("b"))
    assert queue.begin() == ["a1"]


def test_neither_one_visitor_nor_all_fill_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MAX_QUEUE", 3)
    a, b, c = map(Asker, "abc")
    assert [is_too_much(who, [a, a], 2) for who in (a, b, OWNER)] == [True, False, False]
    assert [is_too_much(who, [a, a, b], 2) for who in (c, OWNER)] == [True, False]
    assert is_too_much(OWNER, [OWNER] * 3, 2)


def test_of_what_bears_it_the_owner_has_more_at_work_and_a_visitor_has_not() -> None:
    queue = Queue(most=2, owners=2)
    for number in range(3):
        queue.ask(f"mine{number}", OWNER)
        queue.ask(f"a{number}", Asker("a"))
    assert sorted(queue.begin()) == ["a0", "mine0", "mine1"]
    assert queue.end("mine0", 1) == ["mine2"]
    assert queue.end("a0", 1) == ["a1"]
