"""The tab "Copies": groups of near-duplicates of a collection, with a hint which one to keep."""

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from html import escape
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

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
from retrieval.pages.adding import Adding
from retrieval.pages.elements import number_of, warn
from retrieval.pages.sessions import visitor_of
from retrieval.pages.transfers import attachment
from retrieval.pages.worked_out import LIGHT, PATIENCE, Sentences, Turned, WorkedOut
from retrieval.records import PictureRecord
from retrieval.tables import harmless
from retrieval.workspace import Workspace

GROUPS_SHOWN = 20  # at a time
COPIES_SHOWN = 12  # of a group
# "Next" and "Back" tell where to turn, and a group's button what is done with it. What comes has
# buttons of its own, and the focus would be nowhere.
SCRIPT = """
let pressed = -1;
let dealt = '';
const buttons = () => [...element.querySelectorAll('button[data-start]:not([data-act])')];
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-start]');
  if (!button || event.detail > 1) return;
  const {act, first, start} = button.dataset;
  if (act) {
    dealt = `${act} ${first}`;
    trigger('deal', {act, first: Number(first), start: Number(start)});
    return;
  }
  pressed = buttons().indexOf(button);
  trigger('turn', {start: Number(start)});
  element.scrollIntoView();
});
new MutationObserver(() => {
  const told = dealt && element.querySelector(`[data-told="${dealt}"]`);
  if (told) {
    dealt = '';
    told.focus({preventScroll: true});
    window.lookalikeSay?.(told.textContent);
  }
  const both = buttons();
  const lost = !document.activeElement || document.activeElement === document.body;
  if (pressed < 0 || !both.length || !lost) return;
  const button = both[pressed].disabled ? both[1 - pressed] : both[pressed];
  pressed = -1;
  button.focus({preventScroll: true});
  window.lookalikeSay?.(button.parentElement.querySelector('span').textContent);
}).observe(element, {childList: true, subtree: true, attributeFilter: ['disabled', 'data-told']});
"""


SENTENCES = Sentences(
    words.COPIES_EMPTY,
    words.COPIES_LATER,
    words.COPIES_SEARCH_TITLE,
    words.COPIES_SEARCH,
    words.COPIES_FAILED_TITLE,
)


@dataclass(frozen=True)
class Dealt:
    """What was done with a group last."""

    act: str  # "spare" took out all but the first, "unspare" put them back
    said: str
    back: tuple[str, ...] = ()  # paths that can be put back


@dataclass
class Kept:
    """The list that a page shows. It is not worked out anew after each group that is dealt with.

    Nor is it after what another window did: a group of it is refused only where it has changed.
    """

    groups: tuple[Group, ...]
    dealt: dict[int, Dealt] = field(default_factory=dict)  # by the id of the first of the group


class DuplicatesPage:
    """The page of copies: `build` lays it out and wires the handlers below it."""

    def __init__(self, workspace: Workspace, access: Access, adding: Adding) -> None:
        copies = workspace.copies
        self._workspace = workspace
        self._shelf = workspace.shelf
        self._access = access
        self._adding = adding
        self.copies = WorkedOut(
            *(workspace, "copies", SENTENCES, copies, seconds_for, self._show),
            script=SCRIPT,
            keep=Kept,
        )

    def build(self, tab: gr.Tab, searched: gr.Dropdown) -> None:
        """Add the page to the tab; it follows the choice of the search."""
        lead = f'<p class="lk-lead">{escape(words.COPIES_LEAD)}</p>'
        more = (words.COPIES_SAFE, words.COPIES_RULE, words.COPIES_OPEN_ONE)
        hints = "".join(f'<p class="lk-hint">{escape(line)}</p>' for line in more)
        stands, shown = self.copies.lay_out(tab, searched, lead, hints)
        shown[0].turn(self.on_turn, stands, shown, **LIGHT)
        in_turn = {**LIGHT, "concurrency_limit": 1, "trigger_mode": "multiple"}
        shown[0].deal(self.on_deal, stands, shown, **in_turn)

    def on_turn(
        self, choice: str | None, turned: Turned, request: gr.Request, event: gr.EventData
    ) -> tuple[Any, ...]:
        """Show the groups from another one on."""
        start, kept = number_of(event.start), turned.kept
        if isinstance(kept, Kept) and turned.key in (None, choice):
            with suppress(LookalikeError):  # deleted meanwhile, as is said below
                collection = self._shelf.searcher(choice or "", visitor_of(request)).collection
                shown = self._show(
                    choice or "", collection, kept.groups, start, request, kept.dealt
                )
                return shown, gr.Timer(active=False)
        return self.copies.on_tick(choice, turned, request, start=start)

    def on_deal(
        self, choice: str | None, turned: Turned, request: gr.Request, event: gr.EventData
    ) -> tuple[Any, ...]:
        """Take all of a group but its first one out of the collection, or put them back."""
        if turned.key in (None, choice):
            try:
                self._deal(choice or "", turned, str(event.act), number_of(event.first), request)
            except LookalikeError as error:
                warn(error)
        return self.on_turn(choice, turned, request, event)

    def _deal(self, key: str, turned: Turned, act: str, first: int, request: gr.Request) -> None:
        visitor = visitor_of(request)
        if not self._shelf.may_edit(key, visitor, self._access.is_owner(request)):
            raise LookalikeError(words.NOT_YOURS)
        collection = self._shelf.searcher(key, visitor).collection
        kept = turned.kept
        if not isinstance(kept, Kept):  # of a page that has been forgotten
            groups = self._workspace.copies.ask(collection).result
            if groups is None:
                raise LookalikeError(words.COPIES_CHANGED)
            turned.kept = kept = Kept(groups)
        dealt = kept.dealt.get(first)
        if dealt is None and act != "spare":
            raise LookalikeError(words.COPIES_CHANGED)
        if dealt is None or (dealt.act, act) == ("unspare", "spare"):
            if dealt is not None:  # they may have come back later than that was answered
                _renumber(kept, collection, first)
            kept.dealt[first] = self._take_out(key, collection, kept, first)
        elif dealt.back and act != "spare":
            kept.dealt[first] = self._put_back(key, collection, kept, first, visitor)

    def _take_out(self, key: str, collection: Collection, kept: Kept, first: int) -> Dealt:
        group = next((one for one in kept.groups if one[0].picture.id == first), ())
        pictures = [copy.picture for copy in group]
        # Else the one to keep may have been taken out in another window.
        if not group or collection.listing.pictures(picture.id for picture in pictures) != pictures:
            raise LookalikeError(words.COPIES_CHANGED)
        paths = self._adding.take_out(key, [picture.id for picture in pictures[1:]])
        said = words.COPIES_TAKEN_OUT.format(
            pictures=words.pictures(len(paths)),
            name=collection.name,
            kept=markup.name_of(pictures[0]),
        )
        back = self._workspace.undoable(key, paths)
        if len(back) < len(paths):
            said += " " + words.removed_for_good(len(paths) - len(back), len(paths))
        return Dealt("spare", said, tuple(back))

    def _put_back(
        self, key: str, collection: Collection, kept: Kept, first: int, visitor: str
    ) -> Dealt:
        back = kept.dealt[first].back
        returned = self._adding.bring_back(key, back, visitor)
        if returned.why_not:
            warn(returned.why_not)
        _leave_out(kept, first, set(back).difference(returned.paths))
        _renumber(kept, collection, first)
        said = words.COPIES_PUT_BACK if returned.is_there else words.COPIES_COMING_BACK
        said = said.format(pictures=words.pictures(len(returned.paths)), name=collection.name)
        return Dealt("unspare", said)

    def _show(
        self,
        key: str,
        collection: Collection,
        groups: Sequence[Group],
        start: int,
        request: gr.Request,
        dealt: Mapping[int, Dealt] = MappingProxyType({}),
    ) -> str:
        if groups:
            is_owner = self._access.is_owner(request)
            openable = collection if is_owner and not self._access.is_public else None
            undoable = None
            if self._shelf.may_edit(key, visitor_of(request), is_owner):
                undoable = partial(self._workspace.undoable, key)
            return show_groups(key, groups, start, openable, undoable, dealt)
        n, _ = collection.listing.count()
        text = words.COPIES_NONE.format(pictures=words.pictures(n)) if n > 1 else words.COPIES_ALONE
        return markup.empty(words.COPIES_NONE_TITLE, text)


def copies_route(workspace: Workspace) -> Route:
    """Serve `copies/KEY.csv`: the list of a collection's copies."""

    def table(request: Request) -> Response:
        try:
            key, visitor = request.path_params["key"], visitor_of(request)
            collection = workspace.shelf.searcher(key, visitor).collection
            building = workspace.building(key)
            if building is not None and not building.finished:
                # Every batch would have it worked out anew.
                raise LookalikeError(words.COPIES_LATER)
            # Who presses the link has seen the list, but anybody may ask; and who waits here takes
            # one of the few threads that all requests share.
            task = workspace.copies.ask(collection, PATIENCE)
            if task.result is None:
                time = markup.duration(seconds_for(collection.listing.count()[0]))
                raise LookalikeError(task.problem or words.COPIES_NOT_YET.format(time=time))
            name = f"{collection.name} - copies.csv"
        except LookalikeError as error:
            return Response(str(error), 404, media_type="text/plain")
        headers = attachment(name)
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
    key: str,
    groups: Sequence[Group],
    start: int,
    openable: Collection | None = None,
    undoable: Callable[[Sequence[str]], Sequence[str]] | None = None,
    dealt: Mapping[int, Dealt] = MappingProxyType({}),
) -> str:
    """Lay out a page of groups, under a line that says how many there are.

    Args:
        openable: where the pictures' own files are, if they may be opened; else a picture opens
            the small one, as it does where its file has gone.
        undoable: returns those of some paths that can be put back once they were taken out; None
            where who asks may take out none.
        dealt: what was done with groups last, by the id of their first picture.
    """
    start = max(0, min(start, len(groups) - 1)) // GROUPS_SHOWN * GROUPS_SHOWN
    shown = groups[start : start + GROUPS_SHOWN]
    out = {first for first, done in dealt.items() if done.act == "spare"}
    left = tuple(group for group in groups if group[0].picture.id not in out)
    found = words.COPIES_FOUND_ONE if len(left) == 1 else words.COPIES_FOUND
    said = found.format(pictures=f"{sum(map(len, left)):,}", groups=f"{len(left):,}")
    spare = words.COPIES_SPARE.format(size=markup.file_size(spare_bytes(left)))
    if not left:
        said, spare = words.COPIES_ALL_OUT, ""
    others = [copy.picture.path for group in shown for copy in group[1:]]
    alone = set(others).difference(undoable(others)) if undoable else set()
    laid_out = []
    for group in shown:
        done, is_out = dealt.get(group[0].picture.id), group[0].picture.id in out
        head = _told(group, done, start) if done else ""
        if not is_out:
            head += _head(group, start, alone, bool(undoable))
        laid_out.append(_group(key, group[:1] if is_out else group, head, openable))
    return (
        f'<div class="lk-head"><h2>{escape(said)} <span>{escape(spare)}</span></h2>'
        f'<a class="lk-back" href="copies/{quote(key)}.csv" {markup.INTO_FRAME}>'
        f"{escape(words.COPIES_EXPORT)}</a></div>"
        + "".join(laid_out)
        + _turning(start, len(groups))
    )


def _leave_out(kept: Kept, first: int, gone: Container[str]) -> None:
    """Take pictures that do not come back out of a group, by their paths."""

    def left(group: Group) -> Group:
        if group[0].picture.id != first:
            return group
        return tuple(
            replace(copy, same_as=None) if copy.same_as and copy.same_as.path in gone else copy
            for copy in group
            if copy.picture.path not in gone
        )

    kept.groups = tuple(left(group) for group in kept.groups)


def _renumber(kept: Kept, collection: Collection, first: int) -> None:
    """Give the pictures of a group the numbers that they have now; who comes back has another."""
    group = next((one for one in kept.groups if one[0].picture.id == first), ())
    paths = {copy.picture.path for copy in group}
    now = {one.path: one for one in collection.listing.pictures() if one.path in paths}
    kept.groups = tuple(_renumbered(one, now) if one is group else one for one in kept.groups)


def _renumbered(group: Group, now: Mapping[str, PictureRecord]) -> Group:
    """Return a group with the numbers that its pictures have now; `now` is by their paths.

    One that is not there as it was stays, and the group is refused when it is dealt with again.
    """

    def find(picture: PictureRecord) -> PictureRecord:
        found = now.get(picture.path, picture)
        return found if replace(picture, id=found.id) == found else picture

    return tuple(
        replace(copy, picture=find(copy.picture), same_as=copy.same_as and find(copy.same_as))
        for copy in group
    )


def _head(group: Group, start: int, alone: Container[str], may_deal: bool) -> str:
    """Say how many there are in a group, with the button that takes out all but the first.

    Args:
        alone: the paths of those that could not be put back then.
    """
    said = f"<h3>{escape(words.COPIES_GROUP.format(n=f'{len(group):,}'))}</h3>"
    if not may_deal:
        return said
    others = group[1:]
    text = words.COPIES_TAKE_OUT_ONE if len(others) == 1 else words.COPIES_TAKE_OUT
    button = _deal_button("spare", text.format(n=f"{len(others):,}"), group, start)
    lost = sum(copy.picture.path in alone for copy in others)
    warning = ""
    if lost:
        warning = f'<p class="lk-hint">{escape(words.others_alone(lost, len(others)))}</p>'
    return said + button + warning


def _told(group: Group, done: Dealt, start: int) -> str:
    """Say what was done with a group, with the button that puts its pictures back."""
    first = group[0].picture.id
    button = _deal_button("unspare", words.DO_UNDO, group, start) if done.back else ""
    told = f'<p tabindex="-1" data-told="{done.act} {first}">{escape(done.said)}</p>'
    return told + button


def _deal_button(act: str, text: str, group: Group, start: int) -> str:
    first = group[0].picture.id
    return (
        f'<button type="button" class="lk-back" data-act="{act}" data-first="{first}" '
        f'data-start="{start}" aria-describedby="copy-{first}">{escape(text)}</button>'
    )


def _group(key: str, group: Group, head: str, openable: Collection | None) -> str:
    best = group[0].picture
    tiles = "".join(_copy(key, copy, best, openable) for copy in group[:COPIES_SHOWN])
    more = ""
    if len(group) > COPIES_SHOWN:
        text = words.COPIES_MORE.format(n=f"{len(group) - COPIES_SHOWN:,}")
        more = f'<p class="lk-hint">{escape(text)}</p>'
    return (
        f'<section class="lk-group"><div class="lk-row">{head}</div><ol role="list">{tiles}</ol>'
        f"{more}</section>"
    )


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
        f'<b id="copy-{picture.id}" title="{escape(picture.path)}">{name}</b></a>'
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
