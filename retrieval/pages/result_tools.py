"""What can be done with the results of a search that leaves the query as it is."""

from contextlib import suppress
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.originals import has_original
from retrieval.pages import details, words
from retrieval.pages.access import Access
from retrieval.pages.answering import Answers
from retrieval.pages.asking import ORDERS, Asked, Options
from retrieval.pages.elements import inform, warn
from retrieval.pages.handover import Handover
from retrieval.pages.parts import PartMaker
from retrieval.pages.saving import save_results
from retrieval.pages.search_options import tell_filters
from retrieval.pages.sessions import visitor_of
from retrieval.search import GONE, Match, Placed
from retrieval.workspace import Workspace


@dataclass(frozen=True)
class ResultTools:
    """Saves results, shows one, why it is one, and its copies; each returns what is to be shown."""

    workspace: Workspace
    access: Access
    handover: Handover
    parts: PartMaker
    answers: Answers

    def save(self, asked: Asked, options: Options, kind: str, request: gr.Request) -> str:
        """Write the results to a file of this kind, and return its address.

        Raises:
            gr.Error: when there is nothing to save, or it cannot be written.
        """
        visitor = visitor_of(request)
        try:
            if not asked.parts:
                raise LookalikeError(words.NOTHING_TO_SAVE if asked.arrived else words.FORGOTTEN)
            self.answers.require(options.choice, visitor)
            held = self.answers.held(options.choice, visitor)
            found = self.answers.find(held, asked, options)
            wanted = [part for part in asked.parts if part.wanted]
            path, packed = save_results(
                kind,
                [self.parts.jpeg(part, visitor) for part in wanted],
                found.matches,
                {searcher.key: searcher.collection for searcher in held},
                originals=self.access.is_owner(request),
                notes=_notes(asked, options),
            )
        except LookalikeError as error:
            raise gr.Error(escape(str(error)), duration=None, print_exception=False) from error
        if packed.left_out:
            inform(words.SAVED_WITHOUT.format(pictures=words.pictures(packed.left_out)))
        if packed.too_large:
            inform(words.SAVED_TOO_LARGE.format(pictures=words.pictures(packed.too_large)))
        if packed.away:
            inform(words.saved_small(packed.away))
        return f"files/{self.handover.offer(path, visitor)}"

    def look(self, asked: Asked, placed: Placed, request: gr.Request) -> Any:
        """Show a picture in large."""
        try:
            record = self.workspace.shelf.searcher(placed[0], visitor_of(request)).record(placed[1])
        except LookalikeError as error:
            warn(error)
            return gr.skip()
        match = Match(record, 0.0, placed[0])
        explainable = any(part.wanted for part in asked.parts) and placed not in asked.placed
        return self._look(match, explainable, "", request)

    def why(self, asked: Asked, placed: Placed, request: gr.Request) -> Any:
        """Show what makes a result match the query; of several pictures, the most similar one."""
        visitor = visitor_of(request)
        try:
            wanted = [part for part in asked.parts if part.wanted]
            if not wanted:
                raise LookalikeError(words.FORGOTTEN)
            searcher = self.workspace.shelf.searcher(placed[0], visitor)
            record = searcher.record(placed[1])
            subject = searcher.collection.embedding(placed[1])
            if subject is None:
                raise LookalikeError(GONE)
            part = max(wanted, key=lambda part: float((part.aspects.subject @ subject.T).item()))
            pixels = np.stack(
                [self.parts.pixels(part, visitor), self.parts.pixels_of(placed, visitor)]
            )
            jpeg = self.parts.jpeg(part, visitor)
        except LookalikeError as error:
            warn(error)
            return gr.skip()
        match = Match(record, 0.0, placed[0])
        embedder = self.workspace.embedder
        reasons = details.why(embedder, part, len(wanted), pixels, jpeg, match)
        return self._look(match, True, reasons, request)

    def copies(self, asked: Asked, options: Options, placed: Placed, request: gr.Request) -> Any:
        """Show the pictures that are folded into one result."""
        try:
            if not asked.parts:
                raise LookalikeError(words.FORGOTTEN)
            self.answers.require(options.choice, visitor_of(request))
            held = self.answers.held(options.choice, visitor_of(request))
            matches = self.answers.find(held, asked, options).matches
            match = next((one for one in matches if (one.key, one.picture.id) == placed), None)
            if match is None:
                raise LookalikeError(GONE)
        except LookalikeError as error:
            warn(error)
            return gr.skip()
        shown = (match, *match.copies)[: details.COPIES_SHOWN]
        openable = {one.picture.id for one in shown if self._may_open(one, request)}
        return details.copies(match, openable)

    def _look(self, match: Match, explainable: bool, reasons: str, request: gr.Request) -> str:
        openable = self._may_open(match, request)
        away = not openable and self._collection_of_files(match, request) is not None
        return details.look(match, openable, explainable, reasons, away)

    def _may_open(self, match: Match, request: gr.Request) -> bool:
        """Whether a result's own file is here, and is for whoever asks."""
        collection = self._collection_of_files(match, request)
        return collection is not None and has_original(collection, match.picture)

    def _collection_of_files(self, match: Match, request: gr.Request) -> Collection | None:
        """Return the collection of a result, where its files have a folder and are for who asks."""
        if self.access.is_public or not self.access.is_owner(request):
            return None
        with suppress(LookalikeError):  # it has gone just now
            collection = self.workspace.shelf.searcher(match.key, visitor_of(request)).collection
            return collection if collection.root is not None else None
        return None


def _notes(asked: Asked, options: Options) -> list[str]:
    """Say what a sheet does not show: what the results are unlike, how filtered and sorted."""
    unlike = [words.CHIP_UNLIKE.format(name=part.name) for part in asked.parts if not part.wanted]
    notes = [", ".join(unlike)] if unlike else []
    if told := tell_filters(options.filters):
        notes.append(told)
    if options.order:
        notes.append(words.ORDERS[1 + ORDERS.index(options.order)])
    return notes
