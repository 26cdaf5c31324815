"""Tabs that show what is worked out of one collection, in the background and once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import gradio as gr

from retrieval.background import Once
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.pages import markup, words
from retrieval.pages.elements import Choice, make_place, offer_collections
from retrieval.pages.sessions import visitor_of
from retrieval.workspace import Workspace

T = TypeVar("T")

POLL_SECONDS = 4.0  # with all pages opened, fewer asks than a visitor has (`pages/paces.py`)
PATIENCE = 1.0  # seconds; what somebody turns to and is quick comes without another word
LIGHT: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_limit": None,
}


@dataclass(frozen=True)
class Sentences:
    """What such a tab says as long as it has nothing to show."""

    none: str  # there is no collection, or there is no picture in it
    later: str  # its pictures are still being read
    title: str  # it is being worked out
    text: str  # the same, with {n} for the pictures and {time} for how long it takes
    failed: str  # a title; the sentence below it says why


class Turned:
    """Which collection a page has turned to last, for the answers about one before."""

    def __init__(self) -> None:
        self.key: str | None = None  # None as well where Gradio has forgotten the page
        self.kept: object = None  # of its result, by the tab, until the page turns to it again

    def __deepcopy__(self, memo: dict[int, Any]) -> "Turned":
        """Return a new one: Gradio copies the first for each page."""
        return Turned()


class WorkedOut(Generic[T]):
    """A choice of collections on the left, and on the right what is worked out of the chosen one.

    Args:
        name: of the tab's places, first in each: "map" makes "map-ask" and so on.
        seconds_for: about how long it takes for so many pictures.
        show: returns a result as HTML, given the key of the collection, the collection, the result,
            where in it to begin, and who asks.
        script: of the place of the result.
        keep: returns what is kept of a result for the page that shows it.
    """

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        sentences: Sentences,
        results: Once[T],
        seconds_for: Callable[[int], float],
        show: Callable[[str, Collection, T, int, gr.Request], str],
        script: str = "",
        keep: Callable[[T], object] = lambda _: None,
    ) -> None:
        self._workspace = workspace
        self._name = name
        self._sentences = sentences
        self._results = results
        self._seconds_for = seconds_for
        self._show = show
        self._script = script
        self._keep = keep

    def lay_out(
        self, tab: gr.Tab, searched: gr.Dropdown, above: str, below: str = ""
    ) -> tuple[list[Any], list[Any]]:
        """Lay out the tab around HTML above and below the choice, and wire it.

        Args:
            searched: the choice of the search, which this one follows when the tab is opened.

        Returns:
            What `on_tick` is told by the page, and what an answer is shown by: the place of the
            result, and a timer.
        """
        with gr.Row(elem_id=self._name):
            with gr.Column(elem_id=f"{self._name}-ask", min_width=280):
                make_place(f"{self._name}-lead", value=above)
                # What it offers depends on who looks, so it is filled when the tab is opened.
                # Until then it takes its room, or what is below it would jump.
                choice = Choice(
                    [],
                    label=words.COLLECTION,
                    interactive=False,
                    elem_id=f"{self._name}-collection",
                )
                if below:
                    make_place(f"{self._name}-help", value=below)
            with gr.Column(elem_id=f"{self._name}-answer", min_width=320):
                view = make_place(f"{self._name}-view", js=self._script)
        followed, turned = gr.State(""), gr.State(Turned())
        timer = gr.Timer(POLL_SECONDS, active=False)
        shown = [view, timer]
        # One event, so that the answers come in turn: one about an earlier choice would stand there
        # under the name of a later one.
        turns = [tab.select, choice.input]
        told = [choice, searched, followed, turned]
        opened = [choice, followed, turned, *shown]
        gr.on(turns, self.on_open, told, opened, trigger_mode="always_last", **LIGHT)
        stands = [choice, turned]
        timer.tick(self.on_tick, stands, shown, **LIGHT)
        return stands, shown

    # The handlers. They return what is shown, and whether to look again soon.

    def on_open(
        self,
        choice: str | None,
        searched: str | None,
        followed: str | None,
        turned: Turned,
        request: gr.Request,
    ) -> tuple[Any, ...]:
        """Offer the collections, and show the result of the chosen one."""
        offered, chosen, followed = offer_collections(
            self._workspace.shelf, choice, visitor_of(request), searched, followed
        )
        turned.key, turned.kept = chosen, None
        *shown, result = self.answer(chosen, request, opening=True)
        if turned.key == chosen:
            # What was there before may have been dealt with meanwhile: the answer to that stays.
            if turned.kept is not None:
                shown = [gr.skip(), gr.skip()]
            elif result is not None:
                turned.kept = self._keep(result)
        return (offered, followed, turned, *shown)

    def on_tick(
        self, choice: str | None, turned: Turned, request: gr.Request, start: int = 0
    ) -> tuple[Any, ...]:
        """Look whether it is there, without waiting, unless another has been chosen meanwhile.

        Args:
            start: where to begin showing it.
        """
        *shown, result = self.answer(choice, request, start=start)
        if turned.key not in (None, choice):
            return gr.skip(), gr.skip()
        if result is not None and turned.kept is None:
            turned.kept = self._keep(result)
        return tuple(shown)

    def answer(
        self, key: str | None, request: gr.Request, opening: bool = False, start: int = 0
    ) -> tuple[str, gr.Timer, T | None]:
        """Return the result as HTML, or a sentence; a timer that looks again; and the result.

        Args:
            opening: somebody turns to it: what is quick is waited for, and what came to nothing
                gets another try.
            start: where to begin showing it.
        """
        still, later = gr.Timer(active=False), gr.Timer(active=True)
        says = self._sentences
        if key is None:
            return markup.empty(words.EMPTY_TITLE, says.none), still, None
        try:
            collection = self._workspace.shelf.searcher(key, visitor_of(request)).collection
            n, _ = collection.listing.count()
            building = self._workspace.building(key)
            if building is not None and not building.finished:
                # Every batch would have it worked out anew.
                return markup.empty(words.STILL_READ_TITLE, says.later), later, None
            if not n:
                return markup.empty(words.EMPTY_TITLE, says.none), still, None
            task = self._results.ask(collection, PATIENCE if opening else 0, again=opening)
            if task.problem is not None:
                raise LookalikeError(task.problem)
            if task.result is None:
                time = markup.duration(self._seconds_for(n))
                text = says.text.format(n=f"{n:,}", time=time)
                return markup.empty(says.title, text), later, None
            shown = self._show(key, collection, task.result, start, request)
            return shown, still, task.result
        except LookalikeError as error:
            return markup.empty(says.failed, str(error)), still, None
