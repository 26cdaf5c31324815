"""The HTML of the tab "My pictures" around its cards: where pictures are dropped, what there is to
say above the collections, and what was deleted below them.

Every text is escaped and every address is one of our own.
"""

import json
from collections.abc import Iterable, Sequence
from html import escape

from retrieval import settings
from retrieval.pages import words
from retrieval.pages.buttons import act_button, name_id
from retrieval.pages.opened_markup import table_of
from retrieval.staging import UploadBounds

# In place of a key, or of a place in the bin, which have no colon: the collection that is hidden.
HIDDEN = ":hidden"


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
        f'<div class="lk-row">{act_button("folder", words.ADD_FOLDER)}'
        f"{act_button('files', words.ADD_FILES)}</div>"
        '<input type="file" hidden data-pick="folder" webkitdirectory multiple>'
        '<input type="file" hidden data-pick="files" multiple accept="image/*,.heic,'
        '.heif,.hif,.avif,.tif,.tiff,.mpo,.zip,.csv,.lookalike">'
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
        said += f'<p class="lk-row">{act_button("read", words.DO_CLOSE, kind="lk-link")}</p>'
    return f'{title}{text}<div class="lk-says">{said}</div>{body}{below}'


def notice(
    text: str, hint: str = "", button: str = "", items: Sequence[tuple[str, str]] = ()
) -> str:
    """Say something above the collections, with a button that answers it.

    `library.js` has it read aloud.
    """
    small = f" <span>{escape(hint)}</span>" if hint else ""
    listed = table_of(items) if items else ""
    return (
        '<div class="lk-notice lk-say" tabindex="-1">'
        f"<div>{escape(text)}{small}</div>{button}{listed}</div>"
    )


def undo_button(place: str) -> str:
    """Return the button that brings a deleted collection back."""
    return act_button("undo", words.DO_UNDO, place)


def _discarded(place: str, name: str, asked: bool, with_photos: bool) -> str:
    """Lay out what can be done with a collection in the bin."""
    of = name_id(place)
    if asked:
        text = words.EMPTY_FOR_GOOD if with_photos else words.EMPTY_WITHOUT_PHOTOS
        text = text.format(name=name)
        # What stands where it was asked from gets the focus no more: it may be pressed twice.
        buttons = (
            act_button("close", words.DO_KEEP, of=of, focus=True),
            act_button("empty-for-good", words.DO_DELETE_FOR_GOOD, place, of=of),
        )
    else:
        text = words.DELETED.format(name=name)
        buttons = (
            act_button("undo", words.DO_UNDO, place, of=of),
            act_button("empty", words.DO_DELETE_FOR_GOOD, place, of=of),
        )
    row = f'<div class="lk-row">{" ".join(buttons)}</div>'
    said = f'<span id="{of}">{escape(text)}</span>'
    return f'<li class="lk-discarded" data-key="{escape(place)}">{said}{row}</li>'


def _hidden(name: str) -> str:
    """Lay out the way back to the collection that comes with the app."""
    of = name_id(HIDDEN)
    said = f'<span id="{of}">{escape(words.HIDDEN.format(name=name))}</span>'
    row = f'<div class="lk-row">{act_button("show", words.DO_SHOW_AGAIN, of=of)}</div>'
    return f'<li class="lk-discarded" data-key="{HIDDEN}">{said}{row}</li>'


def show_button() -> str:
    """Return the button that shows the collection that comes with the app again."""
    return act_button("show", words.DO_UNDO)


def readmit_button(key: str) -> str:
    """Return the button that brings back the pictures that were taken out last."""
    return act_button("unremove", words.DO_UNDO, key)
