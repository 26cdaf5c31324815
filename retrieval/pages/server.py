"""The server around the pages: its theme, its headers, and what is served beside them."""

import errno
import importlib.util
import os
import signal
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from retrieval import settings

# Gradio reads these when it is imported: no statistics leave the machine, and uploads stay in a
# folder of ours, which no other program of this machine shares.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ["GRADIO_TEMP_DIR"] = str(settings.RECEIVED)

import gradio as gr
from gradio import http_server

from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError, explain_os_error
from retrieval.files import remove_tree
from retrieval.indexing import Bounds
from retrieval.library import collection_for, need_library
from retrieval.milvus_access import Place
from retrieval.open_files import allow_files
from retrieval.pages import words
from retrieval.pages.access import LONG, Access
from retrieval.pages.api import in_order
from retrieval.pages.assistants import guard_tools
from retrieval.pages.blocks import App, Unremembered, forget, keep, page_of, unread
from retrieval.pages.compression import Compressed
from retrieval.pages.connections import first_free, watch_connections
from retrieval.pages.duplicates_page import DuplicatesPage, copies_route
from retrieval.pages.entering import password_route
from retrieval.pages.evaluate_page import EvaluatePage
from retrieval.pages.gate import Gate
from retrieval.pages.handover import Handover, handover_routes
from retrieval.pages.interface import Hooks
from retrieval.pages.library_page import LibraryPage
from retrieval.pages.logs import spare_the_terminal
from retrieval.pages.map_page import MapPage, map_routes
from retrieval.pages.origins import guard_origins
from retrieval.pages.picture_routes import original_route, thumbnail_route
from retrieval.pages.search_page import SearchPage
from retrieval.pages.security import SecurityHeaders
from retrieval.pages.sessions import VisitorCookie
from retrieval.pages.sharing import Server, close_tunnels, robots_route
from retrieval.pages.sharing import share as make_link
from retrieval.pages.starting import guard_start, past_proxies
from retrieval.pages.theme import theme
from retrieval.pages.transfers import bundle_route, problems_route, upload_routes
from retrieval.pages.waiting import FULL_KINDS, guard_queue
from retrieval.pages.zero_gpu import mark_a_function
from retrieval.temporary import Stay, keep_swept
from retrieval.unbundling import open_once
from retrieval.uploads import Uploads, was_cut_short
from retrieval.visitors import VisitorBounds, Visitors
from retrieval.workspace import Workspace

# In the order in which one knows of the others.
SCRIPTS = (
    *("common.js", "running.js", "focus.js", "gradio.js", "crop.js", "dialog.js", "page.js"),
    *("sending.js", "library.js", "map.js"),
)
HERE = Path(__file__).resolve().parent
FORGET_SECONDS = 3600.0


def build_app(workspace: Workspace, library: LibraryPage, handover: Handover) -> gr.Blocks:
    """Lay out the app for the collections of a workspace."""
    app: gr.Blocks
    with App(title=words.TITLE, fill_width=True, analytics_enabled=False) as app:
        gr.HTML(
            f'<header class="lk-header"><h1>{words.TITLE}</h1><p>{words.TAGLINE}</p></header>',
            elem_id="header",
            apply_default_css=False,
        )
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(words.TAB_SEARCH, id="search") as search_tab:
                search = SearchPage(workspace, library.access, handover)
                search.build(app, search_tab)
            with gr.Tab(words.TAB_LIBRARY, id="library") as library_tab:
                library.build(app, tabs, library_tab, search.options.choice, search.address)
            with gr.Tab(words.TAB_MAP, id="map") as map_tab:
                MapPage(workspace).build(tabs, map_tab, search.options.choice)
            with gr.Tab(words.TAB_COPIES, id="copies") as copies_tab:
                copies = DuplicatesPage(workspace, library.access, library.adding)
                copies.build(copies_tab, search.options.choice)
            with gr.Tab(words.TAB_TEST, id="test") as test_tab:
                EvaluatePage(workspace).build(test_tab, search.options.choice)
    guard_queue(library.access.is_owner)
    guard_origins()
    guard_start()
    guard_tools()
    app.upload_file_set = Unremembered()
    # Not `api_open`: what is asked past the queue is asked past all of its bounds.
    most = FULL_KINDS * settings.MAX_QUEUE
    app.queue(max_size=most, default_concurrency_limit=2, api_open=False)
    return app


def launch(
    app: gr.Blocks,
    workspace: Workspace,
    library: LibraryPage,
    handover: Handover,
    port: int | None,
) -> Server:
    """Start the server, which then runs in a thread of its own, and return where it listens."""
    if sys.platform == "win32":
        first = http_server.INITIAL_PORT_VALUE
        usual = range(first, first + http_server.TRY_NUM_PORTS)
        port = first_free(usual if port is None else [port])
    has_tools = importlib.util.find_spec("mcp") is not None
    hooks = Hooks(
        unread=partial(unread, app),
        page_of=partial(page_of, app),
        forget=partial(forget, app),
        keep=partial(keep, app),
        in_order=partial(in_order, app),
        has_tools=has_tools,
    )
    spare_the_terminal()
    with past_proxies():
        app.launch(
            server_port=port,
            share=False,  # see `retrieval.pages.sharing`
            prevent_thread_lock=True,
            quiet=True,
            show_error=False,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            run_history=False,
            strict_cors=True,
            footer_links=["api"],
            # Else it asks for the page once more, and ends the app where that takes three seconds,
            # as on a machine that is busy with reading pictures.
            _frontend=False,
            # `/search` is also a tool for assistants, where gradio's extra for that is installed.
            mcp_server=has_tools,
            max_file_size=settings.MAX_UPLOAD_BYTES,
            state_session_capacity=settings.MAX_PAGES,
            theme=theme(),
            css="".join(_text(name) for name in ("style.css", "library.css", "map.css")),
            head="".join(f"<script>{_text(name)}</script>" for name in SCRIPTS),
            app_kwargs={
                "routes": [
                    thumbnail_route(workspace.shelf),
                    original_route(workspace.shelf, library.access),
                    problems_route(workspace.shelf, library.access),
                    bundle_route(workspace.shelf, library.access),
                    *map_routes(workspace.shelf),
                    copies_route(workspace),
                    password_route(library.access),
                    *upload_routes(library.uploads, library.bounds, library.access),
                    *(() if settings.ON_A_SPACE else (robots_route(),)),
                    *handover_routes(handover),
                ],
                "middleware": [
                    (SecurityHeaders, (), {}),
                    (Compressed, (), {}),
                    (VisitorCookie, (), {}),
                    (Gate, (handover, library.access, hooks), {}),
                ],
            },
        )
    watch_connections(app.server.config)
    return Server(app.server_name, app.server_port, str(app.local_url), app.share_token)


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def make_library(
    workspace: Workspace, password: str | None, public: bool, private: Path | None = None
) -> LibraryPage:
    """Return the page of collections, with what visitors may keep of their own.

    Args:
        private: where that is kept; None for the folder that all apps share.
    """
    uploads = Uploads(settings.UPLOADS)
    bounds = VisitorBounds(
        settings.VISITOR_HOURS,
        settings.VISITOR_PICTURES,
        settings.VISITOR_COLLECTIONS,
        settings.VISITORS_COLLECTIONS,
    )
    visitors = Visitors(workspace, uploads, private or settings.VISITORS, bounds)
    return LibraryPage(workspace, uploads, visitors, Access(password, public))


def shipped_collection(embedder: Embedder) -> Path:
    """Return the folder of the collection that came with this copy of the app."""
    if settings.PUBLISHED_COLLECTION.is_file():
        return open_once(settings.PUBLISHED_COLLECTION, settings.PUBLISHED, embedder)
    return settings.STARTER_COLLECTION


def sits_someone_here() -> bool:
    """Whether the app was started by hand, at a computer with a screen."""
    by_hand = sys.stdin is not None and sys.stdin.isatty()
    if not by_hand or settings.ON_A_SPACE or "SSH_CONNECTION" in os.environ:
        return False
    on_linux = sys.platform not in ("win32", "darwin")
    return not on_linux or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def keep_forgetting(workspace: Workspace, stay: Stay) -> None:
    """Delete for good what can be brought back no more, from time to time, and what visitors had in
    apps that were killed.

    The bins are the first app's. What lay there for long went when the library was opened.
    """

    def forget() -> None:
        while True:
            time.sleep(FORGET_SECONDS)
            stay.clear_parts()
            if stay.is_first:
                with suppress(LookalikeError, OSError):  # the next time, then
                    workspace.forget_old()

    if stay.is_first:
        workspace.forget_taken_out()
    threading.Thread(target=forget, name="forget what was deleted", daemon=True).start()


def open_workspace(pictures: Path | None, model: Path | None, milvus: str) -> Workspace:
    """Open the model, the collections of the library, and what the page opens with.

    Args:
        pictures, model, milvus: see `serve`.

    Raises:
        LookalikeError: when the model or the pictures cannot be used.
    """
    need_library(settings.COLLECTIONS)
    allow_files()  # for those of all its collections
    if milvus:
        Place.new(milvus, words.TITLE)  # refuses what is no address
    path = model or settings.BUNDLED_MODEL
    pca = settings.pca_path(path)
    gpu = not settings.ON_ZERO_GPU
    texture = settings.texture_path(pca)
    workspace = Workspace(path, pca, gpu=gpu, texture=texture, milvus=milvus)
    # The first one is the one that the page opens with.
    if pictures is not None:
        embedder = workspace.embedder
        key = workspace.shelf.serve(
            collection_for(settings.COLLECTIONS, pictures, None, embedder, milvus), first=True
        )
        workspace.build(key, pictures, Bounds())
    workspace.open_library(settings.COLLECTIONS)
    if pictures is None:
        # Under a key that no folder of the library has, whatever people call their collections.
        shipped = Collection(shipped_collection(workspace.embedder), read_only=True)
        workspace.shelf.serve(shipped, key="@shipped")
    return workspace


def clear_what_a_run_left(tell: Callable[[str], None]) -> bool:
    """Delete what was on its way when the last run ended; return whether an upload was cut short.

    For the first app on these folders only: whoever might ask for what is in there has gone with
    the run that made it.
    """
    cut_short = was_cut_short(settings.UPLOADS)
    if cut_short:
        tell(words.CUT_SHORT)
    for folder in settings.EMPTIED:
        remove_tree(folder)
    return cut_short


def end_as_ctrl_c_does() -> None:
    """Have what ends a program on a server, or closes its terminal, leave as little as Ctrl+C.

    What `nohup` has told to stay when the terminal closes stays.
    """
    for ending in ("SIGTERM", "SIGHUP"):  # Windows has the first alone
        number = getattr(signal, ending, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def explain_start(error: OSError, port: int | None) -> LookalikeError | None:
    """Return what to say where the server cannot start; None for what is a bug."""
    # What the system says has a number, Gradio's own word on ports has none.
    if error.errno is None and "port" in str(error):
        return LookalikeError(_why_not_at(os.environ.get("GRADIO_SERVER_NAME", ""), port or 7860))
    if Path(str(error.filename)).absolute().is_relative_to(settings.HOME.absolute()):
        return explain_os_error(error, settings.HOME)
    return None


def _why_not_at(name: str, port: int) -> str:
    """Return what to say of a place that cannot be had; Gradio does not say what the system said.

    Args:
        name: the host's of the place, as the owner has given it; "" where they have not.
    """
    if ":" in name:
        return (
            f"{name} (GRADIO_SERVER_NAME) is an address of IPv6, at which this is not served. Set "
            "it to 0.0.0.0 for the other addresses of this computer, or leave it out."
        )
    try:
        found = socket.getaddrinfo(name or "127.0.0.1", port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except PermissionError:
        return (
            f"This computer does not let you have port {port}, as mostly below 1024. Choose "
            "another with --port."
        )
    except OSError as error:
        if name and error.errno != errno.EADDRINUSE:
            return (
                f"{name} (GRADIO_SERVER_NAME) is no address of this computer. Set it to 0.0.0.0 "
                "for all of its addresses, or leave it out for this computer alone."
            )
    return f"Port {port} is taken by another program. Choose another with --port."


def serve(
    pictures: Path | None,
    model: Path | None,
    port: int | None,
    share: bool,
    password: str | None,
    milvus: str,
    browser: bool,
    tell: Callable[[str], None],
) -> None:
    """Run the app until it is stopped.

    Args:
        pictures: a folder to search, in place; None opens the collection that ships with the app.
        model: a model of `python -m export`; None takes the bundled one.
        port: None takes the first free one from 7860.
        share: make a public link.
        password: lets the owner change the collections from anywhere.
        milvus: the address of the Milvus where the vectors of new collections are to be.
        browser: open the page in the browser of whoever sits at this computer.
        tell: says to whoever has started it where it is.

    Raises:
        LookalikeError: when the model or the pictures cannot be used, the port cannot be had, or
            the disk takes nothing.
    """
    workspace = open_workspace(pictures, model, milvus)
    stay = Stay(settings.HOME, settings.VISITORS)
    with stay.beginning() as is_first:
        cut_short = is_first and clear_what_a_run_left(tell)
    keep_forgetting(workspace, stay)
    # Through a tunnel or a proxy of the host everybody seems to sit at this computer.
    library = make_library(workspace, password, share or settings.PUBLIC, stay.part)
    library.was_cut_short = cut_short
    library.visitors.start()
    if settings.ON_ZERO_GPU:
        mark_a_function()
    keep_swept(settings.TEMPORARY, settings.TEMPORARY_SECONDS)
    threading.Thread(target=workspace.warm_up, name="warm up", daemon=True).start()
    try:
        end_as_ctrl_c_does()
        handover = Handover()
        app = build_app(workspace, library, handover)
        server = launch(app, workspace, library, handover, port)
        with suppress(KeyboardInterrupt):
            tell(words.STARTED.format(address=server.address))
            access = library.access
            if access.is_public and access.has_password and access.is_guessable:
                tell(words.PASSWORD_SHORT.format(n=LONG))
            if browser and sits_someone_here():
                # Some browsers return only when they are closed.
                threading.Thread(
                    target=webbrowser.open, args=[server.address], name="browser", daemon=True
                ).start()
            if share and not settings.ON_A_SPACE:
                make_link(server, workspace.shelf, library.access, tell)
            while True:
                time.sleep(1)
        close_tunnels()
        app.close(verbose=False)
    except OSError as error:
        explained = explain_start(error, port)
        if explained is None:
            raise
        raise explained from error
    finally:
        # First: whoever presses Ctrl+C again leaves no picture of a stranger's. Not the uploads: of
        # one that was cut short the next start tells.
        stay.empty((settings.PACKED, *settings.TEMPORARY))
        library.visitors.stop()
        workspace.stop()
        stay.end()
