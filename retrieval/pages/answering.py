"""The answers of the search page: what is asked in, what the page shows out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from retrieval import settings
from retrieval.building import Building
from retrieval.errors import COLLECTION_GONE, LookalikeError
from retrieval.pages import markup, results_markup, words
from retrieval.pages.asking import Asked, Options, write_address
from retrieval.pages.results_markup import Shown
from retrieval.query import NO_FILTERS, Filters, join_aspects
from retrieval.records import PictureRecord
from retrieval.search import Found, Request, Searcher, search
from retrieval.workspace import Workspace

EXAMPLES = 6
T = TypeVar("T")


class Answers:
    """Searches the collections of a workspace, and lays out what is found as HTML."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.shelf = workspace.shelf

    def held(self, choice: str | None, visitor: str) -> list[Searcher]:
        """Return what is searched: the chosen collection, or all that this visitor sees.

        One that has been deleted meanwhile, in another window, counts as none chosen, and so does
        one in which damage was met: the page goes on with the others.
        """
        self.shelf.withdraw_damaged()
        keys = self.shelf.keys(visitor)
        return self.shelf.searchers([choice] if choice in keys else keys, visitor)

    def require(self, choice: str, visitor: str) -> None:
        """Refuse a collection that has ended, for which `held` takes all others.

        Raises:
            LookalikeError: when it is not seen (any more).
        """
        if choice and choice not in self.shelf.keys(visitor):
            raise LookalikeError(COLLECTION_GONE)

    def answer(
        self,
        asked: Asked,
        options: Options,
        visitor: str,
        times: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[str, str]:
        """Search, and return the results and the truth line, which is "" where there are none."""
        held = self.held(options.choice, visitor)
        address = write_address(asked, options)
        if not asked.parts:
            html, passing = self._browse(held, options, address)
            return html, self._truth(held, passing) if passing else ""
        found = self.find(held, asked, options, times)
        if found.matches:
            html = results_markup.results(found, asked, address, options.order, names_of(held))
            return html, self._truth(held, found.compared, found)
        filtered = not options.filters.empty
        # Those of the query are left out of the results.
        _, passing = sample(held, 1, options.filters)
        said = {
            (False, False): (words.EMPTY_TITLE, words.EMPTY_BODY),
            (False, True): (words.ALONE_TITLE, words.ALONE),
            (True, False): (words.NONE_PASS_TITLE, words.NONE_PASS),
            (True, True): (words.NO_OTHER_TITLE, words.NO_OTHER),
        }[filtered, passing > 0]
        return results_markup.none_found(asked, *said, address, filtered), ""

    def find(
        self,
        held: list[Searcher],
        asked: Asked,
        options: Options,
        times: tuple[float, float] = (0.0, 0.0),
    ) -> Found:
        """Search the collections; the results stand in the order that is asked for.

        Raises:
            LookalikeError: when there is nothing to be like, nothing that counts, or Milvus does
                not answer.
        """
        wanted = [part.aspects for part in asked.parts if part.wanted]
        if not wanted:
            raise LookalikeError(words.NOTHING_WANTED)
        if not options.weights.total:
            raise LookalikeError(words.NOTHING_COUNTS)
        query = join_aspects(wanted, [part.aspects for part in asked.parts if not part.wanted])
        request = Request(
            bounded(options.count), options.weights, options.filters, asked.placed, folded=True
        )
        found = search(held, query, request, *times)
        matches = ordered(found.matches, options.order, lambda match: match.picture)
        return replace(found, matches=matches)

    def building(self, held: list[Searcher]) -> Building | None:
        """Return the building that is going on among these collections, if any."""
        states = (self.workspace.building(searcher.key) for searcher in held)
        return next((state for state in states if state and not state.finished), None)

    def status(self, held: list[Searcher], standing: bool = False) -> str:
        """Lay out how the building of collections stands.

        Args:
            standing: whether what was found before stands beside it.
        """
        states = ((searcher, self.workspace.building(searcher.key)) for searcher in held)
        now = time.monotonic()
        return "".join(
            results_markup.building(state, searcher.collection.name, now, standing)
            for searcher, state in states
            if state
        )

    def examples(self, held: list[Searcher]) -> str:
        """Lay out a few pictures to search with."""
        return results_markup.examples(sample(held, EXAMPLES)[0])

    def _browse(self, held: list[Searcher], options: Options, address: str) -> tuple[str, int]:
        """Lay out a look around; return how many pictures pass the filters as well."""
        pictures, passing = sample(held, bounded(options.count), options.filters)
        if pictures:
            shown = ordered(pictures, options.order, lambda placed: placed[1])
            return results_markup.browse(shown, address, names_of(held)), passing
        filtered = not options.filters.empty and bool(sample(held, 1)[1])
        if filtered:
            said = words.NONE_PASS_TITLE, words.NONE_PASS
        else:
            building = self.building(held)
            said = words.EMPTY_TITLE, words.EMPTY_BUILDING if building else words.EMPTY_BODY
        return results_markup.none_found(Asked(), *said, address, filtered), passing

    def _truth(self, held: list[Searcher], compared: int, found: Found | None = None) -> str:
        embedder = self.workspace.embedder
        names = [searcher.collection.name for searcher in held]
        name = names[0] if len(names) == 1 else words.SEVERAL.format(n=len(names))
        return results_markup.truth(
            name, embedder.describe(), embedder.extractor.provider, compared, found
        )


def names_of(held: Sequence[Searcher]) -> dict[str, str]:
    """Return what collections are called by their keys, where there are several."""
    if len(held) < 2:
        return {}
    return {searcher.key: searcher.collection.name for searcher in held}


def sample(
    held: Sequence[Searcher], n: int, filters: Filters = NO_FILTERS
) -> tuple[list[Shown], int]:
    """Choose pictures from all over the collections, the same at each visit.

    Returns:
        The pictures, and how many pass the filters in all.
    """
    passing = [
        None if filters.empty else sorted(searcher.collection.listing.matching(filters))
        for searcher in held
    ]
    counts = [
        searcher.collection.listing.count()[0] if ids is None else len(ids)
        for searcher, ids in zip(held, passing, strict=True)
    ]
    # Equal steps in the order of the paths visit every folder in turn.
    rows = np.linspace(0, sum(counts), min(n, sum(counts)), endpoint=False).astype(int)
    chosen: list[Shown] = []
    for searcher, ids, end, count in zip(held, passing, np.cumsum(counts), counts, strict=True):
        here = rows[(rows >= end - count) & (rows < end)] - (end - count)
        collection = searcher.collection
        found = (
            collection.listing.at(here)
            if ids is None
            else collection.listing.pictures(ids[i] for i in here)
        )
        chosen += [(searcher.key, picture) for picture in found]
    return chosen, sum(counts)


def ordered(
    shown: Sequence[T], order: str, picture_of: Callable[[T], PictureRecord]
) -> tuple[T, ...]:
    """Put what is shown into the order that is asked for; "" leaves it as it is."""
    if order == "name":
        return tuple(sorted(shown, key=lambda one: markup.name_of(picture_of(one)).casefold()))
    if order in ("kind", "folder"):
        # Within each, and among those of none, which come last, the most similar first.
        def place(one: T) -> tuple[bool, str]:
            picture = picture_of(one)
            name = picture.label if order == "kind" else picture.path.rpartition("/")[0]
            return not name, name.casefold()

        return tuple(sorted(shown, key=place))
    if order in ("newest", "oldest"):
        # Those without a date come last either way.
        dated = [one for one in shown if picture_of(one).taken]
        dated.sort(key=lambda one: picture_of(one).taken or "", reverse=order == "newest")
        return (*dated, *(one for one in shown if not picture_of(one).taken))
    return tuple(shown)


def bounded(count: int) -> int:
    """Keep a number of results that a program sent within what one page can hold."""
    return max(1, min(int(count), settings.MAX_RESULTS))
