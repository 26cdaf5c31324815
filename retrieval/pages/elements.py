"""Elements of Gradio that several pages use."""

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from itertools import count
from typing import Any

import gradio as gr

from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.shelf import Shelf


class Choice(gr.Dropdown):
    """Gradio's dropdown, except that the handler gets what was not offered, too, and sees to it.

    Gradio refuses it, and every click from then on: a collection that was deleted meanwhile, or
    anything at all once the server has forgotten what it had offered to a page.
    """

    is_template = True  # the browser's part is that of gr.Dropdown

    def preprocess(self, payload: Any) -> str | float | None:
        """Return the value, or None where none is chosen."""
        return payload if isinstance(payload, str | int | float) else None


class OneOf(gr.Radio):
    """Gradio's radio buttons, except that the handler gets what was not offered, too."""

    is_template = True  # the browser's part is that of gr.Radio

    def preprocess(self, payload: Any) -> str | float | None:
        """Return the value, or None where none is chosen."""
        return payload if isinstance(payload, str | int | float) else None


def make_place(name: str, js: str | None = None, value: str = "") -> gr.HTML:
    """Make a place for our own markup, with a script that Gradio runs when it is there."""
    return gr.HTML(value, elem_id=name, js_on_load=js, apply_default_css=False)


# Each refusal has another number, so that `gradio.js` knows of the same one that is told again.
_refusals = count(1)


def make_refusal_place(name: str) -> gr.HTML:
    """Make the place of what is wrong with the field right above it, which it is tied to."""
    return make_place(f"{name}-refusal")


def refusal(error: LookalikeError) -> str:
    """Say what is wrong with a field, in its place."""
    return f'<p class="lk-wrong" data-turn="{next(_refusals)}">{escape(str(error))}</p>'


@contextmanager
def told_by_a_page() -> Iterator[None]:
    """Refuse what only a program can have told with an event, in a sentence.

    Raises:
        gr.Error: for what cannot be understood.
    """
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise gr.Error(words.NO_REQUEST, duration=None, print_exception=False) from error


def number_of(told: Any) -> int:
    """Return the number that a page tells with an event.

    Raises:
        gr.Error: for what is none, or larger than the database has any.
    """
    with told_by_a_page():
        number = int(told)
        if not abs(number) < 2**63:
            raise OverflowError
        return number


def warn(error: LookalikeError) -> None:
    """Show a sentence in a corner of the page; it may quote a file's name, and a toast is HTML."""
    gr.Warning(escape(str(error)), duration=None)  # `gradio.js` closes it


def inform(text: str) -> None:
    """Show a sentence that warns of nothing there."""
    gr.Info(escape(text), duration=None)


def offer_collections(
    shelf: Shelf,
    choice: str | None,
    visitor: str,
    searched: str | None = None,
    followed: str | None = None,
) -> tuple[gr.Dropdown, str | None, str | None]:
    """Return the choice of one of the collections that a visitor sees, and what is chosen.

    That is the first one where `choice` is none of them, and None where there are none. Where it
    stays it is not set, so that another one that somebody chooses meanwhile stays chosen.

    Args:
        searched: the collection of the search. Another one than before is turned to.
        followed: the one before.

    Returns:
        The choice, what is chosen, and what is to be `followed` the next time.
    """
    names = shelf.names(visitor)
    wanted = choice
    if searched in names and searched != followed:
        wanted = followed = searched
    chosen = wanted if wanted in names else next(iter(names), None)
    offered = [(name, key) for key, name in names.items()]
    value: dict[str, Any] = {} if chosen == choice else {"value": chosen}
    return gr.Dropdown(offered, interactive=len(names) > 1, **value), chosen, followed
