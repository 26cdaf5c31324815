"""The tab "Copies": groups of near-duplicates of a collection, with a hint which one to keep."""

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retrieval import tables
from retrieval.collection import Collection
from retrieval.copies import Copy, Group, seconds_for, spare_bytes
from retrieval.errors import LookalikeError
from retrieval.originals import has_original
from retrieval.pages import markup, words
from retrieval.pages.access import Access
from retrieval.pages.elements import number_of
from retrieval.pages.sessions import visitor_of
from retrieval.pages.transfers import attachment
from retrieval.pages.worked_out import LIGHT, PATIENCE, Sentences, Turned, WorkedOut
from retrieval.records import PictureRecord
from retrieval.tables import harmless
from retrieval.workspace import Workspace

GROUPS_SHOWN = 20  # at a time
COPIES_SHOWN = 12  # of a group
# "Next" and "Back" tell where to turn. What comes has buttons of its own, and the focus would be
# nowhere.
TURN = """
let pressed = -1;
const buttons = () => [...element.querySelectorAll('button[data-start]')];
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-start]');
  if (!button) return;
  pressed = buttons().indexOf(button);
  trigger('turn', {start: Number(button.dataset.start)});
  element.scrollIntoView();
});
new MutationObserver(() => {
  const both = buttons();
  const lost = !document.activeElement || document.activeElement === document.body;
  if (pressed < 0 || !both.length || !lost) return;
  const button = both[pressed].disabled ? both[1 - pressed] : both[pressed];
  pressed = -1;
  button.focus({preventScroll: true});
}).observe(element, {childList: true, subtree: true, attributeFilter: ['disabled']});
"""


SENTENCES = Sentences(
    words.COPIES_EMPTY,
    words.COPIES_LATER,
    words.COPIES_SEARCH_TITLE,
    words.COPIES_SEARCH,
    words.COPIES_FAILED_TITLE,
)


class DuplicatesPage:
    """The page of copies: `build` lays it out and wires the handlers below it."""

    def __init__(self, workspace: Workspace, access: Access) -> None:
        copies = workspace.copies
        self._access = access
        self.copies = WorkedOut(
            workspace, "copies", SENTENCES, copies, seconds_for, self._show, script=TURN
        )

    def build(self, tab: gr.Tab, searched: gr.Dropdown) -> None:
        """Add the page to the tab; it follows the choice of the search."""
        lead = (
            words.COPIES_LEAD,
            words.COPIES_SAFE,
            words.COPIES_RULE,
            words.COPIES_OPEN_ONE,
        )
        text = "".join(f'<p class="lk-lead">{escape(line)}</p>' for line in lead)
        stands, shown = self.copies.lay_out(tab, searched, text)
        shown[0].turn(self.on_turn, stands, shown, **LIGHT)

    def on_turn(
        self, choice: str | None, turned: Turned, request: gr.Request, event: gr.EventData
    ) -> tuple[Any, ...]:
        """Show the groups from another one on."""
        return self.copies.on_tick(choice, turned, request, start=number_of(event.start))

    def _show(
        self,
        key: str,
        collection: Collection,
        groups: Sequence[Group],
        start: int,
        request: gr.Request,
    ) -> str:
        if groups:
            is_owner = self._access.is_owner(request) and not self._access.is_public
            return show_groups(key, groups, start, collection if is_owner else None)
        n, _ = collection.count()
        text = words.COPIES_NONE.format(pictures=words.pictures(n)) if n > 1 else words.COPIES_ALONE
        return markup.empty(words.COPIES_NONE_TITLE, text)


def copies_route(workspace: Workspace) -> Route:
    """Serve `copies/KEY.csv`: the list of a collection's copies."""

    def table(request: Request) -> Response:
        try:
            key, visitor = request.path_params["key"], visitor_of(request)
            collection = workspace.searcher(key, visitor).collection
            building = workspace.building(key)
            if building is not None and not building.finished:
                # Every batch would have it worked out anew.
                raise LookalikeError(words.COPIES_LATER)
            # Who presses the link has seen the list, but anybody may ask; and who waits here takes
            # one of the few threads that all requests share.
            task = workspace.copies.ask(collection, PATIENCE)
            if task.result is None:
                time = markup.duration(seconds_for(collection.count()[0]))
                raise LookalikeError(task.problem or words.COPIES_NOT_YET.format(time=time))
            name = f"{collection.name} - copies.csv"
        except LookalikeError as error:
            return Response(str(error), 404, media_type="text/plain")
        headers = {**attachment(name), "Cache-Control": "no-store"}
        return Response(as_csv(task.result), media_type="text/csv", headers=headers)

    return Route("/copies/{key}.csv", table)


def as_csv(groups: Sequence[Group]) -> bytes:
    """Return the list as a table, safe to open in a spreadsheet whatever the files are called."""
    rows = (
        (
            number,
            harmless(copy.picture.path),
            words.COPIES_HINT_KEEP if copy is group[0] else "",
            copy.picture.width,
            copy.picture.height,
            _megapixels(copy),
            copy.picture.size,
            harmless(copy.date),
            words.COPIES_YES if copy.same_as else "",
        )
        for number, group in enumerate(groups, start=1)
        for copy in group
    )
    return tables.as_csv(words.COPIES_COLUMNS, rows)


def show_groups(
    key: str, groups: Sequence[Group], start: int, openable: Collection | None = None
) -> str:
    """Lay out a page of groups, under a line that says how many there are.

    Args:
        openable: where the pictures' own files are, if they may be opened; else a picture opens
            the small one, as it does where its file has gone.
    """
    start = max(0, min(start, len(groups) - 1)) // GROUPS_SHOWN * GROUPS_SHOWN
    shown = groups[start : start + GROUPS_SHOWN]
    pictures = f"{sum(map(len, groups)):,}"
    found = words.COPIES_FOUND_ONE if len(groups) == 1 else words.COPIES_FOUND
    said = found.format(pictures=pictures, groups=f"{len(groups):,}")
    spare = words.COPIES_SPARE.format(size=markup.file_size(spare_bytes(tuple(groups))))
    return (
        f'<div class="lk-head"><h2>{escape(said)} <span>{escape(spare)}</span></h2>'
        f'<a class="lk-back" href="copies/{escape(key)}.csv" {markup.INTO_FRAME}>'
        f"{escape(words.COPIES_EXPORT)}</a></div>"
        + "".join(_group(key, group, openable) for group in shown)
        + _turning(start, len(groups))
    )


def _group(key: str, group: Group, openable: Collection | None) -> str:
    best = group[0].picture
    tiles = "".join(_copy(key, copy, best, openable) for copy in group[:COPIES_SHOWN])
    more = ""
    if len(group) > COPIES_SHOWN:
        text = words.COPIES_MORE.format(n=f"{len(group) - COPIES_SHOWN:,}")
        more = f'<p class="lk-hint">{escape(text)}</p>'
    title = words.COPIES_GROUP.format(n=f"{len(group):,}")
    head = f"<h3>{escape(title)}</h3>"
    return f'<section class="lk-group">{head}<ol role="list">{tiles}</ol>{more}</section>'


def _copy(key: str, copy: Copy, best: PictureRecord, openable: Collection | None) -> str:
    picture = copy.picture
    facts = (
        f"{picture.width:,} × {picture.height:,}",
        words.COPIES_MEGAPIXELS.format(n=_megapixels(copy)),
        markup.file_size(picture.size),
        copy.date,
    )
    folder = markup.folder_line(picture)
    folder = f'<span class="lk-folder">{escape(folder)}</span>' if folder else ""
    mark = f'<i class="lk-keep">{escape(words.COPIES_KEEP)}</i>' if picture is best else ""
    same = ""
    if copy.same_as is best:
        same = f"<i>{escape(words.COPIES_SAME)}</i>"
    elif copy.same_as:
        other = markup.name_of(copy.same_as)
        same = f"<i>{escape(words.COPIES_SAME_AS.format(name=other))}</i>"
    small = markup.thumbnail_address(key, picture)
    is_here = openable is not None and has_original(openable, picture)
    address = markup.original_address(key, picture.id) if is_here else small
    name = escape(markup.name_of(picture))
    return (
        f"<li{' class=lk-best' if picture is best else ''}>"
        f'<a href="{escape(address)}" target="_blank" rel="noopener">'
        f'<img src="{escape(small)}" alt="" loading="lazy">'
        f'<b title="{escape(picture.path)}">{name}</b></a>'
        f"<small>{mark}{folder}{markup.fact_lines(facts)}{same}</small></li>"
    )


def _turning(start: int, total: int) -> str:
    if total <= GROUPS_SHOWN:
        return ""
    last = min(start + GROUPS_SHOWN, total)
    buttons = (
        (words.DO_LESS, start - GROUPS_SHOWN, start > 0),
        (words.DO_MORE, start + GROUPS_SHOWN, last < total),
    )
    # Both are always there: where one came or went, the focus would be on the other.
    turns = "".join(
        f'<button type="button" class="lk-back" data-start="{max(0, to)}"'
        f"{'' if possible else ' disabled'}>{escape(text)}</button>"
        for text, to, possible in buttons
    )
    said = words.COPIES_PAGE.format(first=f"{start + 1:,}", last=f"{last:,}", total=f"{total:,}")
    return f'<div class="lk-turn"><span>{escape(said)}</span>{turns}</div>'


def _megapixels(copy: Copy) -> str:
    value = copy.picture.width * copy.picture.height / 1e6
    return f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"
