"""Searching for programs and assistants: `/search` of the app's interface."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import gradio as gr
from gradio.components import Component

from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.pages import markup, words
from retrieval.pages.access import Access
from retrieval.pages.answering import Answers, bounded
from retrieval.pages.handover import Handover
from retrieval.pages.parts import PartMaker
from retrieval.pages.query_image import Count, QueryImage
from retrieval.pages.sessions import visitor_of
from retrieval.pages.waiting import MODEL
from retrieval.search import Request, search
from retrieval.shelf import Shelf

MOST_NAMES = 20  # collections that the answer to a wrong name lists


def in_order(app: gr.Blocks, name: str, named: dict[str, Any]) -> list[Any]:
    """Return the named values of a call as the list that an endpoint of the app takes.

    Raises:
        TypeError: when there is no such endpoint, or it takes no such values.
    """
    for function in app.fns.values():
        if function.api_name == name and function.api_visibility == "public":
            inputs = [one for one in function.inputs if isinstance(one, Component)]
            known = {str(one.label): one.value for one in inputs}
            if named.keys() <= known.keys():
                return list({**known, **named}.values())
    raise TypeError(f"no call of {name} with {sorted(named)}")


@dataclass(frozen=True)
class SearchApi:
    """What `/search` does; `build` adds it to the Blocks around it."""

    shelf: Shelf
    access: Access
    handover: Handover
    parts: PartMaker
    answers: Answers

    def build(self) -> None:
        """Offer `/search` to programs. Hidden components, since their uploads are checked."""
        with gr.Row(visible=False):
            picture = QueryImage(label="picture")
            count = Count(settings.RESULTS, label="count", precision=0)
            collection = gr.Textbox("", label="collection")
            matches = gr.JSON(label="matches")
            gr.Button().click(
                self.search,
                [picture, count, collection],
                matches,
                api_name="search",
                concurrency_id=MODEL,
            )

    def search(
        self, picture: str | None, count: int, collection: str, request: gr.Request
    ) -> list[dict[str, Any]]:
        """Find the pictures that look most like the given one, in one collection or in all.

        A collection is given by its name, and nothing stands for all of them.

        Returns a row for each result, the most similar first: its path in the collection, its
        label, its similarity (-1 to 1, see README) and the address of its thumbnail.
        """
        if picture is None:
            raise gr.Error(words.NO_FILE, print_exception=False)
        visitor = visitor_of(request)
        try:
            held = self.answers.held(self._key(collection, visitor), visitor)
            data = self.handover.read_picture(picture, request, self.access)
            part, times = self.parts.of_upload(data, "auto")
            found = search(held, part.aspects, Request(bounded(count)), *times)
        except LookalikeError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return [
            {
                "picture": match.picture.path,
                "label": match.picture.label,
                "similarity": round(match.similarity, 6),
                "thumbnail": markup.thumbnail_address(match.key, match.picture),
            }
            for match in found.matches
        ]

    def _key(self, called: str | None, visitor: str) -> str:
        """Return the key of the collection that a program has called so, "" for all of them.

        It may name the key itself: the page's address shows it.

        Raises:
            LookalikeError: when who asks sees none of that name.
        """
        if not called or called in self.shelf.keys(visitor):
            return called or ""
        names = self.shelf.names(visitor)
        for key, name in names.items():
            if name == called:
                return key
        sentence = words.NO_COLLECTION
        if names:
            listed = ", ".join(f"“{name}”" for name in islice(names.values(), MOST_NAMES))
            more = len(names) - MOST_NAMES
            rest = words.MORE_COLLECTIONS.format(n=more) if more > 0 else ""
            sentence += words.COLLECTIONS_ARE.format(names=listed, rest=rest)
        raise LookalikeError(sentence)
