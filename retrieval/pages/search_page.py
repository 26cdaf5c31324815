"""The search page: a picture in, a gallery out, and everything that can be asked about it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import gradio as gr

from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.fetching import fetch_picture
from retrieval.pages import results_markup, words
from retrieval.pages.access import Access
from retrieval.pages.answering import Answers
from retrieval.pages.api import SearchApi
from retrieval.pages.asking import Address, Asked, Options, Part, read_address
from retrieval.pages.bridge import (
    BRIDGE,
    CROPPED,
    DOWNLOAD,
    SETTLED,
    action_of,
    comment_drop,
    tell_refusal,
)
from retrieval.pages.conversation import Conversation, Step, unchanged
from retrieval.pages.elements import make_place, make_refusal_place, refusal, warn
from retrieval.pages.handover import UNSHOWABLE, Handover
from retrieval.pages.parts import PartMaker
from retrieval.pages.query_changes import Change, Handler, QueryChanges, placed_at
from retrieval.pages.query_image import QueryImage
from retrieval.pages.recent import RecentUploads
from retrieval.pages.result_tools import ResultTools
from retrieval.pages.search_options import SearchOptions
from retrieval.pages.sessions import visitor_of
from retrieval.pages.visiting import Visits
from retrieval.pages.waiting import MODEL
from retrieval.workspace import Workspace

POLL_SECONDS = 2.0
AT_ONCE = 4  # requests of one kind; those of one page wait for each other, and each takes a thread
MOST_ADDRESS = 20_000  # characters; a step keeps what an address asks for

Values = dict[Any, Any]  # what Gradio hands over: a value for each component


class SearchPage:
    """The page that searches: `build` lays it out and wires the handlers below it."""

    def __init__(self, workspace: Workspace, access: Access, handover: Handover) -> None:
        self.shelf = workspace.shelf
        self.access = access
        self.handover = handover
        self.parts = PartMaker(workspace)
        self.recent = RecentUploads()
        self.visits = Visits(self.shelf, self.parts, self.recent)
        self.changes = QueryChanges(self.parts)
        self.answers = Answers(workspace)
        self.of_results = ResultTools(workspace, access, handover, self.parts, self.answers)

    def build(self, app: gr.Blocks, tab: gr.Tab) -> None:
        """Add the page to the Blocks around it; `tab` is the tab that it lies in."""
        self.conversation = gr.State(Conversation(), time_to_live=6 * 3600)
        bridge = make_place("bridge", js=BRIDGE, value=results_markup.script_words())
        with gr.Row(elem_id="columns"):
            with gr.Column(elem_id="ask", min_width=280):
                self.upload = QueryImage(
                    label=words.QUERY,
                    show_label=False,
                    sources=["upload", "webcam", "clipboard"],
                    placeholder=words.DROP,
                    elem_id="query",
                    height=236,
                    buttons=[],
                )
                # Shown to those who may have this computer fetch pictures.
                self.address = gr.Textbox(
                    label=words.WEB_ADDRESS,
                    placeholder=words.WEB_ADDRESS_HINT,
                    elem_id="address",
                    max_length=2000,
                    submit_btn=True,
                    visible=False,
                )
                self.unfetched = make_refusal_place("address")
                self.examples = make_place("examples")
                self.options = SearchOptions()
            with gr.Column(elem_id="answer", min_width=320):
                self.status = make_place("status")
                self.results = make_place("results")
                self.truth = make_place("truth")
                with gr.Accordion(words.SAVE, open=False, elem_id="save"), gr.Row():
                    self.kind = gr.Dropdown(
                        list(words.SAVE_KINDS),
                        value=words.SAVE_KINDS[0],
                        label=words.SAVE,
                        show_label=False,
                        elem_id="save-kind",
                    )
                    self.save = gr.Button(words.SAVE_BUTTON, size="md")
                    self.download = gr.Textbox(visible="hidden", elem_id="download")
        self.why = make_place("why")
        self.timer = gr.Timer(POLL_SECONDS, active=False)
        self._wire(app, tab, bridge)
        SearchApi(self.shelf, self.access, self.handover, self.parts, self.answers).build()

    def _wire(self, app: gr.Blocks, tab: gr.Tab, bridge: gr.HTML) -> None:
        # Searching is quick, and a spinner over the gallery would only flicker.
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        # Gradio drops what comes while the same event is under way. Where the values count, it is
        # to ask once more, with the last ones. The clicks of a button count each for itself; the
        # conversation keeps their order, so that no page waits for another one.
        latest: dict[str, Any] = {**quiet, "trigger_mode": "always_last"}
        each: dict[str, Any] = {**quiet, "trigger_mode": "multiple", "concurrency_limit": AT_ONCE}
        inputs = {self.conversation, *self.options.inputs}
        # Given back as it is, so that Gradio sees that it is in use.
        answer = [self.results, self.truth, self.conversation]
        view = [self.status, *answer, self.examples, self.timer]
        offer, narrowing = self.options.choice, self.options.narrowing
        opening = [*view, *self.options.shown, self.upload, self.address]
        loaded = app.load(self.on_load, self.conversation, opening, **quiet)
        tab.select(self.on_return, inputs, [*view, offer, *narrowing], **latest)
        offer.input(self.on_choice, inputs, [*view, *narrowing], **latest)
        self.timer.tick(self.on_tick, inputs, [*view, *narrowing], **quiet)
        self.upload.input(
            self.on_upload,
            {self.upload, *inputs},
            [*answer, self.upload],
            concurrency_id=MODEL,
            **latest,
        )
        self.address.submit(
            self.on_address,
            {self.address, *inputs},
            [*answer, self.upload, self.unfetched],
            concurrency_id="fetch",
            **{**latest, "show_progress": "minimal"},
            show_progress_on=self.address,
        )
        self.options.cleaned(self._asking(self.changes.clean), inputs, answer, **latest)
        self.save.click(
            self.on_save,
            {self.kind, self.conversation},
            self.download,
            **{**quiet, "show_progress": "minimal"},
            show_progress_on=self.kind,
        ).success(None, self.download, js=DOWNLOAD)
        self.upload.clear(
            self._asking(lambda *_: Asked.emptied, anew=True), inputs, answer, **quiet
        )
        for event, handler in (
            (bridge.more, self.changes.add(wanted=True)),
            (bridge.less, self.changes.add(wanted=False)),
        ):
            event(self._asking(handler), inputs, answer, **each)
        crop = self._asking(self.changes.crop)
        cropped = bridge.crop(crop, inputs, answer, concurrency_id=MODEL, **each)
        # These may leave the upload behind, which then is taken off the page.
        leaving = [*answer, self.upload]
        bridge.remove(self._asking(self.changes.remove, leaving=True), inputs, leaving, **each)
        for event, handler in (
            (bridge.pick, self.changes.pick),
            (bridge.back, lambda *_: Asked.emptied),
        ):
            handle = self._asking(handler, leaving=True, anew=True)
            event(handle, inputs, leaving, **each)
        bridge.odd(comment_drop, None, None, **quiet)
        bridge.refused(tell_refusal, None, None, **quiet)
        everything = [*view, *self.options.shown, self.upload]
        visited = bridge.visit(self.on_visit, inputs, everything, **each)
        repeated = bridge.again(self.on_again, self.conversation, everything, **each)
        followed = [(setting, SETTLED) for setting in (loaded, visited, repeated)]
        for ended, script in (*followed, (cropped, CROPPED)):
            ended.then(None, js=script)
            ended.failure(None, js=script)  # after which Gradio leaves out what comes then
        bridge.why(
            self.on_why,
            inputs,
            self.why,
            concurrency_id=MODEL,
            trigger_mode="multiple",
            **quiet,
        )
        bridge.look(self.on_look, self.conversation, self.why, trigger_mode="multiple", **quiet)
        bridge.copies(self.on_copies, self.conversation, self.why, trigger_mode="multiple", **quiet)
        for changed in self.options.events:
            changed(self._asking(lambda *_: unchanged), inputs, answer, **latest)
        for left, field, place in self.options.written:
            left(self._checking(field), inputs, [*answer, place], **latest)

    # The handlers of the page. A view is the status, the answer, the examples and the timer; an
    # answer is the results, the truth line and the conversation.

    def on_load(self, conversation: Conversation, request: gr.Request) -> tuple[Any, ...]:
        """Show the first collection, or what the address asks for, to a visitor.

        Perhaps a picture was dropped before: then this is late, and the picture counts.
        """
        keys = self.shelf.keys(visitor_of(request))
        address = read_address(str(request.query_params))
        first = keys[0] if keys and not (address.of_all or address.parts) else ""
        may_fetch = settings.FETCH_FOR_VISITORS or self.access.is_owner(request)
        view = self._visit(conversation, address, request, first)
        upload = conversation.asked.upload
        # One that was dropped stands there already.
        brought = self.parts.preview(upload) if upload and not upload.previewed else gr.skip()
        return (*view, brought, gr.Textbox(visible=may_fetch))

    def on_visit(self, values: Values, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """Follow the browser's back and forward buttons, and show the upload of the query."""
        conversation: Conversation = values[self.conversation]
        shown = self._visit(conversation, read_address(str(event.query)[:MOST_ADDRESS]), request)
        upload = conversation.asked.upload
        return (*shown, self.parts.preview(upload) if upload else None)

    def on_return(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """Follow what has happened to the collections while another tab was open.

        Gradio also says that the tab was chosen when the page opens, perhaps before it is filled:
        then it would be filled with all collections, whatever its address asks for.
        """
        conversation: Conversation = values[self.conversation]
        if not conversation.asked.arrived or values[self.options.choice] is None:
            return (gr.skip(),) * (7 + len(self.options.narrowing))
        stood = self.options.read(values)
        options = stood
        if options.choice not in self.shelf.keys(visitor_of(request)):
            options = replace(options, choice="")
        step = _step(unchanged, self._fitting(options, request), request)
        view = self._view(conversation, step, request)
        options = conversation.options  # something later may have been done already
        offered = self.options.offer(self.answers.held("", visitor_of(request)), options.choice)
        return (*view, offered, *self._narrow(options, request, stood))

    def on_choice(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """Turn to another collection, with the same query where there is one."""
        conversation, stood = values[self.conversation], self.options.read(values)
        if not conversation.asked.arrived:
            warn(LookalikeError(words.FORGOTTEN))
            return (gr.skip(),) * (6 + len(self.options.narrowing))
        step = _step(unchanged, self._fitting(stood, request), request)
        view = self._view(conversation, step, request)
        return (*view, *self._narrow(conversation.options, request, stood))

    def on_tick(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """Follow the building of the collection; the results of a search stay as they are."""
        conversation: Conversation = values[self.conversation]
        stood, visitor = self.options.read(values), visitor_of(request)
        with conversation.doing() as (asked, options):
            options = options if asked.arrived else stood  # it is forgotten after an hour away
            held = self.answers.held(options.choice, visitor)
            status = self.answers.status(held, standing=bool(asked.parts))
            going_on = self.answers.building(held)
            # The first pictures are shown as they come; with later ones it would only flicker.
            settled = going_on is not None and going_on.step.done > 4 * settings.RESULTS
            shown: tuple[Any, Any] = (gr.skip(), gr.skip())
            if asked.arrived and not asked.parts and not settled:
                shown = self._lay_out(conversation, asked, options, request)
            examples = self.answers.examples(held)
        # Once, when all are there: a list that somebody has just opened is let be.
        nothing = (gr.skip(),) * len(self.options.narrowing)
        narrowed = nothing if going_on else self._narrow(stood, request, stood)
        timer = gr.Timer(active=going_on is not None)
        return (status, *shown, conversation, examples, timer, *narrowed)

    def on_again(
        self, conversation: Conversation, event: gr.EventData, request: gr.Request
    ) -> tuple[Any, ...]:
        """Answer once more: an earlier answer has taken the place of a later one on the page.

        It may have set the controls as well. Or the query's upload has been taken off, for another
        one that did not arrive.
        """
        if not conversation.asked.arrived:
            return (gr.skip(),) * (7 + len(self.options.shown))
        view = self._view(conversation, None, request)
        asked, options = conversation.stands
        if asked.upload and getattr(event, "picture", False):
            untouched = (gr.skip(),) * len(self.options.shown)
            return (*view, *untouched, self.parts.preview(asked.upload))
        return (*view, *self._controls(options, request), gr.skip())

    def on_upload(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """Search for an uploaded picture, and return what the upload is to show."""
        conversation = values[self.conversation]
        sent: str | None = values[self.upload]
        if sent is None:
            step = _step(Asked.emptied, self.options.read(values), request, anew=True)
            return (*self._answer(conversation, step, request), gr.skip())
        try:
            data = self.handover.read_upload(sent, request)
            answer, part = self._ask_for(data, values, request, previewed=True)
        except LookalikeError as error:
            warn(error)
            # What could not be read is taken off again; the results may be about an earlier one.
            kept = conversation.asked.upload
            return gr.skip(), gr.skip(), gr.skip(), self.parts.preview(kept) if kept else None
        unshowable = PurePosixPath(sent).suffix.lower() in UNSHOWABLE
        return (*answer, self.parts.preview(part) if part and unshowable else gr.skip())

    def on_address(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """Search for the picture at a web address.

        It returns an answer, what the upload is to show, and what is wrong with the address.
        """
        try:
            if not (settings.FETCH_FOR_VISITORS or self.access.is_owner(request)):
                raise LookalikeError(words.NO_FETCHING)
            data = fetch_picture(
                str(values[self.address]), settings.MAX_UPLOAD_BYTES, settings.FETCH_SECONDS
            )
        except LookalikeError as error:
            return *(gr.skip(),) * 4, refusal(error)
        try:
            answer, part = self._ask_for(data, values, request, previewed=False)
        except LookalikeError as error:  # it may be about the options
            warn(error)
            return *(gr.skip(),) * 4, ""
        return (*answer, self.parts.preview(part) if part else gr.skip(), "")

    def on_save(self, values: Values, request: gr.Request) -> Any:
        """Write the results on the page to a file, which the page then downloads."""
        asked, options = values[self.conversation].stands
        return self.of_results.save(asked, options, values[self.kind], request)

    def on_look(self, conversation: Conversation, event: gr.EventData, request: gr.Request) -> Any:
        """Show a picture in large."""
        return self.of_results.look(conversation.asked, placed_at(event), request)

    def on_why(self, values: Values, event: gr.EventData, request: gr.Request) -> Any:
        """Show what makes a result match the query."""
        return self.of_results.why(values[self.conversation].asked, placed_at(event), request)

    def on_copies(
        self, conversation: Conversation, event: gr.EventData, request: gr.Request
    ) -> Any:
        """Show the pictures that are folded into one result."""
        return self.of_results.copies(*conversation.stands, placed_at(event), request)

    def _asking(
        self, change: Handler, leaving: bool = False, anew: bool = False
    ) -> Callable[..., Any]:
        """Return the event handler that changes the query and answers it.

        Args:
            leaving: it returns the upload too, which is taken off where the query has left it.
            anew: the query before does not count.
        """

        def handle(values: Values, request: gr.Request, event: gr.EventData) -> tuple[Any, ...]:
            conversation: Conversation = values[self.conversation]
            options = self.options.read(values)
            try:
                self.answers.require(options.choice, visitor_of(request))
                # The query of a page that was away for an hour is gone.
                if not (anew or conversation.asked.arrived):
                    raise LookalikeError(words.FORGOTTEN)
                changed = change(conversation.asked, options, event, visitor_of(request))
                step = _step(changed, options, request, anew)
                answer = self._answer(conversation, step, request)
            except LookalikeError as error:
                warn(error)
                return (gr.skip(),) * (4 if leaving else 3)
            if not leaving:
                return answer
            return (*answer, gr.skip() if conversation.asked.upload else None)

        return handle

    def _checking(self, field: Any) -> Callable[..., Any]:
        """Return the event handler of a field that was left: it is searched with, or refused.

        It returns an answer, and what is said to be wrong with the field.
        """
        ask = self._asking(lambda *_: unchanged)

        def handle(values: Values, request: gr.Request, event: gr.EventData) -> tuple[Any, ...]:
            try:
                self.options.check(field, values)
            except LookalikeError as error:
                return gr.skip(), gr.skip(), gr.skip(), refusal(error)
            return (*ask(values, request, event), "")

        return handle

    # What the handlers are made of.

    def _answer(
        self,
        conversation: Conversation,
        step: Step | None,
        request: gr.Request,
        times: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[Any, ...]:
        """Do what a visitor has done, and return the answer to all of it."""
        with conversation.doing(step) as (asked, options):
            return (*self._lay_out(conversation, asked, options, request, times), conversation)

    def _lay_out(
        self,
        conversation: Conversation,
        asked: Asked,
        options: Options,
        request: gr.Request,
        times: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[str, str]:
        """Return the results, with the number of the answer for `page.js`, and the truth line."""
        results, truth = self.answers.answer(asked, options, visitor_of(request), times)
        return f'{results}<i hidden data-turn="{conversation.next_turn()}"></i>', truth

    def _ask_for(
        self, data: bytes, values: Values, request: gr.Request, previewed: bool
    ) -> tuple[tuple[Any, ...], Part | None]:
        """Return the answer to an upload, and the upload where the query is about it.

        Args:
            previewed: the page shows the picture before its answer has come.
        """
        conversation, options = values[self.conversation], self.options.read(values)
        self.answers.require(options.choice, visitor_of(request))
        part, times = self.parts.of_upload(data, options.cleaning)
        part = replace(part, previewed=previewed)
        self.recent.keep(visitor_of(request), part)
        step = _step(lambda asked: asked.only(part), options, request, anew=True)
        if values[self.options.choice] is None:
            step = replace(step, options=None)  # the controls wait for `on_load`
        answer = self._answer(conversation, step, request, times)
        upload = conversation.asked.upload
        return answer, part if upload and upload.token == part.token else None

    def _visit(
        self, conversation: Conversation, address: Address, request: gr.Request, first: str = ""
    ) -> tuple[Any, ...]:
        """Do what an address asks for.

        Args:
            first: the collection that is shown where it names none that is here; "" for all.
        """
        visit, options = self.visits.follow(address, visitor_of(request), first)
        # Not those of the controls, which are set to these here.
        step = replace(_step(visit, options, request, anew=True), options=options)
        view = self._view(conversation, step, request, replace(step, change=Asked.emptied))
        return (*view, *self._controls(conversation.options, request))

    def _view(
        self,
        conversation: Conversation,
        step: Step | None,
        request: gr.Request,
        otherwise: Step | None = None,
    ) -> tuple[Any, ...]:
        """Do what a visitor has done, and return the view after it.

        Args:
            step: what that is; None for nothing new.
            otherwise: what is done where that is not possible; None leaves the answer as it is.
        """
        answer: tuple[Any, ...] = (gr.skip(),) * 3
        try:
            answer = self._answer(conversation, step, request)
        except LookalikeError as error:
            warn(error)
            if otherwise:
                answer = self._answer(conversation, otherwise, request)
        held = self.answers.held(conversation.options.choice, visitor_of(request))
        return (
            self.answers.status(held),
            *answer,
            self.answers.examples(held),
            gr.Timer(active=self.answers.building(held) is not None),
        )

    def _controls(self, options: Options, request: gr.Request) -> tuple[Any, ...]:
        """Return what all controls are to be."""
        visitor = visitor_of(request)
        seen, held = self.answers.held("", visitor), self.answers.held(options.choice, visitor)
        return self.options.show(options, seen, held)

    def _fitting(self, options: Options, request: gr.Request) -> Options:
        return self.options.fitting(options, self.answers.held(options.choice, visitor_of(request)))

    def _narrow(self, options: Options, request: gr.Request, stood: Options) -> tuple[Any, ...]:
        held = self.answers.held(options.choice, visitor_of(request))
        return self.options.narrow(options.filters, held, stood.filters)


def _step(change: Change, options: Options, request: gr.Request, anew: bool = False) -> Step:
    """Return what a visitor has done, with its number where the page has told it."""
    number, setting = action_of(request)
    return Step(change, None if setting else options, number, anew)
