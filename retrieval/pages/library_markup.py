"""The HTML of the tab "My pictures": cards of collections, and what opens inside of them.

Every text is escaped and every address is one of our own. A button tells what it does by
`data-act`; `library.js` hands its other data on to the handlers.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from retrieval import settings
from retrieval.building import Building
from retrieval.changes import Changes
from retrieval.collection import Collection
from retrieval.pages import words
from retrieval.pages.markup import (
    INTO_FRAME,
    duration,
    name_of,
    progress_bar,
    thumbnail_address,
)
from retrieval.paths import called
from retrieval.records import PictureRecord
from retrieval.staging import UploadBounds

LISTED = 200  # names in one list
# In place of a key, or of a place in the bin, which have no colon: the collection that is hidden.
HIDDEN = ":hidden"
PER_PAGE = 60
MOST_MARKED = 1_000  # taken out at once: a request holds no more than twice as many values


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


def drop_zone(bounds: UploadBounds, hours: float | None) -> str:
    """Lay out the place where pictures are dropped; with `hours` it is a visitor's."""
    # `library.js` keeps it true, while the room that a visitor has grows less.
    room = f'<p class="lk-hint" data-bounds>{escape(bounds.as_sentence())}</p>'
    if hours is not None:
        kept = words.ADD_VISITOR.format(
            hours=f"{hours:g}", minutes=settings.VISITOR_IDLE_SECONDS // 60
        )
        room = f'<p class="lk-hint">{escape(kept)}</p>{room}'
    return (
        f'<h2 class="lk-title">{escape(words.ADD_TITLE)}</h2>'
        '<div class="lk-drop" id="add-pictures" data-words="'
        f'{escape(json.dumps(words.UPLOAD_WORDS))}" data-most="{bounds.file_bytes}">'
        f"<p><strong>{_by_hand(words.ADD_DROP, words.ADD_DROP_TOUCH)}</strong></p>"
        f'<div class="lk-row">{_button("folder", words.ADD_FOLDER)}'
        f"{_button('files', words.ADD_FILES)}</div>"
        '<input type="file" hidden data-pick="folder" webkitdirectory multiple>'
        '<input type="file" hidden data-pick="files" multiple accept="image/*,.heic,'
        '.heif,.hif,.avif,.tif,.tiff,.zip,.csv,.lookalike">'
        '<div class="lk-upload"></div></div>'
        + room
        + f'<p class="lk-hint">{escape(words.ADD_LABELS)} '
        + f"{_by_hand(words.ADD_TO, words.ADD_TO_TOUCH)}</p>"
    )


def _by_hand(mouse: str, finger: str) -> str:
    """Say the one to whoever has a mouse, and the other to whoever has none: it drops nothing."""
    return (
        f'<span class="lk-by-mouse">{escape(mouse)}</span>'
        f'<span class="lk-by-finger">{escape(finger)}</span>'
    )


def library(
    notices: Iterable[str],
    cards: Sequence[str],
    hint: str,
    bin_: Sequence[tuple[str, str]] = (),
    asked: str = "",
    with_photos: bool = True,
    hidden: str = "",
) -> str:
    """Lay out the collections, with what there is to say above them, and what was deleted below.

    Args:
        bin_: place and name of each collection that can be brought back.
        asked: the place of the one of which is to be asked whether it shall go for good.
        with_photos: whether photos go with that one.
        hidden: the name of the collection that comes with the app, where it is not shown.
    """
    title = f'<h2 class="lk-title" tabindex="-1">{escape(words.YOUR_COLLECTIONS)}</h2>'
    text = f'<p class="lk-hint">{escape(hint)}</p>' if hint else ""
    if not cards:
        body = (
            f'<div class="lk-empty"><h2>{escape(words.NO_COLLECTIONS)}</h2>'
            f"<p>{escape(words.NO_COLLECTIONS_BODY)}</p></div>"
        )
    else:
        body = f'<ul class="lk-cards" role="list">{"".join(cards)}</ul>'
    deleted = "".join(_discarded(place, name, place == asked, with_photos) for place, name in bin_)
    deleted += _hidden(hidden) if hidden else ""
    bin_name = escape(words.BIN)
    below = f'<ul class="lk-bin" role="list" aria-label="{bin_name}">{deleted}</ul>'
    below = below if deleted else ""
    # Gradio changes what stands in a place into what comes there: with a notice that comes or goes
    # all cards would be made anew, and what is marked or typed in them be lost.
    said = "".join(notices)
    if said:
        said += f'<p class="lk-row">{_button("read", words.DO_CLOSE, kind="lk-link")}</p>'
    return f'{title}{text}<div class="lk-says">{said}</div>{body}{below}'


def card(shown: Card, now: float, opened: str) -> str:
    """Lay out one collection; `opened` is what lies open in it."""
    collection, state, key = shown.collection, shown.state, shown.key
    going_on = state is not None and not state.finished
    of, view = _name_id(key), shown.view
    buttons = _button("search", words.DO_SEARCH, key, "lk-main", of=of)
    if shown.editable:
        # They are always there: where one came or went, a press or the focus would be on another.
        if not collection.in_place:
            buttons += _button("add", words.DO_ADD, key, possible=not going_on, of=of)
        if collection.root is not None:
            is_open = view == "changes"
            buttons += _button(
                "look", words.DO_LOOK, key, possible=not going_on, of=of, is_open=is_open
            )
        for act, text in (
            ("pictures", words.DO_PICTURES),
            ("rename", words.DO_RENAME),
            ("download", words.DO_DOWNLOAD),
        ):
            buttons += _button(act, text, key, of=of, is_open=view == act)
        buttons += _button("delete", words.DO_DELETE, key, of=of)
    if shown.hideable:
        buttons += _button("hide", words.DO_HIDE, key, of=of)
    images = "".join(
        f'<img src="{escape(thumbnail_address(key, picture))}" alt="" loading="lazy">'
        for picture in collection.sample(4)
    )
    drop = ""
    if shown.editable:
        drop = " data-in-place" if collection.in_place else f' data-drop="{escape(key)}"'
    return (
        f'<li class="lk-collection" data-key="{escape(key)}"{drop}>'
        f'<div class="lk-mosaic" aria-hidden="true">{images}</div>'
        f'<div class="lk-about"><h3 id="{of}">{escape(collection.name)}</h3>'
        f'<p class="lk-meta">{escape(_meta(shown))}</p>{_status(shown, now)}'
        f'</div><div class="lk-row">{buttons}</div>{opened}</li>'
    )


def refused_card(key: str, sentence: str, editable: bool, mendable: bool = False) -> str:
    """Lay out a collection that cannot be opened, with the reason."""
    of = _name_id(key)
    button = _button("mend", words.DO_MEND, key, "lk-main", of=of) if mendable else ""
    button += _button("delete", words.DO_DELETE, key, of=of) if editable else ""
    return (
        f'<li class="lk-collection lk-refused"><div class="lk-about"><h3 id="{of}">{escape(key)}'
        f'</h3><p class="lk-meta">{escape(sentence)}</p></div>'
        f'<div class="lk-row">{button}</div></li>'
    )


def notice(
    text: str, hint: str = "", button: str = "", items: Sequence[tuple[str, str]] = ()
) -> str:
    """Say something above the collections, with a button that answers it.

    `library.js` has it read aloud.
    """
    small = f" <span>{escape(hint)}</span>" if hint else ""
    listed = _table(items) if items else ""
    return (
        '<div class="lk-notice lk-say" tabindex="-1">'
        f"<div>{escape(text)}{small}</div>{button}{listed}</div>"
    )


def undo_button(place: str) -> str:
    """Return the button that brings a deleted collection back."""
    return _button("undo", words.DO_UNDO, place)


def _discarded(place: str, name: str, asked: bool, with_photos: bool) -> str:
    """Lay out what can be done with a collection in the bin."""
    of = _name_id(place)
    if asked:
        text = words.EMPTY_FOR_GOOD if with_photos else words.EMPTY_WITHOUT_PHOTOS
        text = text.format(name=name)
        # What stands where it was asked from gets the focus no more: it may be pressed twice.
        buttons = (
            _button("close", words.DO_KEEP, of=of, focus=True),
            _button("empty-for-good", words.DO_DELETE_FOR_GOOD, place, of=of),
        )
    else:
        text = words.DELETED.format(name=name)
        buttons = (
            _button("undo", words.DO_UNDO, place, of=of),
            _button("empty", words.DO_DELETE_FOR_GOOD, place, of=of),
        )
    row = f'<div class="lk-row">{" ".join(buttons)}</div>'
    said = f'<span id="{of}">{escape(text)}</span>'
    return f'<li class="lk-discarded" data-key="{escape(place)}">{said}{row}</li>'


def _hidden(name: str) -> str:
    """Lay out the way back to the collection that comes with the app."""
    of = _name_id(HIDDEN)
    said = f'<span id="{of}">{escape(words.HIDDEN.format(name=name))}</span>'
    row = f'<div class="lk-row">{_button("show", words.DO_SHOW_AGAIN, of=of)}</div>'
    return f'<li class="lk-discarded" data-key="{HIDDEN}">{said}{row}</li>'


def show_button() -> str:
    """Return the button that shows the collection that comes with the app again."""
    return _button("show", words.DO_UNDO)


def readmit_button(key: str) -> str:
    """Return the button that brings back the pictures that were taken out last."""
    return _button("unremove", words.DO_UNDO, key)


def rename_form(key: str, name: str) -> str:
    """Lay out the field for another name."""
    return _open_part(
        "rename",
        f'<form class="lk-row" data-act="name" data-key="{escape(key)}">'
        f'<label class="lk-field"><span>{escape(words.NAME_LABEL)}</span>'
        f'<input name="value" maxlength="80" value="{escape(name)}" data-focus></label>'
        f'<button class="lk-button lk-main">{escape(words.DO_SAVE)}</button>'
        f"{_button('close', words.DO_CLOSE)}</form>",
    )


def delete_for_good(key: str) -> str:
    """Ask once more, where nothing is brought back."""
    of = f"question-{quote(key, safe='')}"
    return _open_part(
        "delete",
        f'<p id="{of}">{escape(words.DELETE_FOR_GOOD)}</p><div class="lk-row">'
        f"{_button('delete-for-good', words.DO_DELETE_FOR_GOOD, key, 'lk-main', of=of)}"
        f"{_button('close', words.DO_KEEP, of=of, focus=True)}</div>",
    )


def download(key: str, has_photos: bool) -> str:
    """Offer the collection as one file."""
    address = f"bundles/{quote(key)}.lookalike"
    ways = [("", "lk-main", words.DOWNLOAD_SMALL, words.DOWNLOAD_SMALL_HINT)]
    if has_photos:
        ways.append(("?photos=1", "", words.DOWNLOAD_ALL, words.DOWNLOAD_ALL_HINT))
    rows = "".join(
        f'<div class="lk-row"><a class="lk-button {look}" href="{address}{query}" {INTO_FRAME}>'
        f'{escape(name)}</a><span class="lk-hint">{escape(hint)}</span></div>'
        for query, look, name, hint in ways
    )
    return _open_part(
        "download",
        f"<p>{escape(words.DOWNLOAD_HINT)}</p>{rows}"
        f'<div class="lk-row">{_button("close", words.DO_CLOSE)}</div>',
    )


def problems(key: str, rows: Sequence[tuple[str, str]]) -> str:
    """List the files that could not be read, and why."""
    where = f'class="lk-button" href="problems/{quote(key)}.csv" {INTO_FRAME}'
    link = f"<a {where}>{escape(words.DO_CSV)}</a>"
    return _open_part(
        "problems",
        _table(rows) + f'<div class="lk-row">{link}{_button("close", words.DO_CLOSE)}</div>',
    )


def changes(key: str, found: Changes, excluded: int, root: Path) -> str:
    """Show what differs in the folder, before any of it is applied."""
    known = set(found.changed)
    relative = [
        path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        for path in found.to_read
    ]
    groups: dict[str, list[str]] = {
        "new": [name for name in relative if name not in known],
        "changed": list(found.changed),
        "moved": [f"{move.old} → {move.new.path}" for move in found.moved],
        "vanished": list(found.vanished),
        "captions": [path for path, _, _ in found.recaptioned],
    }
    parts = "".join(
        f"<details><summary>{escape(words.CHANGES[kind].format(n=f'{len(items):,}'))}</summary>"
        f"{_names(items)}</details>"
        for kind, items in groups.items()
        if items
    )
    if not parts:
        parts = f"<p>{escape(words.CHANGES_NONE)}</p>"
    for folder in found.unreadable_folders:
        parts += f'<p class="lk-hint">{escape(words.CHANGES_CLOSED.format(name=folder))}</p>'
    for table in found.unread_tables:
        said = words.CHANGES_TABLE.format(name=table.name, why=table.why)
        if table.flaw != "narrowed":
            said += " " + words.CHANGES_UNREAD
        parts += f'<p class="lk-hint">{escape(said)}</p>'
    if found.untold:
        parts += f'<p class="lk-hint">{escape(words.CHANGES_UNTOLD.format(why=found.untold))}</p>'
    buttons = _button("apply", words.DO_APPLY, key, "lk-main") if found.any else ""
    if excluded:
        parts += f'<p class="lk-hint">{escape(words.CHANGES_OUT.format(n=f"{excluded:,}"))}</p>'
        buttons += _button("readmit", words.DO_READMIT, key)
    return _open_part(
        "changes", f'{parts}<div class="lk-row">{buttons}{_button("close", words.DO_CLOSE)}</div>'
    )


def pictures(
    key: str, page: Sequence[PictureRecord], start: int, total: int, alone: int, notice: str
) -> str:
    """Lay out one page of the pictures, each with a mark to take it out.

    `library.js` counts the marks, on other pages too.

    Args:
        alone: how many of them could not be brought back then.
    """
    tiles = "".join(
        f'<li><label title="{escape(picture.path)}"><input type="checkbox" value="{picture.id}" '
        f'aria-label="{escape(words.MARK.format(name=picture.path))}">'
        f'<img src="{escape(thumbnail_address(key, picture))}" alt="" loading="lazy">'
        f"<span>{escape(name_of(picture))}</span></label></li>"
        for picture in page
    )
    where = words.PICTURES_PAGE.format(
        first=f"{min(start + 1, total):,}", last=f"{start + len(page):,}", total=f"{total:,}"
    )
    several = total > PER_PAGE
    mark, unmark = words.DO_MARK_PAGE if several else words.DO_MARK
    buttons = _button("remove", words.DO_REMOVE, key, "lk-main", possible=False)
    buttons += _button("mark", mark, key)
    counted = "".join(
        f' data-{name}="{escape(str(value))}"'
        for name, value in (
            ("out", words.DO_REMOVE),
            ("out-marked", words.DO_REMOVE_MARKED),
            ("mark", mark),
            ("unmark", unmark),
            ("most", MOST_MARKED),
        )
    )
    if several:
        # Both are always there: where one came or went, the focus would be on the other.
        for text, to, possible in (
            (words.DO_LESS, start - PER_PAGE, start > 0),
            (words.DO_MORE, start + PER_PAGE, start + len(page) < total),
        ):
            buttons += _button("page", text, key, start=max(0, to), possible=possible)
    if alone:
        notice += f'<p class="lk-hint">{escape(words.PICTURES_ALONE.format(n=f"{alone:,}"))}</p>'
    return _open_part(
        "pictures",
        f'<div>{notice}</div><ul class="lk-marks" role="list"{counted}>{tiles}</ul>'
        f'<div class="lk-row">{buttons}{_button("close", words.DO_CLOSE)}'
        f'<span class="lk-hint">{escape(where)}</span>'
        f'<span class="lk-hint lk-by-mouse">{escape(words.MARK_RANGE)}</span></div>',
    )


def _meta(shown: Card) -> str:
    collection = shown.collection
    ready, unread = collection.count()
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
    ready, unread = collection.count()
    of, is_open = _name_id(key), shown.view == "problems"
    show = _button("problems", words.DO_SHOW_PROBLEMS, key, "lk-link", of=of, is_open=is_open)
    show = show if unread else ""
    resume = _button("resume", words.DO_RESUME, key, "lk-link", of=of) if shown.editable else ""
    if shown.taking and (state is None or state.finished):
        return f'<p class="lk-state">{escape(words.LIBRARY_TAKING)}</p>'
    if _rests(shown):
        text = words.UNREAD.format(n=f"{unread:,}") + "." if unread else ""
        text = f"{text} {shown.captioned}".strip()
        link = show if shown.editable else ""
        return f'<p class="lk-state">{escape(text)} {link}</p>' if text else ""
    if state is None or (state.finished and not state.step.total and not state.problem):
        return f'<p class="lk-state">{escape(words.LIBRARY_STOPPED)} {resume}{show}</p>'
    if not state.finished:
        possible = not state.stopping
        stop = _button("cancel", words.DO_CANCEL, key, "lk-link", possible=possible, of=of)
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
        return f'<p class="lk-state" role="status">{escape(words.LIBRARY_NONE)} {show}</p>'
    text = words.LIBRARY_READY_UNREAD if unread else words.LIBRARY_READY
    text = text.format(pictures=words.pictures(ready), unread=f"{unread:,}")
    if shown.added:
        text = f"{words.LIBRARY_ADDED.format(pictures=words.pictures(shown.added))} {text}"
    if shown.captioned:
        text = f"{text} {shown.captioned}"
    return f'<p class="lk-state lk-good" role="status">{escape(text)} {show}</p>'


def _stopped(state: Building) -> str:
    step = state.step
    if not step.total:  # before it was known how many there are
        return words.LIBRARY_STOPPED
    left, pictures = f"{step.total - step.done:,}", words.pictures(step.total)
    return words.LIBRARY_STOPPED_AT.format(left=left, pictures=pictures)


def _progress(state: Building, now: float) -> tuple[str, str]:
    step = state.step
    if state.stopping:
        bar = progress_bar(step.done / step.total, words.LIBRARY_STOPPING) if step.total else ""
        return words.LIBRARY_STOPPING, bar
    if state.waiting:
        return words.LIBRARY_WAITS, ""
    if not step.total:
        return words.LIBRARY_SCAN, ""
    text = words.LIBRARY_BUILDING.format(done=f"{step.done:,}", pictures=words.pictures(step.total))
    rate, left = state.rate(now), state.seconds_left(now)
    if rate:
        text += words.LIBRARY_RATE.format(rate=f"{rate:.1f}")
    if left is not None:
        text += words.LIBRARY_LEFT.format(time=duration(left))
    return text, progress_bar(step.done / step.total, text)


def _name_id(key: str) -> str:
    return f"name-{quote(key, safe='')}"  # a space would end the id


def _open_part(view: str, inner: str) -> str:
    """Lay out what lies open in a card; by its name `library.js` knows it from another one."""
    return f'<div class="lk-open" data-view="{view}">{inner}</div>'


def _button(
    act: str,
    text: str,
    key: str = "",
    kind: str = "",
    start: int | None = None,
    possible: bool = True,
    of: str = "",
    is_open: bool | None = None,
    focus: bool = False,
) -> str:
    """Lay out a button.

    Args:
        of: the id of what names its collection, for those who hear it alone.
        is_open: whether what it opens lies open; None where it opens nothing.
        focus: whether it gets the focus as it comes.
    """
    more = "" if start is None else f' data-start="{start}"'
    more += f' aria-describedby="{of}"' if of else ""
    more += "" if is_open is None else f' aria-expanded="{str(is_open).lower()}"'
    more += " data-focus" if focus else ""
    more += "" if possible else " disabled"
    return (
        f'<button type="button" class="lk-button {kind}" data-act="{act}" '
        f'data-key="{escape(key)}"{more}>{escape(text)}</button>'
    )


def _names(names: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(name)}</li>" for name in names[:LISTED])
    if len(names) > LISTED:
        items += f"<li>{escape(words.AND_MORE.format(n=f'{len(names) - LISTED:,}'))}</li>"
    return f"<ul>{items}</ul>"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    body = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(why)}</td></tr>" for name, why in rows[:LISTED]
    )
    if len(rows) > LISTED:
        more = words.AND_MORE.format(n=f"{len(rows) - LISTED:,}")
        body += f'<tr><td colspan="2">{escape(more)}</td></tr>'
    return (
        f'<div class="lk-scroll"><table class="lk-table"><thead><tr>'
        f"<th>{escape(words.PROBLEM_FILE)}</th><th>{escape(words.PROBLEM_WHY)}</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )
