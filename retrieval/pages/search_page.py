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
from retrieval.collection import PictureRecord
from retrieval.errors import LookalikeError
from retrieval.images import open_picture, read_bounded
from retrieval.pages import markup, words
from retrieval.pages.query_image import QueryImage
from retrieval.reduction import Matrix
from retrieval.search import Found, Searcher
from retrieval.workspace import Workspace

COUNTS = [12, 24, 48, 96]
EXAMPLES = 6
POLL_SECONDS = 1.0
# What browsers cannot show as it was uploaded; its preview is sent back decoded.
UNSHOWABLE = frozenset({".heic", ".heif", ".hif", ".tif", ".tiff", ".dib"})
PREVIEW_SIDE = 640  # pixels

# A tile tells which picture it is, and the button above the tiles asks for all of them again.
PICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.back) trigger('clear');
  else if (button.dataset.id) trigger('select', {id: Number(button.dataset.id)});
});
"""


@dataclass(frozen=True)
class Query:
    """What the results on the page are like; kept for the visitor, so that options can change."""

    heading: str
    vector: Matrix | None = None  # (1, k), of an upload
    picture: int | None = None  # the id of a picture of the collection


class SearchPage:
    """The page for one collection: `build` lays it out and wires the handlers below it."""

    def __init__(self, workspace: Workspace, key: str) -> None:
        self.workspace = workspace
        self.key = key

    def build(self, app: gr.Blocks) -> None:
        """Add the page to the Blocks around it."""
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
                examples = _html("examples")
                count = gr.Radio(COUNTS, value=settings.RESULTS, label=words.COUNT, elem_id="count")
            with gr.Column(elem_id="answer", min_width=320):
                status = _html("status")
                results = _html("results")
                truth = _html("truth")

        # Searching is quick, and a spinner over the gallery would only flicker.
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        answer = [results, truth, query]
        app.load(self.on_load, None, [status, results, examples, truth], **quiet)
        upload.input(
            self.on_upload, [upload, count], [*answer, upload], concurrency_id="model", **quiet
        )
        upload.clear(self.on_back, None, answer, **quiet)
        results.select(self.on_pick, count, [*answer, upload], **quiet)
        examples.select(self.on_pick, count, [*answer, upload], **quiet)
        results.clear(self.on_back_from_results, None, [*answer, upload], **quiet)
        count.input(self.on_count, [query, count], answer, **quiet)
        timer = gr.Timer(POLL_SECONDS, active=self._is_building())
        timer.tick(self.on_tick, query, [status, results, examples, truth, timer], **quiet)
        self._build_api()

    def _build_api(self) -> None:
        """Offer `/search` to programs. Hidden components, since their uploads are checked."""
        with gr.Row(visible=False):
            picture = QueryImage(label="picture")
            count = gr.Number(settings.RESULTS, label="count", precision=0)
            matches = gr.JSON(label="matches")
            gr.Button().click(
                self.search, [picture, count], matches, api_name="search", concurrency_id="model"
            )

    # The handlers. They return the results, the truth line and the query, in this order.

    def on_load(self) -> tuple[str, str, str, str]:
        """Show the collection to whoever has just opened the page."""
        return self._status(), self._browse(), self._examples(), self._truth()

    def on_upload(self, path: Path | None, count: int) -> tuple[Any, ...]:
        """Search for an uploaded picture, and return what the upload is to show."""
        if path is None:
            return (*self.on_back(), gr.skip())
        try:
            found, query, preview = self._search_upload(path, count)
        except LookalikeError as error:
            _warn(error)
            return (gr.skip(), gr.skip(), gr.skip(), None)
        return (*self._show(found, query), gr.skip() if preview is None else preview)

    def on_pick(self, count: int, event: gr.EventData) -> tuple[Any, ...]:
        """Search for more pictures like one of the collection, which becomes the query."""
        try:
            query = self._query_of_picture(int(event.id))
            found = self._find(query, count)
        except LookalikeError as error:
            _warn(error)
            return (gr.skip(),) * 4
        return (*self._show(found, query), None)

    def on_count(self, query: Query | None, count: int) -> tuple[Any, ...]:
        """Show more or fewer results of the same query."""
        if query is None:
            return (gr.skip(),) * 3
        try:
            return self._show(self._find(query, count), query)
        except LookalikeError as error:
            _warn(error)
            return (gr.skip(),) * 3

    def on_back(self) -> tuple[Any, ...]:
        """Show the collection again."""
        return self._browse(), self._truth(), None

    def on_back_from_results(self) -> tuple[Any, ...]:
        """Show the collection again, and take the uploaded picture away."""
        return (*self.on_back(), None)

    def on_tick(self, query: Query | None) -> tuple[Any, ...]:
        """Follow the building of the collection; the results of a search stay as they are."""
        building = self.workspace.building(self.key)
        going_on = building is not None and not building.finished
        # The first pictures are shown as they come; later ones would only make the page flicker.
        settled = building is not None and going_on and building.step.done > 4 * settings.RESULTS
        if query is not None or settled:
            return self._status(), gr.skip(), gr.skip(), gr.skip(), gr.Timer(active=going_on)
        return (*self.on_load(), gr.Timer(active=going_on))

    def search(self, picture: Path | None, count: int) -> list[dict[str, Any]]:
        """Find the pictures of the collection that look most like the given one.

        Returns a row for each result, the most similar first: its path in the collection, its
        label, its cosine similarity (-1 to 1) and the address of its thumbnail.
        """
        if picture is None:
            raise gr.Error(words.NO_FILE, print_exception=False)
        try:
            found, _, _ = self._search_upload(picture, count)
        except LookalikeError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return [
            {
                "picture": match.picture.path,
                "label": match.picture.label,
                "similarity": round(match.similarity, 6),
                "thumbnail": markup.thumbnail_address(self.key, match.picture),
            }
            for match in found.matches
        ]

    # What the handlers are made of.

    @property
    def _searcher(self) -> Searcher:
        return self.workspace.searcher(self.key)

    def _search_upload(self, path: Path, count: int) -> tuple[Found, Query, Image.Image | None]:
        """Return what was found, the query, and a preview where the browser cannot make one."""
        started = time.perf_counter()
        embedder = self._searcher.embedder
        data = read_bounded(path, settings.MAX_UPLOAD_BYTES)
        needed = max(2 * embedder.card.preprocessing.resize, PREVIEW_SIDE)
        picture = open_picture(data, needed, settings.MAX_UPLOAD_PIXELS)
        decoded = time.perf_counter()
        vector = embedder.embed_image(picture.image)
        extracted = time.perf_counter()
        found = self._searcher.search_vector(
            vector, _bounded(count), decoded - started, extracted - decoded
        )
        preview = None
        if path.suffix.lower() in UNSHOWABLE:
            preview = picture.image.copy()
            preview.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        return found, Query(words.LIKE_YOURS, vector=vector), preview

    def _query_of_picture(self, id_: int) -> Query:
        records = self._searcher.collection.pictures([id_])
        name = PurePosixPath(records[0].path).name if records else ""
        return Query(words.LIKE_NAMED.format(name=name), picture=id_)

    def _find(self, query: Query, count: int) -> Found:
        if query.vector is not None:
            return self._searcher.search_vector(query.vector, _bounded(count))
        return self._searcher.search_like(query.picture or 0, _bounded(count))

    def _show(self, found: Found, query: Query) -> tuple[str, str, Query]:
        if not found.matches:
            return markup.empty(words.EMPTY_BODY), self._truth(found), query
        grid = markup.results(self.key, found.matches, words.RESULTS, query.heading)
        return grid, self._truth(found), query

    def _sample(self, n: int) -> Sequence[PictureRecord]:
        """Choose pictures from all over the collection, the same at each visit."""
        ids = self._searcher.embeddings().ids
        # Ids stand in the order of paths, so equal steps visit every folder in turn.
        rows = np.linspace(0, len(ids), min(n, len(ids)), endpoint=False).astype(int)
        return self._searcher.collection.pictures(int(id_) for id_ in ids[rows])

    def _browse(self) -> str:
        pictures = self._sample(settings.RESULTS)
        if pictures:
            return markup.browse(self.key, pictures)
        return markup.empty(words.EMPTY_BUILDING if self._is_building() else words.EMPTY_BODY)

    def _examples(self) -> str:
        return markup.examples(self.key, self._sample(EXAMPLES))

    def _truth(self, found: Found | None = None) -> str:
        embedder = self._searcher.embedder
        collection = self._searcher.collection
        compared = found.compared if found else collection.count()[0]
        return markup.truth(
            collection.name, embedder.describe(), embedder.extractor.provider, compared, found
        )

    def _is_building(self) -> bool:
        building = self.workspace.building(self.key)
        return building is not None and not building.finished

    def _status(self) -> str:
        building = self.workspace.building(self.key)
        if building is None:
            return ""
        return markup.building(building, self._searcher.collection.name, time.monotonic())


def _warn(error: LookalikeError) -> None:
    """Show a sentence in a corner of the page; it may quote a file's name, and a toast is HTML."""
    gr.Warning(escape(str(error)))


def _html(name: str) -> gr.HTML:
    """Make a place for our own markup; its buttons tell what they are."""
    return gr.HTML(elem_id=name, js_on_load=PICK, apply_default_css=False)


def _bounded(count: int) -> int:
    """Keep a number of results that a program sent within what one page can hold."""
    return max(1, min(int(count), settings.MAX_RESULTS))
