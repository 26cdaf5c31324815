"""The options of a search: which collection, how many, what should match, and which pictures."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import gradio as gr

from retrieval import settings
from retrieval.captions import pretty
from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.pages.asking import (
    CLEANINGS,
    ORDERS,
    Options,
    read_date,
    read_megapixels,
    write_megapixels,
)
from retrieval.pages.elements import Choice, OneOf, make_place, make_refusal_place
from retrieval.query import SHAPES, Filters, Weights
from retrieval.search import Searcher

COUNTS = [12, 24, 48, 96]
MOST_TEXT = 5_000  # characters of a kind or a folder
# In the order of `words.PRESETS`.
PRESETS = (
    Weights(),
    Weights(subject=0, colour=1),
    Weights(subject=0, texture=1),
    Weights(subject=1, colour=0.5, texture=0.5),
)


class SearchOptions:
    """The controls below the question; `read` tells how they stand, `show` sets them."""

    def __init__(self) -> None:
        """Lay them out in the column around."""
        # What it offers depends on who looks, so it is filled when the page is opened; until then
        # it is None.
        self.choice = Choice(
            [(words.ALL_COLLECTIONS, "")],
            value=None,
            label=words.COLLECTION,
            elem_id="collection",
            visible=False,
        )
        self._count = OneOf(COUNTS, value=settings.RESULTS, label=words.COUNT, elem_id="count")
        with gr.Accordion(words.MATCHING, open=False, elem_id="matching"):
            self._preset = OneOf(
                list(words.PRESETS),
                value=words.PRESETS[0],
                label=words.MATCHING,  # which is read
                show_label=False,
                elem_id="preset",
            )
            self._subject = _slider(words.SUBJECT, 1.0)
            self._colour = _slider(words.COLOUR, 0.0)
            self._texture = _slider(words.TEXTURE, 0.0)
            make_place("matching-hint", value=f"<p>{escape(words.MATCHING_HINT)}</p>")
            self._cleaning = Choice(
                list(zip(words.CLEANINGS, CLEANINGS, strict=True)),
                value=CLEANINGS[0],
                label=words.CLEANING,
            )
        with (
            gr.Accordion(words.FILTERS, open=False, elem_id="filters"),
            gr.Column(elem_id="filter-fields"),
        ):
            self._order = Choice(
                list(zip(words.ORDERS, ("", *ORDERS), strict=True)), value="", label=words.ORDER
            )
            anything = (words.FILTER_ANY, "")
            self._label = Choice([anything], value="", label=words.FILTER_LABEL)
            # Shown where folders tell more than the kinds do.
            self._folder = Choice([anything], value="", label=words.FILTER_FOLDER, visible=False)
            self._shape = Choice(
                [anything, *zip(words.SHAPES, SHAPES, strict=True)],
                value="",
                label=words.FILTER_SHAPE,
            )
            # A browser keeps to itself what it takes for no number: there a comma often is none.
            self._megapixels = gr.Textbox(
                label=words.FILTER_MEGAPIXELS,
                placeholder=words.MEGAPIXELS_HINT,
                max_length=20,
            )
            self._refusals: dict[Any, gr.HTML] = {}
            self._refusals[self._megapixels] = make_refusal_place("megapixels")
            self._since = gr.Textbox(
                label=words.FILTER_SINCE, placeholder=words.DATE_HINT, max_length=10
            )
            self._refusals[self._since] = make_refusal_place("since")
            self._until = gr.Textbox(
                label=words.FILTER_UNTIL, placeholder=words.DATE_HINT, max_length=10
            )
            self._refusals[self._until] = make_refusal_place("until")
            self._words = gr.Textbox(label=words.FILTER_WORDS, max_length=100)
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        sliders = [self._subject, self._colour, self._texture]
        latest: dict[str, Any] = {**quiet, "trigger_mode": "always_last"}
        self._preset.input(_sliders_of, self._preset, sliders, **latest)
        # Only a pointer releases a slider; arrow keys and its number are inputs alone.
        moved = [event for slider in sliders for event in (slider.input, slider.release)]
        gr.on(moved, _preset_of, sliders, self._preset, **latest)

    @property
    def inputs(self) -> list[Any]:
        """The controls that tell how to search."""
        return [
            *(self.choice, self._count, self._preset),
            *(self._subject, self._colour, self._texture),
            *(self._label, self._folder, self._shape, self._megapixels, self._since),
            *(self._until, self._words, self._order, self._cleaning),
        ]

    @property
    def shown(self) -> list[Any]:
        """What `show` sets: the controls, and what is said to be wrong with them."""
        return [*self.inputs, *self._refusals.values()]

    @property
    def narrowing(self) -> list[Any]:
        """The controls of what depends on the pictures, in the order of `narrow`."""
        return [self._label, self._folder, self._words]

    @property
    def events(self) -> list[Callable[..., Any]]:
        """What asks for a new search, the collection and `written` excepted."""
        sliders = [self._subject, self._colour, self._texture]
        # A preset moves the sliders, and it is the sliders that count.
        events = [self._count.input, *(slider.change for slider in sliders)]
        events += [self._label.input, self._folder.input, self._shape.input, self._order.input]
        return [*events, self._words.submit, self._words.blur]

    @property
    def written(self) -> list[tuple[Callable[..., Any], Any, Any]]:
        """What asks for a new search where `check` finds nothing wrong.

        Each with the field that was left, whose mistakes only this event tells, and their place.
        """
        refusals = self._refusals.items()
        return [(e, field, place) for field, place in refusals for e in (field.submit, field.blur)]

    @property
    def cleaned(self) -> Callable[..., Any]:
        """What asks for an upload to be described anew."""
        event: Callable[..., Any] = self._cleaning.input
        return event

    def check(self, field: Any, values: dict[Any, Any]) -> None:
        """Look whether `read` would leave out what is written in a field, without a word.

        Raises:
            LookalikeError: when a date or a size is none.
        """
        written = values[field]
        if field is self._megapixels:
            if read_megapixels(written) is None:
                raise LookalikeError(words.NO_MEGAPIXELS)
        elif str(written or "").strip() and not read_date(written):
            raise LookalikeError(words.NO_DATE)

    def read(self, values: dict[Any, Any]) -> Options:
        """Return the options of an event; what makes no sense is left out."""
        shares = (values[self._subject], values[self._colour], values[self._texture])
        shape = values[self._shape]
        return Options(
            choice=_text(values[self.choice]),
            count=_count(values[self._count]),
            weights=Weights.bounded(*(_number(share) for share in shares)),
            filters=Filters(
                label=_text(values[self._label]),
                folder=_text(values[self._folder]),
                shape=shape if shape in SHAPES else "",
                megapixels=read_megapixels(values[self._megapixels]) or 0.0,
                since=read_date(values[self._since]),
                until=read_date(values[self._until]),
                words=str(values[self._words] or "")[:100],
            ),
            order=values[self._order] if values[self._order] in ORDERS else "",
            cleaning=next((m for m in CLEANINGS if m == values[self._cleaning]), CLEANINGS[0]),
        )

    def offer(self, held: Sequence[Searcher], choice: str) -> Any:
        """Return the choice of collections that a visitor sees."""
        # "All" is among them even where nothing shows: a page that is still loading sends it, and
        # Gradio refuses what it has not offered.
        offered = [(words.ALL_COLLECTIONS, "")]
        offered += [(searcher.collection.name, searcher.key) for searcher in held]
        if len(held) == 1:
            choice = held[0].key
        return gr.Dropdown(offered, value=choice, visible=len(held) > 1)

    def fitting(self, options: Options, held: Sequence[Searcher]) -> Options:
        """Return the options less a kind or a folder that none of these collections has.

        A filter of the collection before would hide everything, and nobody would see why.
        """
        filters = options.filters
        if filters.label and not any(filters.label in _labels(s) for s in held):
            filters = replace(filters, label="")
        if filters.folder and not any(
            filters.folder in s.collection.listing.folders() for s in held
        ):
            filters = replace(filters, folder="")
        return replace(options, filters=filters)

    def narrow(
        self, filters: Filters, held: Sequence[Searcher], stood: Filters | None = None
    ) -> tuple[Any, Any, Any]:
        """Return the choices of kinds and of folders in what is searched; what is chosen stays.

        And the field for words, which is there where captions are.

        Args:
            stood: what the controls stood at. What is the same is not set, so that what somebody
                chooses or types meanwhile stays; None sets all.
        """
        labels = {label for s in held for label in _labels(s)}
        folders = {folder for s in held for folder in s.collection.listing.folders()}
        tells_more = bool(filters.folder) or not folders <= labels
        has_captions = bool(filters.words) or any(s.collection.listing.has_captions for s in held)

        def value(name: str) -> dict[str, Any]:
            wanted = getattr(filters, name)
            return {} if stood and getattr(stood, name) == wanted else {"value": wanted}

        return (
            gr.Dropdown(_choices(labels, filters.label, pretty), visible=True, **value("label")),
            gr.Dropdown(_choices(folders, filters.folder), visible=tells_more, **value("folder")),
            gr.Textbox(visible=has_captions, **value("words")),
        )

    def show(
        self, options: Options, seen: Sequence[Searcher], held: Sequence[Searcher]
    ) -> tuple[Any, ...]:
        """Return what the controls are to be, for options that an address asked for.

        Args:
            seen: the collections that the visitor sees.
            held: those that are searched.
        """
        weights, filters = options.weights, options.filters
        preset = _preset_of(weights.subject, weights.colour, weights.texture)
        label, folder, captions = self.narrow(filters, held)
        return (
            self.offer(seen, options.choice),
            options.count,
            preset,
            weights.subject,
            weights.colour,
            weights.texture,
            label,
            folder,
            filters.shape,
            write_megapixels(filters.megapixels),
            filters.since,
            filters.until,
            captions,
            options.order,
            options.cleaning,
            *("" for _ in self._refusals),
        )


def _labels(searcher: Searcher) -> list[str]:
    return searcher.collection.listing.distinct_labels()


def _slider(label: str, value: float) -> gr.Slider:
    return gr.Slider(0, 1, value=value, step=0.1, label=label, buttons=[])


def _choices(
    values: Collection[str], chosen: str, shown: Callable[[str], str] = str
) -> list[tuple[str, str]]:
    offered = sorted({*values, chosen} - {""})
    return [(words.FILTER_ANY, ""), *((shown(value), value) for value in offered)]


def _text(value: object) -> str:
    """Return what was chosen, at most as long as a path can be: a page keeps it for hours."""
    return str(value or "")[:MOST_TEXT]


def _number(value: object) -> float:
    """Return a number that was set; 0 for what is none, which only a program sends."""
    try:
        number = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:  # a whole number of hundreds of digits
        return 0.0
    return number if math.isfinite(number) else 0.0


def _count(value: object) -> int:
    """Return a number of results; one that is too large is bounded where it is searched with."""
    return int(_number(value)) or settings.RESULTS


def tell_filters(filters: Filters) -> str:
    """Say which filters are set, as they are named on the page; "" where none is."""
    shape = words.SHAPES[SHAPES.index(filters.shape)] if filters.shape else ""
    told = (
        (words.FILTER_LABEL, pretty(filters.label)),
        (words.FILTER_FOLDER, filters.folder),
        (words.FILTER_SHAPE, shape),
        (words.FILTER_MEGAPIXELS, write_megapixels(filters.megapixels)),
        (words.FILTER_SINCE, filters.since),
        (words.FILTER_UNTIL, filters.until),
        (words.FILTER_WORDS, filters.words),
    )
    return " · ".join(f"{name}: {value}" for name, value in told if value)


def _sliders_of(preset: Any) -> tuple[float, float, float]:
    if preset not in words.PRESETS:
        return gr.skip(), gr.skip(), gr.skip()
    weights = PRESETS[words.PRESETS.index(preset)]
    return weights.subject, weights.colour, weights.texture


def _preset_of(subject: float, colour: float, texture: float) -> str | None:
    """Return the preset that the sliders stand at, if it is one."""
    for name, preset in zip(words.PRESETS, PRESETS, strict=True):
        if (preset.subject, preset.colour, preset.texture) == (subject, colour, texture):
            return name
    return None
