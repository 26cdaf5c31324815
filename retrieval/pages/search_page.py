"""The search page: a picture in, a gallery out, and "more like this" on each result."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.images import open_picture, read_bounded
from retrieval.pages import markup, words
from retrieval.pages.query_image import QueryImage
from retrieval.pages.sessions import visitor_of
from retrieval.reduction import Matrix
from retrieval.search import Found, Searcher, search_together
from retrieval.workspace import Building, Workspace

COUNTS = [12, 24, 48, 96]
EXAMPLES = 6
POLL_SECONDS = 1.0
ALL = ""  # in place of a collection's key
# What browsers cannot show as it was uploaded; its preview is sent back decoded.
UNSHOWABLE = frozenset({".heic", ".heif", ".hif", ".tif", ".tiff", ".dib"})
PREVIEW_SIDE = 640  # pixels

# A tile tells which picture it is, and the button above the tiles asks for all of them again.
PICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.back) trigger('clear');
  else if (button.dataset.id) {
    trigger('select', {key: button.dataset.key, id: Number(button.dataset.id)});
  }
});
"""


@dataclass(frozen=True)
class Query:
    """What the results on the page are like; kept for the visitor, so that options can change."""

    heading: str
    vector: Matrix | None = None  # (1, k), of an upload
    picture: tuple[str, int] | None = None  # key and id of a picture of a collection


class SearchPage:
    """The page that searches: `build` lays it out and wires the handlers below it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def build(self, app: gr.Blocks, tab: gr.Tab) -> None:
        """Add the page to the Blocks around it; `tab` is the tab that it lies in."""
        query = gr.State(None, time_to_live=6 * 3600)
        with gr.Row(elem_id="columns"):
            with gr.Column(elem_id="ask", min_width=280):
                upload = QueryImage(
                    label=words.QUERY,
                    show_label=False,
                    sources=["upload", "webcam", "clipboard"],
                    placeholder=words.DROP,
                    elem_id="query",
                    height=236,
                    buttons=[],
                )
                # What it offers hangs on who looks, so it is filled when the page is opened.
                choice = gr.Dropdown(
                    [(words.ALL_COLLECTIONS, ALL)],
                    value=ALL,
                    label=words.COLLECTION,
                    elem_id="collection",
                    visible=False,
                )
                examples = _html("examples")
                count = gr.Radio(COUNTS, value=settings.RESULTS, label=words.COUNT, elem_id="count")
            with gr.Column(elem_id="answer", min_width=320):
                status = _html("status")
                results = _html("results")
                truth = _html("truth")

        # Searching is quick, and a spinner over the gallery would only flicker.
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        answer = [results, truth, query]
        view = [status, results, examples, truth]
        timer = gr.Timer(POLL_SECONDS, active=False)
        arrival = [choice, *view, timer]
        app.load(self.on_load, None, arrival, **quiet)
        tab.select(self.on_return, [query, choice], arrival, **quiet)
        choice.input(self.on_choice, [query, choice, count], [*view, timer, query], **quiet)
        upload.input(
            self.on_upload,
            [upload, choice, count],
            [*answer, upload],
            concurrency_id="model",
            **quiet,
        )
        upload.clear(self.on_back, choice, answer, **quiet)
        results.select(self.on_pick, [choice, count], [*answer, upload], **quiet)
        examples.select(self.on_pick, [choice, count], [*answer, upload], **quiet)
        results.clear(self.on_back_from_results, choice, [*answer, upload], **quiet)
        count.input(self.on_count, [query, choice, count], answer, **quiet)
        timer.tick(self.on_tick, [query, choice], [*view, timer], **quiet)
        self.choice = choice
        self._build_api()

    def _build_api(self) -> None:
        """Offer `/search` to programs. Hidden components, since their uploads are checked."""
        with gr.Row(visible=False):
            picture = QueryImage(label="picture")
            count = gr.Number(settings.RESULTS, label="count", precision=0)
            collection = gr.Textbox(ALL, label="collection")
            matches = gr.JSON(label="matches")
            gr.Button().click(
                self.search,
                [picture, count, collection],
                matches,
                api_name="search",
                concurrency_id="model",
            )

    # The handlers. They return the results, the truth line and the query, in this order.

    def on_load(self, request: gr.Request) -> tuple[Any, ...]:
        """Show the first collection to whoever has just opened the page."""
        keys = self.workspace.keys(visitor_of(request))
        choice = keys[0] if keys else ALL
        held = self._held(choice, request)
        return self._offer(choice, request), *self._view(held), self._timer(held)

    def on_return(
        self, query: Query | None, choice: str | None, request: gr.Request
    ) -> tuple[Any, ...]:
        """Follow what has happened to the collections while another tab was open."""
        if choice not in self.workspace.keys(visitor_of(request)):
            choice = ALL
        return self._offer(choice, request), *self.on_tick(query, choice, request)

    def on_choice(
        self, query: Query | None, choice: str | None, count: int, request: gr.Request
    ) -> tuple[Any, ...]:
        """Turn to another collection, with the same query where there is one."""
        held = self._held(choice, request)
        status, browse, examples, truth = self._view(held)
        try:
            if query is not None:
                browse, truth, query = self._show(
                    held, self._find(held, query, count, request), query
                )
        except LookalikeError as error:
            _warn(error)
            query = None
        return status, browse, examples, truth, self._timer(held), query

    def on_upload(
        self, path: Path | None, choice: str | None, count: int, request: gr.Request
    ) -> tuple[Any, ...]:
        """Search for an uploaded picture, and return what the upload is to show."""
        if path is None:
            return (*self.on_back(choice, request), gr.skip())
        held = self._held(choice, request)
        try:
            found, query, preview = self._search_upload(held, path, count)
        except LookalikeError as error:
            _warn(error)
            return (gr.skip(), gr.skip(), gr.skip(), None)
        return (*self._show(held, found, query), gr.skip() if preview is None else preview)

    def on_pick(
        self, choice: str | None, count: int, event: gr.EventData, request: gr.Request
    ) -> tuple[Any, ...]:
        """Search for more pictures like one of a collection, which becomes the query."""
        held = self._held(choice, request)
        try:
            query = self._query_of_picture(str(event.key), int(event.id), request)
            found = self._find(held, query, count, request)
        except LookalikeError as error:
            _warn(error)
            return (gr.skip(),) * 4
        return (*self._show(held, found, query), None)

    def on_count(
        self, query: Query | None, choice: str | None, count: int, request: gr.Request
    ) -> tuple[Any, ...]:
        """Show more or fewer results of the same query."""
        if query is None:
            return (gr.skip(),) * 3
        held = self._held(choice, request)
        try:
            return self._show(held, self._find(held, query, count, request), query)
        except LookalikeError as error:
            _warn(error)
            return (gr.skip(),) * 3

    def on_back(self, choice: str | None, request: gr.Request) -> tuple[Any, ...]:
        """Show the collection again."""
        held = self._held(choice, request)
        return self._browse(held), self._truth(held), None

    def on_back_from_results(self, choice: str | None, request: gr.Request) -> tuple[Any, ...]:
        """Show the collection again, and take the uploaded picture away."""
        return (*self.on_back(choice, request), None)

    def on_tick(
        self, query: Query | None, choice: str | None, request: gr.Request
    ) -> tuple[Any, ...]:
        """Follow the building of the collection; the results of a search stay as they are."""
        held = self._held(choice, request)
        going_on = self._building(held)
        # The first pictures are shown as they come; later ones would only make the page flicker.
        settled = going_on is not None and going_on.step.done > 4 * settings.RESULTS
        if query is not None or settled:
            return self._status(held), gr.skip(), gr.skip(), gr.skip(), self._timer(held)
        return (*self._view(held), self._timer(held))

    def search(
        self, picture: Path | None, count: int, collection: str, request: gr.Request
    ) -> list[dict[str, Any]]:
        """Find the pictures that look most like the given one, in one collection or in all.

        Returns a row for each result, the most similar first: its path in the collection, its
        label, its cosine similarity (-1 to 1) and the address of its thumbnail.
        """
        if picture is None:
            raise gr.Error(words.NO_FILE, print_exception=False)
        try:
            if collection and collection not in self.workspace.keys(visitor_of(request)):
                raise LookalikeError(words.NO_COLLECTION)
            held = self._held(collection, request)
            found, _, _ = self._search_upload(held, picture, count)
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

    # What the handlers are made of.

    def _held(self, choice: str | None, request: gr.Request) -> list[Searcher]:
        """Return what is searched: the chosen collection, or all that this visitor sees."""
        visitor = visitor_of(request)
        keys = self.workspace.keys(visitor)
        return [self.workspace.searcher(key, visitor) for key in keys if choice in (key, ALL, None)]

    def _offer(self, choice: str | None, request: gr.Request) -> Any:
        held = self._held(ALL, request)
        offered = [(searcher.collection.name, searcher.key) for searcher in held]
        several = len(held) > 1
        if several:
            offered.insert(0, (words.ALL_COLLECTIONS, ALL))
        if not several:
            choice = held[0].key if held else None
        return gr.Dropdown(offered, value=choice, visible=several)

    def _search_upload(
        self, held: list[Searcher], path: Path, count: int
    ) -> tuple[Found, Query, Image.Image | None]:
        """Return what was found, the query, and a preview where the browser cannot make one."""
        started = time.perf_counter()
        embedder = self.workspace.embedder
        data = read_bounded(path, settings.MAX_UPLOAD_BYTES)
        needed = max(2 * embedder.card.preprocessing.resize, PREVIEW_SIDE)
        picture = open_picture(data, needed, settings.MAX_UPLOAD_PIXELS)
        decoded = time.perf_counter()
        vector = embedder.embed_image(picture.image)
        extracted = time.perf_counter()
        found = search_together(
            held, vector, _bounded(count), None, decoded - started, extracted - decoded
        )
        preview = None
        if path.suffix.lower() in UNSHOWABLE:
            preview = picture.image.copy()
            preview.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        return found, Query(words.LIKE_YOURS, vector=vector), preview

    def _query_of_picture(self, key: str, id_: int, request: gr.Request) -> Query:
        collection = self.workspace.searcher(key, visitor_of(request)).collection
        records = collection.pictures([id_])
        name = PurePosixPath(records[0].path).name if records else ""
        return Query(words.LIKE_NAMED.format(name=name), picture=(key, id_))

    def _find(self, held: list[Searcher], query: Query, count: int, request: gr.Request) -> Found:
        vector = query.vector
        if query.picture is not None:
            key, id_ = query.picture
            vector = self.workspace.searcher(key, visitor_of(request)).embedding(id_)
        assert vector is not None
        return search_together(held, vector, _bounded(count), query.picture)

    def _show(self, held: list[Searcher], found: Found, query: Query) -> tuple[str, str, Query]:
        if not found.matches:
            return markup.empty(words.EMPTY_BODY), self._truth(held, found), query
        grid = markup.results(found.matches, words.RESULTS, query.heading)
        return grid, self._truth(held, found), query

    def _view(self, held: list[Searcher]) -> tuple[str, str, str, str]:
        """Return the status, a look around, the examples and the truth line."""
        examples = markup.examples(_sample(held, EXAMPLES))
        return self._status(held), self._browse(held), examples, self._truth(held)

    def _browse(self, held: list[Searcher]) -> str:
        pictures = _sample(held, settings.RESULTS)
        if pictures:
            return markup.browse(pictures)
        return markup.empty(words.EMPTY_BUILDING if self._building(held) else words.EMPTY_BODY)

    def _truth(self, held: list[Searcher], found: Found | None = None) -> str:
        embedder = self.workspace.embedder
        compared = found.compared if found else sum(s.collection.count()[0] for s in held)
        names = [searcher.collection.name for searcher in held]
        name = names[0] if len(names) == 1 else words.SEVERAL.format(n=len(names))
        return markup.truth(name, embedder.describe(), embedder.extractor.provider, compared, found)

    def _building(self, held: list[Searcher]) -> Building | None:
        """Return the building that is going on among these collections, if any."""
        states = (self.workspace.building(searcher.key) for searcher in held)
        return next((state for state in states if state and not state.finished), None)

    def _timer(self, held: list[Searcher]) -> gr.Timer:
        return gr.Timer(active=self._building(held) is not None)

    def _status(self, held: list[Searcher]) -> str:
        states = ((searcher, self.workspace.building(searcher.key)) for searcher in held)
        now = time.monotonic()
        return "".join(
            markup.building(state, searcher.collection.name, now)
            for searcher, state in states
            if state
        )


def _sample(held: Sequence[Searcher], n: int) -> list[markup.Placed]:
    """Choose pictures from all over the collections, the same at each visit."""
    counts = [len(searcher.embeddings().ids) for searcher in held]
    # Ids stand in the order of paths, so equal steps visit every folder in turn.
    rows = np.linspace(0, sum(counts), min(n, sum(counts)), endpoint=False).astype(int)
    chosen: list[markup.Placed] = []
    for searcher, end, count in zip(held, np.cumsum(counts), counts, strict=True):
        here = rows[(rows >= end - count) & (rows < end)] - (end - count)
        ids = (int(id_) for id_ in searcher.embeddings().ids[here])
        chosen += [(searcher.key, picture) for picture in searcher.collection.pictures(ids)]
    return chosen


def _warn(error: LookalikeError) -> None:
    """Show a sentence in a corner of the page; it may quote a file's name, and a toast is HTML."""
    gr.Warning(escape(str(error)))


def _html(name: str) -> gr.HTML:
    """Make a place for our own markup; its buttons tell what they are."""
    return gr.HTML(elem_id=name, js_on_load=PICK, apply_default_css=False)


def _bounded(count: int) -> int:
    """Keep a number of results that a program sent within what one page can hold."""
    return max(1, min(int(count), settings.MAX_RESULTS))
