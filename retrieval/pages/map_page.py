"""The tab "Map": a collection laid out in the plane, similar pictures together.

The map is drawn once, in the background, and kept; the browser loads its places and its sheets by
addresses of ours, and `map.js` moves it.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retrieval import settings
from retrieval.atlas import CELLS, SHEET, Atlas, draw_atlas, open_atlas
from retrieval.background import Once
from retrieval.captions import pretty
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.pages import markup, words
from retrieval.pages.sessions import visitor_of
from retrieval.pages.worked_out import LIGHT, Sentences, WorkedOut
from retrieval.records import PictureRecord
from retrieval.shelf import Shelf
from retrieval.workspace import Workspace

# As measured, for each picture: up to the number that is laid out in full, and beyond.
SECONDS_EACH, SECONDS_BEYOND = 0.005, 0.002
LAID_OUT = 10_000
# Gradio knows of an event by its name in here.
BRIDGE = """
window.lookalikeMap?.(element, {
  pick: () => trigger('pick', {}),
  lost: () => trigger('lost', {}),
});
"""
EXAMPLES = 3  # pictures of each part, in words
PARTS = 3  # the map in words has so many columns and rows
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


SENTENCES = Sentences(
    words.MAP_NONE,
    words.MAP_LATER,
    words.MAP_DRAWS_TITLE,
    words.MAP_DRAWS,
    words.MAP_FAILED_TITLE,
)


class MapPage:
    """The page of maps: `build` lays it out and wires the handlers below it."""

    def __init__(self, workspace: Workspace) -> None:
        maps = Once(lambda collection: draw_atlas(collection, folder_of(collection)))
        self.maps = WorkedOut(workspace, "map", SENTENCES, maps, seconds_for, _show, script=BRIDGE)

    def build(self, tabs: gr.Tabs, tab: gr.Tab, searched: gr.Dropdown) -> None:
        """Add the page to the tab; a picked picture is searched for in the tab "search".

        Args:
            searched: the choice of the search, which this page follows.
        """
        lead = f'<p class="lk-lead">{escape(words.MAP_LEAD)}</p>'
        stands, shown = self.maps.lay_out(tab, searched, lead, _help())
        shown[0].lost(self.maps.on_tick, stands, shown, **LIGHT)
        shown[0].pick(self.on_pick, None, tabs, **LIGHT)

    def on_pick(self) -> Any:
        """Turn to the results, which the page has asked for already."""
        return gr.Tabs(selected="search")


def _show(key: str, collection: Collection, atlas: Atlas, start: int, request: gr.Request) -> str:
    return show_map(key, collection, atlas)  # which has no parts to begin with


def folder_of(collection: Collection) -> Path:
    """Return where the map of a collection is kept: with it, unless that is read-only."""
    if collection.read_only:
        return settings.HOME / "maps" / collection.folder.name
    return collection.folder


def seconds_for(pictures: int) -> float:
    """Estimate how long the map of so many pictures takes to draw."""
    return 1 + SECONDS_EACH * min(pictures, LAID_OUT) + SECONDS_BEYOND * max(0, pictures - LAID_OUT)


def map_routes(shelf: Shelf) -> list[Route]:
    """Serve `maps/KEY/NAME.json`, what lies where, and `maps/KEY/NAME/SHEET.webp`."""

    def opened(request: Request) -> tuple[Collection, Atlas]:
        key, name = request.path_params["key"], request.path_params["name"]
        collection = shelf.searcher(key, visitor_of(request)).collection
        if not re.fullmatch("[0-9a-f]{32}", name):
            raise LookalikeError(words.NO_MAP)
        return collection, open_atlas(folder_of(collection) / f"map-{name}.npz")

    def places(request: Request) -> Response:
        try:
            collection, atlas = opened(request)
            data = json.dumps(describe(atlas, collection.listing.pictures()), ensure_ascii=False)
        except LookalikeError as error:
            return Response(str(error), 404)
        # Names may change while the map stays.
        headers = {"Cache-Control": "no-store"}
        body = data.encode(errors="replace")
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 5)
        return Response(body, media_type="application/json", headers=headers)

    def sheet(request: Request) -> Response:
        numbers = re.fullmatch(r"([01])-(\d{1,4})-(\d{1,4})", request.path_params["sheet"])
        try:
            webp = opened(request)[1].sheet(*map(int, numbers.groups())) if numbers else None
        except LookalikeError:
            webp = None
        if webp is None:
            return Response(words.NO_MAP_PART, 404)
        # The address names what the map was drawn from, so it never changes.
        return Response(webp, media_type="image/webp", headers=FOREVER)

    return [
        Route("/maps/{key}/{name}.json", places),
        Route("/maps/{key}/{name}/{sheet}.webp", sheet),
    ]


def describe(atlas: Atlas, pictures: Sequence[PictureRecord]) -> dict[str, Any]:
    """Say what a browser needs to know of a map, in columns, which are quick to send."""
    known = {picture.id: picture for picture in pictures}
    here = [(row, known[int(id_)]) for row, id_ in enumerate(atlas.ids) if int(id_) in known]
    labels = sorted({picture.label for _, picture in here})
    numbers = {label: number for number, label in enumerate(labels)}
    return {
        "columns": atlas.size[0],
        "rows": atlas.size[1],
        "sheet": SHEET,
        "sides": CELLS,
        "ids": [picture.id for _, picture in here],
        "cells": atlas.cells[[row for row, _ in here]].ravel().tolist(),
        "hashes": [picture.sha256 for _, picture in here],
        "names": [markup.name_of(picture) for _, picture in here],
        "labels": [pretty(label) for label in labels],
        "label": [numbers[picture.label] for _, picture in here],
    }


def show_map(key: str, collection: Collection, atlas: Atlas) -> str:
    """Lay out the map with its buttons, and the same in words below it."""
    address = escape(f"maps/{quote(key)}/{atlas.name}")
    n = f"{len(atlas.ids):,}"
    spoken = escape(words.MAP_SPOKEN.format(name=collection.name, n=n))
    buttons = "".join(
        f'<button type="button" data-zoom="{way}" aria-label="{escape(title)}" '
        f'title="{escape(title)}">{sign}</button>'
        for way, title, sign in (
            ("in", words.MAP_IN, "+"),
            ("out", words.MAP_OUT, "−"),
            ("whole", words.MAP_WHOLE, "⤢"),
        )
    )
    return (
        f'<div class="lk-map" data-key="{escape(key)}" data-map="{address}.json" '
        f'data-sheets="{address}">'
        f'<canvas tabindex="0" role="application" aria-label="{spoken}"></canvas>'
        f'<div class="lk-map-buttons">{buttons}</div>'
        '<div class="lk-map-tip" aria-hidden="true" hidden><img alt=""><b></b><span></span></div>'
        '<p class="lk-sr" aria-live="polite"></p></div>' + _in_words(key, collection, atlas)
    )


def _in_words(key: str, collection: Collection, atlas: Atlas) -> str:
    """Say what lies in which part of the map, for those who do not see it."""
    known = {picture.id: picture for picture in collection.listing.pictures()}
    size = np.maximum(np.asarray(atlas.size), 1)
    parts = (2 * atlas.cells + 1) * PARTS // (2 * size)  # in which the middle of each cell lies
    items = []
    for number, name in enumerate(words.MAP_PARTS):
        row, column = divmod(number, PARTS)
        rows = np.flatnonzero((parts == (column, row)).all(axis=1))
        # The pictures around the middle of the part stand for it.
        middle = (np.array([column, row]) + 0.5) * size / PARTS
        order = np.argsort(((atlas.cells[rows] + 0.5 - middle) ** 2).sum(axis=1), kind="stable")
        ids = (int(id_) for id_ in atlas.ids[rows[order]])
        pictures = [known[id_] for id_ in ids if id_ in known]
        if not pictures:
            continue
        counts = Counter(pretty(picture.label) for picture in pictures if picture.label)
        kinds = ", ".join(f"{label} ({count:,})" for label, count in counts.most_common(3))
        text = words.MAP_PART.format(part=name, pictures=words.pictures(len(pictures)))
        buttons = "".join(
            f'<button type="button" class="lk-button lk-link" data-map-key="{escape(key)}" '
            f'data-map-id="{picture.id}" aria-label="{escape(words.MAP_SEARCH.format(name=shown))}"'
            f">{escape(shown)}</button>"
            for picture in pictures[:EXAMPLES]
            for shown in [markup.name_of(picture)]
        )
        items.append(f"<li><b>{escape(text)}</b> {escape(kinds)}<span>{buttons}</span></li>")
    return (
        f'<details class="lk-map-words"><summary>{escape(words.MAP_WORDS)}</summary>'
        f"<ul>{''.join(items)}</ul></details>"
    )


def _help() -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in words.MAP_HELP)
    items += f'<li class="lk-touch">{escape(words.MAP_HELP_TOUCH)}</li>'
    return f'<ul class="lk-map-help">{items}</ul>'
