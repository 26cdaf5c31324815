"""The HTML of the card of a collection: what it is, how building stands, and its buttons.

Every text is escaped and every address is one of our own.
"""

from dataclasses import dataclass
from html import escape

from retrieval.building import Building
from retrieval.collection import Collection
from retrieval.pages import words
from retrieval.pages.buttons import act_button, name_id
from retrieval.pages.markup import duration, progress_bar, thumbnail_address
from retrieval.paths import called


@dataclass(frozen=True)
class Card:
    """What one card shows."""

    key: str
    collection: Collection
    state: Building | None
    editable: bool
    hideable: bool = False
    hours_left: float | None = None  # of a private collection
    taking: bool = False  # whether an upload is just being taken into it
    view: str = ""  # what lies open in it
    added: int = 0  # pictures that were added to it last
    captioned: str = ""  # what came of the tables that were

    @property
    def at_work(self) -> bool:
        """Whether something is just being done to it."""
        return self.taking or (self.state is not None and not self.state.finished)


def card(shown: Card, now: float, opened: str) -> str:
    """Lay out one collection; `opened` is what lies open in it."""
    collection, state, key = shown.collection, shown.state, shown.key
    going_on = state is not None and not state.finished
    of, view = name_id(key), shown.view
    buttons = act_button("search", words.DO_SEARCH, key, "lk-main", of=of)
    if shown.editable:
        # They are always there: where one came or went, a press or the focus would be on another.
        if not collection.in_place:
            buttons += act_button("add", words.DO_ADD, key, possible=not going_on, of=of)
        if collection.root is not None:
            is_open = view == "changes"
            buttons += act_button(
                "look", words.DO_LOOK, key, possible=not going_on, of=of, is_open=is_open
            )
        for act, text in (
            ("pictures", words.DO_PICTURES),
            ("rename", words.DO_RENAME),
            ("download", words.DO_DOWNLOAD),
        ):
            buttons += act_button(act, text, key, of=of, is_open=view == act)
        buttons += act_button("delete", words.DO_DELETE, key, of=of)
    if shown.hideable:
        buttons += act_button("hide", words.DO_HIDE, key, of=of)
    images = "".join(
        f'<img src="{escape(thumbnail_address(key, picture))}" alt="" loading="lazy">'
        for picture in collection.listing.sample(4)
    )
    drop, name = "", escape(collection.name)
    if shown.editable:
        drop = " data-in-place" if collection.in_place else f' data-drop="{escape(key)}"'
    return (
        f'<li class="lk-collection" data-key="{escape(key)}"{drop}>'
        f'<div class="lk-mosaic" aria-hidden="true">{images}</div>'
        f'<div class="lk-about"><h3 id="{of}" title="{name}">{name}</h3>'
        f'<p class="lk-meta">{escape(_meta(shown))}</p>{_status(shown, now)}'
        f'</div><div class="lk-row">{buttons}</div>{opened}</li>'
    )


def refused_card(key: str, sentence: str, editable: bool, mendable: bool = False) -> str:
    """Lay out a collection that cannot be opened, with the reason."""
    of = name_id(key)
    button = act_button("mend", words.DO_MEND, key, "lk-main", of=of) if mendable else ""
    button += act_button("delete", words.DO_DELETE, key, of=of) if editable else ""
    return (
        '<li class="lk-collection lk-refused"><div class="lk-about">'
        f'<h3 id="{of}" title="{escape(key)}">{escape(key)}</h3>'
        f'<p class="lk-meta">{escape(sentence)}</p></div>'
        f'<div class="lk-row">{button}</div></li>'
    )


def _meta(shown: Card) -> str:
    collection = shown.collection
    ready, unread = collection.listing.count()
    parts = [words.pictures(ready)]
    done = shown.state is not None and shown.state.ended and not shown.state.cancelled
    if unread and not done and not _rests(shown):  # else the line below says so
        parts.append(words.UNREAD.format(n=f"{unread:,}"))
    root = collection.root
    if shown.hours_left is not None:
        parts.append(words.PRIVATE.format(time=duration(3600 * shown.hours_left)))
    elif collection.read_only:
        parts.append(words.SHIPPED)
    elif shown.editable and collection.keeps_originals:
        parts.append(words.KEPT_HERE)
    elif shown.editable and root is not None:
        parts.append(words.IN_PLACE.format(folder=called(root)))
    elif shown.editable:
        parts.append(words.NOT_HERE)
    return " · ".join(parts)


def _rests(shown: Card) -> bool:
    """Return whether nothing has happened since the start, and nothing is left to be read."""
    state, collection = shown.state, shown.collection
    untouched = state is None or (state.finished and not state.step.total and not state.problem)
    return untouched and (collection.read_only or not collection.unfinished)


def _status(shown: Card, now: float) -> str:
    """Say how building stands, with the button that fits."""
    state, collection, key = shown.state, shown.collection, shown.key
    ready, unread = collection.listing.count()
    of, is_open = name_id(key), shown.view == "problems"
    show = act_button("problems", words.DO_SHOW_PROBLEMS, key, "lk-link", of=of, is_open=is_open)
    show = show if unread else ""
    resume = act_button("resume", words.DO_RESUME, key, "lk-link", of=of) if shown.editable else ""
    if shown.taking and (state is None or state.finished):
        return f'<p class="lk-state">{escape(words.LIBRARY_TAKING)}</p>'
    if _rests(shown):
        text = words.UNREAD.format(n=f"{unread:,}") + "." if unread else ""
        link = show if shown.editable else ""
        told = f"{escape(text)} {link} {escape(shown.captioned)}".strip()
        return f'<p class="lk-state">{told}</p>' if told else ""
    if state is None or (state.finished and not state.step.total and not state.problem):
        return f'<p class="lk-state">{escape(words.LIBRARY_STOPPED)} {resume}{show}</p>'
    if not state.finished:
        possible = not state.stopping
        stop = act_button("cancel", words.DO_CANCEL, key, "lk-link", possible=possible, of=of)
        stop = stop if shown.editable else ""
        text, bar = _progress(state, now)
        return f'<div class="lk-state">{escape(text)} {stop}{bar}</div>'
    if state.problem:
        return f'<p class="lk-state lk-bad" role="alert">{escape(state.problem)} {resume}</p>'
    if state.cancelled:
        return f'<p class="lk-state">{escape(_stopped(state))} {resume}{show}</p>'
    if collection.unfinished:  # something came since, and was not read
        return f'<p class="lk-state">{escape(words.LIBRARY_STOPPED)} {resume}{show}</p>'
    if not ready:
        return f'<p class="lk-state">{escape(words.LIBRARY_NONE)} {show}</p>'
    text = words.LIBRARY_READY_UNREAD if unread else words.LIBRARY_READY
    text = text.format(pictures=words.pictures(ready), unread=f"{unread:,}")
    if shown.added:
        text = f"{words.LIBRARY_ADDED.format(pictures=words.pictures(shown.added))} {text}"
    told = f"{escape(text)} {show} {escape(shown.captioned)}"  # the button lists what is unread
    return f'<p class="lk-state lk-good">{told}</p>'


def _stopped(state: Building) -> str:
    if not state.total:  # before it was known how many there are
        return words.LIBRARY_STOPPED
    left, pictures = f"{state.total - state.done:,}", words.pictures(state.total)
    return words.LIBRARY_STOPPED_AT.format(left=left, pictures=pictures)


def _progress(state: Building, now: float) -> tuple[str, str]:
    done, total = state.done, state.total
    if state.stopping:
        bar = progress_bar(done / total, words.LIBRARY_STOPPING) if total else ""
        return words.LIBRARY_STOPPING, bar
    if state.waiting:
        return words.LIBRARY_WAITS, ""
    if not total:
        return words.LIBRARY_SCAN, ""
    text = words.LIBRARY_BUILDING.format(done=f"{done:,}", pictures=words.pictures(total))
    rate, left = state.rate(now), state.seconds_left(now)
    if rate:
        text += words.LIBRARY_RATE.format(rate=f"{rate:.1f}")
    if left is not None:
        text += words.LIBRARY_LEFT.format(time=duration(left))
    return text, progress_bar(done / total, text)
