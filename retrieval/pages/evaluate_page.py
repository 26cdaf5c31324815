"""The page "How good is it?": a collection is tested with its own pictures, and settings compared.

One test runs at a time for everybody, in blocks, so that it shows how far it is and can be stopped;
what strangers may ask for is bounded in `settings`.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from retrieval import report, settings
from retrieval.captions import pretty
from retrieval.compare import Comparison
from retrieval.errors import LookalikeError
from retrieval.evaluation import Evaluation, as_csv
from retrieval.family import is_int8
from retrieval.images import open_picture, thumbnail
from retrieval.pages import markup, words
from retrieval.pages.elements import Choice, number_of, offer_collections, told_by_a_page, warn
from retrieval.pages.sessions import visitor_of
from retrieval.pages.waiting import TESTS
from retrieval.plots import draw_png
from retrieval.quality import Labels, compare_settings, plan_test, settings_for
from retrieval.rankings import NEAREST
from retrieval.records import PictureRecord
from retrieval.search import Searcher
from retrieval.workspace import Workspace

STYLE = Path(__file__).with_name("evaluate.css")
REPORT_THUMBNAIL = 160  # pixels; the report carries its pictures along

# A hard query tells which picture it is, of which collection, since another one may be chosen by
# now, and what the test has found: a search would find pictures without a kind, too.
PICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-id]');
  const key = button?.closest('[data-key]')?.dataset.key;
  const {id, nearest} = button?.dataset ?? {};
  if (key) trigger('select', {key, id: Number(id), nearest: nearest.split(' ').map(Number)});
});
"""


# Who presses a button further down would not see that anything happens. On a phone the figures come
# below the buttons, of which the last is the one that stops, as long as there is something to stop.
BEGIN = """
const quiet = matchMedia('(prefers-reduced-motion: reduce)');
let said = '';
const show = () => {
  const behavior = quiet.matches ? 'auto' : 'smooth';
  if (innerWidth > 760) return element.scrollIntoView({block: 'nearest', behavior});
  (document.getElementById('test-stop') ?? element).scrollIntoView({block: 'start', behavior});
};
new MutationObserver(() => {
  const told = element.querySelector('[data-aloud]');
  const aloud = told?.dataset.aloud ?? '';
  if (aloud && aloud !== said) window.lookalikeSay?.(aloud);
  said = aloud;
  if (told?.matches('.lk-notice')) setTimeout(show, 50); // the button comes or goes
}).observe(element, {childList: true, subtree: true, characterData: true});
"""


# What a hard query finds appears below everything else: bring it into view, and who asked with it.
FOLLOW = """
const quiet = matchMedia('(prefers-reduced-motion: reduce)');
new MutationObserver(() => {
  const behavior = quiet.matches ? 'auto' : 'smooth';
  if (!element.querySelector('li')) return;
  element.scrollIntoView({block: 'nearest', behavior});
  if (!document.activeElement?.closest('#test-result')) return;
  element.querySelector('section').focus({preventScroll: true});
}).observe(element, {childList: true, subtree: true});
"""


class Run:
    """What a run is told from outside, while it goes on in a thread of its own."""

    def __init__(self) -> None:
        self.stopped = False
        self.replaced = False  # stopped by the next one, of which the page speaks by now


class EvaluatePage:
    """The page that tests: `build` lays it out and wires the handlers below it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.shelf = workspace.shelf

    def build(self, tab: gr.Tab, searched: gr.Dropdown) -> None:
        """Add the page to the tab.

        Args:
            searched: the choice of the search, which this page follows when it is opened.
        """
        look = report.style() + STYLE.read_text(encoding="utf-8")
        gr.HTML(f"<style>{look}</style>", apply_default_css=False, elem_id="test-style")
        with gr.Row(elem_id="test"):
            with gr.Column(elem_id="test-ask", min_width=280):
                gr.HTML(
                    f'<p class="lk-lead">{escape(words.TEST_LEAD)}</p>', apply_default_css=False
                )
                # What it offers depends on who looks, so it is filled when the tab is opened.
                # Until then it takes its room, or what is below it would jump.
                choice = Choice(
                    [], label=words.COLLECTION, interactive=False, elem_id="test-collection"
                )
                start = gr.Button(
                    words.TEST_START, variant="primary", interactive=False, elem_id="test-start"
                )
                ways = list(self._settings())
                setting = Choice(
                    ways,
                    value=ways[0],
                    label=words.COMPARE,
                    info=words.COMPARE_INFO,
                    elem_id="test-setting",
                )
                against = gr.Button(words.COMPARE_START, interactive=False, elem_id="test-compare")
                stop = gr.Button(words.TEST_STOP, visible=False, elem_id="test-stop")
            with gr.Column(elem_id="test-answer", min_width=320):
                status = gr.HTML(elem_id="test-status", js_on_load=BEGIN, apply_default_css=False)
                downloads = gr.HTML(elem_id="test-downloads", apply_default_css=False)
                result = gr.HTML(
                    _empty(words.TEST_EMPTY),
                    elem_id="test-result",
                    js_on_load=PICK,
                    apply_default_css=False,
                )
                found = gr.HTML(elem_id="test-found", js_on_load=FOLLOW, apply_default_css=False)

        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        one_at_a_time: dict[str, Any] = {
            "concurrency_id": TESTS,
            "concurrency_limit": 1,
            **quiet,
        }
        light: dict[str, Any] = {"concurrency_limit": None, **quiet}
        followed = gr.State("")
        offered = [choice, setting, start, against, followed]
        told = [choice, setting, searched, followed]
        tab.select(self.on_return, told, offered, trigger_mode="always_last", **light)
        view = [status, result, downloads, found, stop]
        # Told by the button that stops. Gradio's own `cancels` misses a run that is just beginning,
        # and lets the last sign of life of one that it ends come after the word that it ended.
        run = gr.State()
        # The answer to a click comes at once, also while another visitor's test is running. The run
        # begins also while the one that it replaces is still ending.
        for button, begin, asked in (
            (start, self.on_test, [run, choice]),
            (against, self.on_compare, [run, choice, setting]),
        ):
            waiting = button.click(self.on_wait, run, [*view, run], **light)
            begun = waiting.then(begin, asked, view, trigger_mode="multiple", **one_at_a_time)
            begun.success(self.on_end, told, offered, **light)
            # Where too many wait already, nothing may say that it is getting ready.
            begun.failure(self.on_stop, run, [status, stop], **light)
        stop.click(self.on_stop, run, [status, stop], **light)
        result.select(self.on_pick, None, found, **light)

    # The handler of the choices.

    def on_return(
        self,
        choice: str | None,
        setting: str | None,
        searched: str | None,
        followed: str | None,
        request: gr.Request,
    ) -> tuple[Any, ...]:
        """Offer what there is to whoever turns to the tab."""
        collections, chosen, followed = offer_collections(
            self.shelf, choice, visitor_of(request), searched, followed
        )
        offered = list(self._settings())
        picked = setting if setting in offered else offered[0]
        return (
            collections,
            gr.Dropdown(offered, value=picked),
            gr.Button(interactive=chosen is not None),
            gr.Button(interactive=chosen is not None),
            followed,
        )

    def on_end(
        self,
        choice: str | None,
        setting: str | None,
        searched: str | None,
        followed: str | None,
        request: gr.Request,
    ) -> tuple[Any, ...]:
        """Offer what there is anew where the collection of a run has gone."""
        if choice in self.shelf.names(visitor_of(request)):
            return (gr.skip(),) * 5
        return self.on_return(choice, setting, searched, followed, request)

    # The handlers of a run. They return the status, the result, the downloads, what the picked
    # query finds, and the button that stops.

    def on_wait(self, former: Run | None) -> tuple[Any, ...]:
        """Say that it begins, or that it waits for its turn; give the run what stops it.

        One that is still going on makes way: nothing on the page could stop it any more.
        """
        if former is not None:
            former.stopped = former.replaced = True
        waits = _notice(words.TEST_WAITS)
        stays = (gr.skip(),) * 3  # until there is something else, or for good where it is stopped
        return waits, *stays, gr.Button(visible=True), Run()

    def on_test(
        self, run: Run | None, choice: str | None, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Test a collection with its own pictures."""
        yield from _until_stopped(run, self._test(choice, visitor_of(request)))

    def on_compare(
        self, run: Run | None, choice: str | None, setting: str | None, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Compare the collection's own setting with another one."""
        yield from _until_stopped(run, self._compare(choice, setting, visitor_of(request)))

    def on_stop(self, run: Run | None) -> tuple[Any, ...]:
        """Stop the run and say so at once; what was shown before stays."""
        if run is not None:
            run.stopped = True
        return _notice(words.TEST_STOPPED), gr.Button(visible=False)

    def on_pick(self, request: gr.Request, event: gr.EventData) -> str:
        """Show what a hard query finds."""
        key, id_ = str(event.key), number_of(event.id)
        with told_by_a_page():
            ids = [number_of(told) for told in list(event.nearest)[:NEAREST]]
        try:
            searcher = self.shelf.searcher(key, visitor_of(request))
            query = searcher.record(id_)
            # One that is gone by now is left out.
            return _found(key, query, searcher.collection.listing.pictures(ids))
        except LookalikeError as error:
            warn(error)
            return ""

    # What the handlers are made of.

    def _test(self, choice: str | None, visitor: str) -> Iterator[tuple[Any, ...]]:
        try:
            searcher = self.shelf.searcher(choice or "", visitor)
            labels, test = plan_test(searcher, settings.MAX_TEST_QUERIES, self._notes(choice))
            yield _going_on(words.TESTING, 0, test.total, None)
            parts, done, started = [], 0, time.monotonic()
            for part in test.rank():
                parts.append(part)
                done += len(part)
                yield _going_on(words.TESTING, done, test.total, started)
            yield _going_on(words.TEST_DRAWS, 1, 1, None)
            evaluation = test.summarise(parts)
            yield self._show_test(searcher, labels, evaluation, time.monotonic() - started)
        except LookalikeError as error:
            yield self._refused(choice or "", visitor, error)

    def _compare(
        self, choice: str | None, setting: str | None, visitor: str
    ) -> Iterator[tuple[Any, ...]]:
        try:
            searcher = self.shelf.searcher(choice or "", visitor)
            wanted = self._settings().get(setting or "")
            if wanted is None:
                raise LookalikeError(words.NO_SETTING)
            started = time.monotonic()
            for step in compare_settings(
                searcher, wanted, settings.pca_path, settings.MAX_COMPARED
            ):
                if isinstance(step, Comparison):
                    compared = replace(step, called=setting or "")
                    seconds = time.monotonic() - started
                    yield _show_comparison(searcher.collection.name, compared, seconds)
                elif step.ranking:
                    yield _going_on(words.TESTING, step.done, step.total, None)
                else:
                    yield _going_on(words.COMPARING, step.done, step.total, started)
        except LookalikeError as error:
            yield self._refused(choice or "", visitor, error)

    def _refused(self, key: str, visitor: str, error: LookalikeError) -> tuple[Any, ...]:
        """Say why there is no test; that the collection has gone or is being read comes first."""
        text = str(error)
        if key not in self.shelf.names(visitor):
            text = words.TEST_GONE
        elif self._is_building(key):
            text = words.TEST_LATER
        return _aloud(text), _empty(text), "", "", gr.Button(visible=False)

    def _is_building(self, key: str) -> bool:
        building = self.workspace.building(key)
        return building is not None and not building.finished

    def _notes(self, key: str | None) -> dict[str, str]:
        if not self._is_building(key or ""):
            return {}
        return {words.STILL_BUILDING: words.STILL_BUILDING_WHAT}

    def _settings(self) -> dict[str, Any]:
        own = self.workspace.model_path.resolve()
        folder = settings.BUNDLED_MODEL.parent
        # A model's sibling in 8 bits is no other model.
        models = [path for path in sorted(folder.glob("*.onnx")) if not is_int8(path)]
        others = [path for path in models if path.resolve() != own]
        return dict(settings_for(self.workspace.embedder, others))

    def _show_test(
        self, searcher: Searcher, labels: Labels, evaluation: Evaluation, seconds: float
    ) -> tuple[Any, ...]:
        key, collection = searcher.key, searcher.collection

        def on_page(row: int) -> report.Shown:
            picture = labels.pictures[row]
            address = markup.thumbnail_address(key, picture)
            return report.Shown(address, markup.name_of(picture))

        def in_report(row: int) -> report.Shown:
            picture = labels.pictures[row]
            jpeg = collection.thumbnail(picture.sha256) or b""
            if jpeg:
                jpeg = thumbnail(open_picture(jpeg, REPORT_THUMBNAIL).image, REPORT_THUMBNAIL)
            return report.Shown(report.data_uri(jpeg, "image/jpeg"), markup.name_of(picture))

        title = collection.name
        document = report.document(title, evaluation, in_report, csv=words.TEST_CSV)
        files = [
            (words.DOWNLOAD_REPORT, "html", document.encode()),
            (words.DOWNLOAD_CSV, "csv", as_csv(evaluation)),
            (words.DOWNLOAD_PNG, "png", draw_png(words.TEST_TITLE.format(name=title), evaluation)),
        ]
        ids = [picture.id for picture in labels.pictures]
        sections = report.sections(evaluation, on_page, words.TEST_CSV, ids)
        body = _report(words.TEST_TITLE.format(name=title), sections, key)
        done = words.tested(len(evaluation.asked), seconds)
        return _notice(done), body, _downloads(title, files), "", gr.Button(visible=False)


def _show_comparison(name: str, comparison: Comparison, seconds: float) -> tuple[Any, ...]:
    body = report.compare_section(comparison)
    whole = report.document(name, comparison.first, None, [comparison])
    files = [(words.DOWNLOAD_REPORT, "html", whole.encode())]
    title = words.TEST_TITLE.format(name=name)
    downloads = _downloads(f"{name} compared", files)
    of = words.pictures(len(comparison.first.asked))
    done = words.COMPARED.format(pictures=of, time=markup.duration(seconds))
    return _notice(done), _report(title, body), downloads, "", gr.Button(visible=False)


def _until_stopped(run: Run | None, views: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Show a run until it is stopped, and last that it was."""
    # No button came before a run without one, as when a program asks for it; and a run that was
    # stopped while it waited for its turn does not begin, and has been told of.
    nothing = (gr.skip(),) * 5
    if run is None or run.stopped:
        yield nothing
        return
    for view in views:
        if run.replaced:
            yield nothing
            return
        if run.stopped:
            yield _notice(words.TEST_STOPPED), *nothing[:3], gr.Button(visible=False)
            return
        yield view


def _going_on(text: str, done: int, total: int, started: float | None) -> tuple[Any, ...]:
    """Say how far it is, and leave the rest of the page as it is."""
    left = ""
    if started is not None and 0 < done < total:
        seconds = (time.monotonic() - started) / done * (total - done)
        left = words.TEST_LEFT.format(time=markup.duration(seconds))
    said = text.format(done=f"{done:,}", total=f"{total:,}", left=left)
    return _notice(said, done / total), gr.skip(), gr.skip(), gr.skip(), gr.Button(visible=True)


def _notice(text: str, fraction: float | None = None) -> str:
    """Show one line, and how far the run is; `BEGIN` has the line read aloud if it is not that."""
    return markup.notice(text, fraction, words.TEST_PROGRESS, aloud=True)


def _aloud(text: str) -> str:
    """Have `BEGIN` read aloud what stands elsewhere on the page."""
    return f'<i hidden data-aloud="{escape(text)}"></i>'


def _empty(text: str) -> str:
    return f'<div class="lk-empty"><p>{escape(text)}</p></div>'


def _report(title: str, body: str, key: str = "") -> str:
    """Lay out figures; `key` is the collection of the pictures in them that can be picked."""
    of = f' data-key="{escape(key)}"' if key else ""
    return f'<div class="lk-report"{of}><h2 class="lk-title">{escape(title)}</h2>{body}</div>'


def _found(key: str, query: PictureRecord, nearest: Sequence[PictureRecord]) -> str:
    """Lay out what a query finds, with the wrong ones pale."""
    tiles = "".join(
        f'<li class="{"is-right" if one.label == query.label else "is-wrong"}">'
        f'<img src="{escape(markup.thumbnail_address(key, one))}" alt="" loading="lazy">'
        f'<span class="lk-under"><b>{report.kind_name(one.label)}</b>'
        f"<small>{escape(markup.name_of(one))}</small></span></li>"
        for one in nearest
    )
    heading = words.FOUND.format(name=markup.name_of(query))
    return (
        '<div class="lk-report"><section class="lk-section" tabindex="-1"><h3>'
        f'{escape(heading)}</h3><p class="lk-note">'
        f"{escape(words.FOUND_LEAD.format(label=pretty(query.label)))}</p>"
        f'<ol class="lk-worst" role="list">{tiles}</ol></section></div>'
    )


def _downloads(name: str, files: Sequence[tuple[str, str, bytes]]) -> str:
    """Offer files that the page itself carries: nothing of a visitor stays on the server."""
    kinds = {"html": "text/html;charset=utf-8", "csv": "text/csv;charset=utf-8", "png": "image/png"}
    stem = re.sub(r"[^\w-]+", "-", name).strip("-") or "collection"
    links = "".join(
        f'<a class="lk-back" download="{escape(stem)}-test.{suffix}" '
        f'href="{report.data_uri(data, kinds[suffix])}">{escape(text)}</a>'
        for text, suffix, data in files
    )
    return f'<div class="lk-downloads">{links}</div>'
