"""The HTML of the buttons of the tab "My pictures", and the id by which they name a collection.

A button tells what it does by `data-act`; `library.js` hands its other data on to the handlers.
"""

from html import escape
from urllib.parse import quote


def name_id(key: str) -> str:
    """Return the id of what names a collection on the page."""
    return f"name-{quote(key, safe='')}"  # a space would end the id


def act_button(
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
