"""The tab "My pictures": collections made, watched, changed, packed and deleted from the page."""

import os
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.pages import library_markup, words
from retrieval.pages.access import Access
from retrieval.pages.adding import Adding
from retrieval.pages.desk import Desk, Opened
from retrieval.pages.elements import (
    inform,
    make_place,
    make_refusal_place,
    number_of,
    refusal,
    warn,
)
from retrieval.pages.library_acts import LibraryActs
from retrieval.pages.library_view import LibraryView
from retrieval.pages.sessions import own_address_of, visitor_of
from retrieval.pages.waiting import ACTS, IN_TURN
from retrieval.staging import UploadBounds
from retrieval.uploads import Uploads
from retrieval.visitors import Visitors
from retrieval.workspace import Workspace

POLL_SECONDS = 1.0
# Gradio knows of an event by its name in here.
BRIDGE = "window.lookalikeLibrary?.(element, trigger, (data) => trigger('work', data));"
# Tells `library.js` that an event has failed.
FAILED = "() => window.lookalikeFailed?.('{event}')"
# Has `gradio.js` send a password (see `entering.py`); the handler gets what was said of it instead.
SENT = "async (desk, password) => [desk, await window.lookalikeGradio.enter(password)]"
# Tells `gradio.js` that what was said to a visitor is not so any more.
ANSWERED = "() => window.lookalikeGradio?.supersede(0)"
AT_ONCE = 4  # of what may take minutes, and visitors whose buttons are at work
TAKING_AT_ONCE = 3  # visitors whose uploads are unpacked; the owner's are beside them


class LibraryPage:
    """The page of collections: `build` lays it out and wires the handlers below it."""

    def __init__(
        self, workspace: Workspace, uploads: Uploads, visitors: Visitors, access: Access
    ) -> None:
        self.workspace = workspace
        self.uploads = uploads
        self.visitors = visitors
        self.access = access
        self.adding = Adding(workspace, uploads, visitors)
        self.acts = LibraryActs(workspace, visitors, self.adding)
        self.view = LibraryView(workspace, visitors, self.adding)
        # Whether pictures were on their way when the app ended last. Each page that its owner opens
        # says so until something is done here: the one that sent them has been loaded anew since.
        self.was_cut_short = False

    def build(
        self,
        app: gr.Blocks,
        tabs: gr.Tabs,
        tab: gr.Tab,
        choice: gr.Dropdown,
        address: gr.Textbox,
    ) -> None:
        """Add the page to the tab.

        Args:
            choice: where the search page keeps the collection.
            address: the search page's field for web addresses, which the owner may use.
        """
        desk = gr.State(Desk(), time_to_live=6 * 3600)
        with gr.Row(elem_id="library"):
            with gr.Column(elem_id="library-add", min_width=280):
                add = make_place("library-drop", BRIDGE)
                # Whose page it is shows only in the request, so these wait to be shown.
                with gr.Column(visible=False, elem_classes="lk-quiet") as by_name:
                    folder = gr.Textbox(
                        label=words.FOLDER_LABEL,
                        info=words.FOLDER_INFO,
                        placeholder=words.FOLDER_HINT,
                    )
                    no_folder = make_refusal_place("folder")
                    go = gr.Button(words.FOLDER_BUTTON, size="sm")
                with gr.Column(visible=False, elem_classes="lk-quiet") as gate:
                    password = gr.Textbox(
                        label=words.PASSWORD_LABEL,
                        info=words.PASSWORD_TITLE,
                        type="password",
                        elem_id="library-password",
                    )
                    refused = make_refusal_place("password")
                    unlock = gr.Button(words.PASSWORD_BUTTON, size="sm")
            with gr.Column(elem_id="library-list", min_width=320):
                listing = make_place("library-cards", BRIDGE)
        timer = gr.Timer(POLL_SECONDS, active=False)

        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        # The desk is given back as it is, so that Gradio sees that it is in use.
        view = [listing, desk, timer]
        whole = [add, by_name, gate, *view]
        app.load(self.on_load, desk, whole, **quiet)
        tab.select(self.on_return, desk, view, trigger_mode="always_last", **quiet)
        timer.tick(self.on_tick, desk, view, **quiet)
        # What one presses while another button of theirs is at work waits for its turn, and then
        # begins with what lies open by then.
        acted = listing.select(
            self.on_act,
            desk,
            [*view, tabs, choice],
            trigger_mode="multiple",
            concurrency_id=ACTS,
            concurrency_limit=AT_ONCE,
            **quiet,
        )
        # What may take minutes lets the others pass.
        worked = listing.work(
            self.on_work, desk, view, trigger_mode="multiple", concurrency_limit=AT_ONCE, **quiet
        )
        acted.failure(None, js=FAILED.format(event="select"))
        worked.failure(None, js=FAILED.format(event="work"))
        # What one sends while another upload of theirs is unpacked waits for it.
        add.select(
            self.on_upload,
            desk,
            view,
            trigger_mode="multiple",
            concurrency_id=IN_TURN,
            concurrency_limit=TAKING_AT_ONCE,
            **quiet,
        )
        for event in (go.click, folder.submit):
            event(self.on_folder, [desk, folder], [*view, folder, no_folder], **quiet)
        for event in (unlock.click, password.submit):
            entered = event(
                self.on_password,
                [desk, password],
                [*whole, password, refused, address],
                js=SENT,
                **quiet,
            )
            entered.then(None, js=ANSWERED)

    # The handlers. They return the cards, the desk, and whether to look again in a second.

    def on_load(self, desk: Desk, request: gr.Request) -> tuple[Any, ...]:
        """Show who has just opened the page what is theirs to do."""
        owner = self.access.is_owner(request)
        hours = None if owner else self.visitors.bounds.hours
        zone = library_markup.drop_zone(self.bounds(request), hours)
        if not owner and not visitor_of(request):
            zone = library_markup.notice(words.ADD_CLOSED)
        if owner and self.was_cut_short:
            desk.announce(library_markup.notice(words.CUT_SHORT))
        here = owner and not self.access.is_public
        asks = self.access.has_password and not owner
        return (
            zone,
            gr.Column(visible=here),
            gr.Column(visible=asks),
            *self._view(desk, request),
        )

    def on_return(self, desk: Desk, request: gr.Request) -> tuple[Any, ...]:
        """Follow what has happened while another tab was open."""
        return self._view(desk, request)

    def on_tick(self, desk: Desk, request: gr.Request) -> tuple[Any, ...]:
        """Follow what is being built."""
        return self._view(desk, request)

    def on_act(self, desk: Desk, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """Do what a button of a card says.

        Or nothing: an earlier answer has taken the place of a later one on the page.
        """
        if event.act == "search":
            try:
                return self._search(str(event.key or ""), desk, request)
            except LookalikeError as error:
                warn(error)
        elif event.act != "again":
            self._go_on(request)
            who = self._who(request)
            desk.answer(lambda opened: self.acts.do(opened, event, *who), _number(event))
        return *self._view(desk, request), gr.skip(), gr.skip()

    def on_work(self, desk: Desk, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """Do what may take minutes; show what came of it, unless something else is in use."""
        self._go_on(request)
        before = desk.opened
        after = self.acts.do(before, event, *self._who(request))

        def show(opened: Opened) -> Opened:
            if opened == before:
                return after
            if opened.place == before.place:  # what was said meanwhile has not been read yet
                return opened.turned_to(after)
            if after.changes is not None:
                inform(words.CHANGES_BESIDE)
            return opened

        desk.answer(show, _number(event))
        if after.notice != before.notice:
            desk.announce(after.notice)  # in any case
        return self._view(desk, request)

    def on_upload(self, desk: Desk, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """Take what has been sent into a new collection, or into the one it was dropped on."""
        name, key = str(event.upload), str(event.key or "")
        visitor, owner = self._who(request)
        self._go_on(request)
        try:
            told, bundles = "", self.uploads.bundles(name, visitor)
            for bundle in bundles:
                try:
                    told += self.adding.open_bundle(bundle, owner)
                except LookalikeError as error:  # the others can be opened all the same
                    warn(error)
                    with suppress(OSError):  # Windows may still hold it
                        bundle.unlink()
            if key and self.uploads.holds(name, visitor):
                self.acts.require_editable(key, visitor, owner)
                told += self.adding.add(name, key, visitor)
                desk.answer(lambda opened: _without_changes(opened, key))
            elif self.uploads.holds(name, visitor) or not bundles:
                told += self.adding.make(name, visitor, owner, own_address_of(request))
            desk.announce(told)  # what is open may be in use
        except LookalikeError as error:
            warn(error)
        finally:
            self.uploads.drop(name, visitor)
        return self._view(desk, request)

    def on_folder(self, desk: Desk, folder: str, request: gr.Request) -> tuple[Any, ...]:
        """Search a folder of this computer in place, or say at its field why not."""
        emptied: Any = gr.skip()
        refused = ""
        self._go_on(request)
        try:
            if not self.access.is_owner(request) or self.access.is_public:
                raise LookalikeError(words.NOT_YOURS)
            if not folder.strip():
                raise LookalikeError(words.FOLDER_NONE)
            # Path.expanduser raises where there is no such user.
            root = Path(os.path.expanduser(folder.strip().strip("\"'")))
            if not os.path.isdir(root):  # also no when a network drive does not answer
                raise LookalikeError(words.FOLDER_GONE.format(name=folder.strip()[:200]))
            before = self.workspace.shelf.names(visitor_of(request))
            key = self.workspace.create(root.resolve().name or words.UNTITLED, root)
            if key in before:
                inform(words.FOLDER_FOLLOWED.format(name=before[key]))
            self.adding.build(key, visitor_of(request))
            desk.answer(lambda _: Opened())
            emptied = ""
        except LookalikeError as error:
            refused = refusal(error)
        return *self._view(desk, request), emptied, refused

    def on_password(self, desk: Desk, why: str, request: gr.Request) -> tuple[Any, ...]:
        """Show what came of a password: the owner's page, or why it was refused."""
        owner, refused = self.access.is_owner(request), ""
        if owner:
            inform(words.PASSWORD_RIGHT)
        else:  # no reason where it was right, and yet came without its cookie
            refused = refusal(LookalikeError(why or words.PASSWORD_NO_COOKIE))
        may_fetch = gr.Textbox(visible=True) if owner else gr.skip()
        return *self.on_load(desk, request), "", refused, may_fetch

    def bounds(self, request: Any) -> UploadBounds:
        """Return what whoever asks may hand over at once."""
        if self.access.is_owner(request):
            return UploadBounds(
                settings.OWNER_PICTURES, settings.OWNER_BYTES, settings.MAX_FILE_BYTES
            )
        room = self.visitors.room(visitor_of(request))
        return UploadBounds(room, settings.VISITOR_BYTES, settings.MAX_UPLOAD_BYTES, in_all=True)

    def _go_on(self, request: gr.Request) -> None:
        """Take what the owner was told of the app's last end for read."""
        if self.access.is_owner(request):
            self.was_cut_short = False

    def _who(self, request: gr.Request) -> tuple[str, bool]:
        """Return which visitor asks, and whether that is the owner."""
        return visitor_of(request), self.access.is_owner(request)

    def _search(self, key: str, desk: Desk, request: gr.Request) -> tuple[Any, ...]:
        self.workspace.shelf.searcher(key, visitor_of(request))
        names = self.workspace.shelf.names(visitor_of(request))
        offered = [(name, key) for key, name in names.items()]
        if len(names) > 1:
            offered.insert(0, (words.ALL_COLLECTIONS, ""))
        choice = gr.Dropdown(offered, value=key, visible=len(names) > 1)
        return *self._view(desk, request), gr.Tabs(selected="search"), choice

    def _view(self, desk: Desk, request: gr.Request) -> tuple[str, Desk, gr.Timer]:
        who = self._who(request)
        # Asked first: what ends while this is made has not been told of, and is looked at again.
        reading = self.adding.is_reading(*who)
        told = self.adding.give_up_unreadable(*who)
        if told:
            desk.announce(told)
        with desk.held() as opened:
            listing, going_on = self.view.lay_out(opened, *who)
            room = escape(self.bounds(request).as_sentence())
            ended = " ".join(map(str, desk.ended))
            turn = desk.next_turn()
            listing += f'<i hidden data-ended="{ended}" data-room="{room}" data-turn="{turn}"></i>'
            return listing, desk, gr.Timer(active=going_on or reading)


def _without_changes(opened: Opened, key: str) -> Opened:
    """Close what was found in a collection's folder, which is not so any more."""
    if (opened.key, opened.view) != (key, "changes"):
        return opened
    return opened.turned_to(Opened())


def _number(event: gr.EventData) -> int:
    """Return which of the page's buttons this is, so that its answer can say that it has ended."""
    return number_of(getattr(event, "number", 0))
