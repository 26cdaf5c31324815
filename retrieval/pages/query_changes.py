"""What a button does to a query: each returns how the one before becomes the next."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from retrieval.pages.asking import Asked, Options, bounded_box
from retrieval.pages.elements import number_of, told_by_a_page
from retrieval.pages.parts import PartMaker

Change = Callable[[Asked], Asked]
# What is asked and its options as they stand, what a button tells, who asks. The change that comes
# of it is kept with the page for hours, so it holds neither a request nor what a button told.
Handler = Callable[[Asked, Options, Any, str], Change]


class QueryChanges:
    """The changes that the buttons of the page ask for."""

    def __init__(self, parts: PartMaker) -> None:
        self._parts = parts

    def pick(self, asked: Asked, options: Options, event: Any, visitor: str) -> Change:
        """Search with a result alone."""
        part = self._parts.of_picture(placed_at(event), True, visitor)
        return lambda asked: asked.only(part)

    def add(self, wanted: bool) -> Handler:
        """Add a result to what is searched with, as one that is wanted, or not."""

        def add(asked: Asked, options: Options, event: Any, visitor: str) -> Change:
            part = self._parts.of_picture(placed_at(event), wanted, visitor)
            return lambda asked: asked.adding(part)

        return add

    def remove(self, asked: Asked, options: Options, event: Any, visitor: str) -> Change:
        """Take a picture out of what is searched with."""
        what = placed_at(event) if event.key else str(event.id)
        return lambda asked: asked.without(what)

    def crop(self, asked: Asked, options: Options, event: Any, visitor: str) -> Change:
        """Have the upload count as it lies on the page: turned, and the part that is drawn on it.

        One that lies on its side finds what lies so, too. Without a box all of it counts.
        """
        drawn_on = asked.upload.token if asked.upload else ""
        cleaning = options.cleaning
        with told_by_a_page():
            box = bounded_box(event.box) if event.box else None
        quarters = number_of(getattr(event, "quarters", 0)) % 4

        def crop(asked: Asked) -> Asked:
            upload = asked.upload
            # One that was sent before, and is late, was on the page when that was done.
            if upload is None or not (upload.token == drawn_on or upload.previewed):
                return asked
            return asked.adding(self._parts.cropped(upload, quarters, box, cleaning))

        return crop

    def clean(self, asked: Asked, options: Options, event: Any, visitor: str) -> Change:
        """Have the upload be cleaned as it is chosen now."""
        cleaning = options.cleaning

        def clean(asked: Asked) -> Asked:
            upload = asked.upload
            if upload is None:
                return asked
            part = self._parts.cropped(upload, upload.quarters, upload.crop, cleaning)
            return asked.adding(part)

        return clean


def placed_at(event: gr.EventData) -> tuple[str, int]:
    """Return where the picture of a tile lies: the key of its collection, and its number there."""
    return str(event.key), number_of(event.id)
