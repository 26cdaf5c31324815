"""The HTML of what a button opens in the card of a collection: every text in it is escaped."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from retrieval.changes import Changes
from retrieval.pages import words
from retrieval.pages.buttons import act_button
from retrieval.pages.markup import INTO_FRAME, name_of, thumbnail_address
from retrieval.records import PictureRecord

LISTED = 200  # names in one list
PER_PAGE = 60
MOST_MARKED = 1_000  # taken out at once: a request holds no more than twice as many values


def rename_form(key: str, name: str, refused: str = "") -> str:
    """Lay out the field for another name, and below it what is wrong with one, as HTML."""
    return _open_part(
        "rename",
        f'<form class="lk-row" data-act="name" data-key="{escape(key)}">'
        f'<label class="lk-field"><span>{escape(words.NAME_LABEL)}</span>'
        f'<input name="value" maxlength="80" value="{escape(name)}" data-focus></label>'
        f'<button class="lk-button lk-main">{escape(words.DO_SAVE)}</button>'
        f"{act_button('close', words.DO_CLOSE)}</form>"
        f'<div id="name-refusal">{refused}</div>',
    )


def delete_for_good(key: str) -> str:
    """Ask once more, where nothing is brought back."""
    of = f"question-{quote(key, safe='')}"
    return _open_part(
        "delete",
        f'<p id="{of}">{escape(words.DELETE_FOR_GOOD)}</p><div class="lk-row">'
        f"{act_button('delete-for-good', words.DO_DELETE_FOR_GOOD, key, 'lk-main', of=of)}"
        f"{act_button('close', words.DO_KEEP, of=of, focus=True)}</div>",
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
        f'<div class="lk-row">{act_button("close", words.DO_CLOSE)}</div>',
    )


def problems(key: str, rows: Sequence[tuple[str, str]]) -> str:
    """List the files that could not be read, and why."""
    where = f'class="lk-button" href="problems/{quote(key)}.csv" {INTO_FRAME}'
    link = f"<a {where}>{escape(words.DO_CSV)}</a>"
    return _open_part(
        "problems",
        table_of(rows) + f'<div class="lk-row">{link}{act_button("close", words.DO_CLOSE)}</div>',
    )


def changes(key: str, found: Changes, root: Path) -> str:
    """Show what differs in the folder, before any of it is applied."""
    known = {*found.changed, *found.touched, *found.let_in}
    relative = [
        path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        for path in found.to_read
    ]
    groups: dict[str, list[str]] = {
        "new": [name for name in relative if name not in known],
        "changed": list(found.changed),
        "touched": list(found.touched),
        "moved": [f"{move.old} → {move.new.path}" for move in found.moved],
        "vanished": list(found.vanished),
        "captions": [path for path, _, _ in found.recaptioned],
        "let_in": list(found.let_in),
    }
    parts = "".join(
        f"<details><summary>{escape(words.CHANGES[kind].format(n=f'{len(items):,}'))}</summary>"
        f"{_names(items)}</details>"
        for kind, items in groups.items()
        if items
    )
    if not parts:
        parts = f"<p>{escape(words.CHANGES_NONE)}</p>"
    if found.touched:
        parts += f'<p class="lk-hint">{escape(words.CHANGES_TOUCHED)}</p>'
    for folder in found.unreadable_folders:
        parts += f'<p class="lk-hint">{escape(words.CHANGES_CLOSED.format(name=folder))}</p>'
    for table in found.unread_tables:
        said = words.CHANGES_TABLE.format(name=table.name, why=table.why)
        if table.flaw != "narrowed":
            said += " " + words.CHANGES_UNREAD
        parts += f'<p class="lk-hint">{escape(said)}</p>'
    if found.untold:
        parts += f'<p class="lk-hint">{escape(words.CHANGES_UNTOLD.format(why=found.untold))}</p>'
    buttons = act_button("apply", words.DO_APPLY, key, "lk-main") if found.any else ""
    if found.left_out:
        left_out = words.CHANGES_OUT.format(n=f"{found.left_out:,}")
        parts += f'<p class="lk-hint">{escape(left_out)}</p>'
        buttons += act_button("readmit", words.DO_READMIT, key)
    return _open_part(
        "changes",
        f'{parts}<div class="lk-row">{buttons}{act_button("close", words.DO_CLOSE)}</div>',
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
    place = f'<span class="lk-hint">{escape(where)}</span>'
    several = total > PER_PAGE
    mark, unmark = words.DO_MARK_PAGE if several else words.DO_MARK
    buttons = act_button("remove", words.DO_REMOVE, key, "lk-main", possible=False)
    buttons += act_button("mark", mark, key)
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
        turns = "".join(
            act_button("page", text, key, start=max(0, to), possible=possible)
            for text, to, possible in (
                (words.DO_LESS, start - PER_PAGE, start > 0),
                (words.DO_MORE, start + PER_PAGE, start + len(page) < total),
            )
        )
        place = f'<span class="lk-row lk-pages">{turns}{place}</span>'
    if alone:
        notice += f'<p class="lk-hint">{escape(words.pictures_alone(alone, len(page)))}</p>'
    return _open_part(
        "pictures",
        f'<div>{notice}</div><ul class="lk-marks" role="list"{counted}>{tiles}</ul>'
        f'<div class="lk-row">{buttons}{act_button("close", words.DO_CLOSE)}{place}'
        f'<span class="lk-hint lk-by-mouse">{escape(words.MARK_RANGE)}</span></div>',
    )


def _open_part(view: str, inner: str) -> str:
    """Lay out what lies open in a card; by its name `library.js` knows it from another one."""
    return f'<div class="lk-open" data-view="{view}">{inner}</div>'


def _names(names: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(name)}</li>" for name in names[:LISTED])
    if len(names) > LISTED:
        items += f"<li>{escape(words.AND_MORE.format(n=f'{len(names) - LISTED:,}'))}</li>"
    return f"<ul>{items}</ul>"


def table_of(rows: Sequence[tuple[str, str]]) -> str:
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
