"""What is done on a page counts in the order in which it was done, however its requests come."""

import copy
import itertools
import threading
from collections.abc import Callable

import pytest

from retrieval.errors import LookalikeError
from retrieval.pages.asking import PLAIN, Asked, Options, Part
from retrieval.pages.conversation import MOST_STEPS, Conversation, Step, unchanged
from retrieval.query import Filters

FEW, MANY = Options(count=12), Options(count=48)


def named(name: str) -> Part:
    return Part(name, placed=(name, 1))


def only(name: str, number: int | None = None, options: Options | None = PLAIN) -> Step:
    return Step(lambda asked: asked.only(named(name)), options, number, anew=True)


def more(name: str, number: int | None = None, options: Options | None = PLAIN) -> Step:
    return Step(lambda asked: asked.adding(named(name)), options, number)


def options_alone(options: Options | None, number: int | None = None) -> Step:
    return Step(unchanged, options, number)


def stands(*steps: Step) -> tuple[list[str], Options]:
    conversation = Conversation()
    for step in steps:
        with conversation.doing(step):
            pass
    return [part.name for part in conversation.asked.parts], conversation.options


@pytest.mark.parametrize(
    ("makes", "expected"),
    [
        ([lambda n: options_alone(FEW, n), lambda n: only("cat", n, FEW)], (["cat"], FEW)),
        ([lambda n: only("upload", n), lambda n: options_alone(MANY, n)], (["upload"], MANY)),
        (
            [
                lambda n: only("upload", n),
                lambda n: more("cat", n),
                lambda n: options_alone(FEW, n),
            ],
            (["upload", "cat"], FEW),
        ),
        ([lambda n: only("cat", n, FEW), lambda n: only("dog", n, MANY)], (["dog"], MANY)),
        (
            [
                lambda n: options_alone(FEW, n),
                lambda n: only("back", n, MANY),
                lambda n: only("cat", n, None),
            ],
            (["cat"], MANY),
        ),
    ],
    ids=[
        "a filter, then a tile",
        "an upload, then a number",
        "an upload, more like a tile, and a number",
        "two tiles",
        "back, then a tile before the controls show it",
    ],
)
def test_what_was_done_last_counts_and_nothing_before_it_is_lost(
    makes: list[Callable[[int], Step]], expected: tuple[list[str], Options]
) -> None:
    steps = [make(number) for number, make in enumerate(makes, start=1)]
    for order in itertools.permutations(steps):
        assert stands(*order) == expected


def test_a_step_without_a_number_comes_last() -> None:
    assert stands(only("cat", 7), only("dog"), more("bird")) == (["dog", "bird"], PLAIN)


def test_what_cannot_be_done_or_answered_has_not_been_done() -> None:
    conversation = Conversation()
    with conversation.doing(only("cat", 1, FEW)):
        pass

    def fail(asked: Asked) -> Asked:
        raise LookalikeError("gone")

    with pytest.raises(LookalikeError), conversation.doing(Step(fail, MANY, 2)):
        pass
    with pytest.raises(LookalikeError, match="no answer"), conversation.doing(only("dog", 3)):
        raise LookalikeError("no answer")
    assert [part.name for part in conversation.asked.parts] == ["cat"]
    assert conversation.options == FEW


def test_a_later_step_that_a_late_one_makes_impossible_is_left_out() -> None:
    def remove_dog(asked: Asked) -> Asked:
        if "dog" not in [part.name for part in asked.parts]:
            raise LookalikeError("gone")
        return asked.emptied()

    late = only("upload", 2)
    assert stands(only("dog", 1), Step(remove_dog, FEW, 3), late) == (["upload"], FEW)


def test_only_so_many_steps_are_kept() -> None:
    conversation = Conversation()
    for number in range(1, 3 * MOST_STEPS):
        with conversation.doing(more(f"picture {number}", number)):
            pass
    with conversation.doing(only("late", 1)) as (asked, _):
        assert len(asked.parts) == 3 * MOST_STEPS - 1  # too late to be put in its place
    assert len(conversation._standings) == MOST_STEPS


def test_options_that_are_moved_while_an_upload_is_on_its_way_do_not_push_it_out() -> None:
    numbers = range(3, 3 + 3 * MOST_STEPS)
    moved = [options_alone(Options(count=number), number) for number in numbers]
    late, last = only("upload", 2), moved[-1].options
    assert stands(only("cat", 1), *moved, late) == (["upload"], last)
    assert stands(only("cat", 1), *reversed(moved), late) == (["upload"], last)
    # What came between two of them, late as it is, finds its place there.
    assert stands(*moved[:1], *moved[2:], more("dog", 4)) == (["dog"], last)


def test_each_page_has_one_of_its_own() -> None:
    first = Conversation()
    with first.doing(only("cat", 1, Options(filters=Filters(label="pets")))):
        pass
    other = copy.deepcopy(first)
    assert other.asked == Asked()
    assert other.options == PLAIN


def test_what_is_done_while_an_answer_is_made_waits_for_it() -> None:
    conversation, seen = Conversation(), []

    def look() -> None:
        with conversation.doing() as (asked, _):
            seen.append([part.name for part in asked.parts])

    other = threading.Thread(target=look)
    with conversation.doing(only("cat")):
        other.start()
        other.join(0.05)
        assert seen == []
    other.join()
    assert seen == [["cat"]]
