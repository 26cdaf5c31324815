"""`--share`: a link is announced with what it allows, and without one the app goes on.

Gradio's own tunnel runs here, with a program of ours in place of its `frpc`.
"""

import http.server
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio import networking, tunneling

from retrieval import settings
from retrieval.collection import Collection
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.pages.sharing import Server, close_tunnels, share
from retrieval.workspace import Workspace
from tests.browser import running_app
from tests.visitor import Visitor

if sys.platform == "win32":
    pytest.skip("The stand-in for the tunnel's program is a shell script.", allow_module_level=True)

LINK = "start proxy success: http://0123456789abcdef.gradio.live"
SERVER = Server("127.0.0.1", 7860, "http://127.0.0.1:7860/", "token")
OFFLINE = {  # a proxy that is not there, which the app's requests to itself have to go past
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "example.org"),
}


def tunnel_program(path: Path, *lines: str, mode: int = 0o755) -> Path:
    """Write a shell script in place of the tunnel's program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(mode)
    return path


def wait_for(log: Path, text: str) -> str:
    """Return what an app has printed once `text` is part of it."""
    for _ in range(240):
        printed = log.read_text()
        if text in printed:
            return printed
        time.sleep(0.25)
    raise AssertionError(f"{text!r} was never printed: {printed}")


def status(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_link_is_announced_with_what_visitors_can_do_and_makes_everybody_one(
    tmp_path: Path,
) -> None:
    home, noted = tmp_path / "home", tmp_path / "noted"
    name = Path(tunneling.BINARY_PATH).name
    tunnel_program(
        tmp_path / "hf" / "gradio" / "frpc" / name,
        f"echo $$ > {noted}",
        f"echo {LINK}",
        "exec sleep 600",
    )
    environment = {"HF_HOME": str(tmp_path / "hf"), "GRADIO_SHARE_SERVER_ADDRESS": "127.0.0.1:9"}
    with running_app(home, "--share", environment=environment) as address:
        printed = wait_for(home / "app.log", "For now you are a visitor")
        assert f"Lookalike is open at {address.rstrip('/')}" in printed
        assert "https://0123456789abcdef.gradio.live\n" in printed
        assert "search these collections: Starter," in printed
        assert "keep 3 collections of their own with 500 pictures" in printed
        assert "start with --password WORD" in printed
        # As it comes through the tunnel: nothing from elsewhere, though the page is shared.
        asked = urllib.request.Request(address, headers={"Host": "0123456789abcdef.gradio.live"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            page = answer.read().decode()
        assert 'src="./assets/' in page
        assert 'src="http' not in page
        assert status(f"{address}originals/@shipped/1") == 404
        with urllib.request.urlopen(f"{address}robots.txt", timeout=60) as answer:
            assert answer.read() == b"User-agent: *\nDisallow: /"
        tunnel = int(noted.read_text())
        os.kill(tunnel, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(tunnel, 0)


def test_offline_the_app_goes_on_for_its_owner(tmp_path: Path) -> None:
    environment = {**OFFLINE, "HF_HOME": str(tmp_path / "hf")}
    arguments = ("--share", "--password", "sesame")
    with running_app(tmp_path / "home", *arguments, environment=environment) as address:
        printed = wait_for(tmp_path / "home" / "app.log", "Here it goes on")
        assert "The password has fewer than 16 letters" in printed
        assert words.SHARE_OFFLINE in printed
        assert f"for you alone: {address}" in printed
        assert "Traceback" not in printed
        assert status(f"{address}originals/@shipped/1") == 200


@pytest.fixture
def workspace(tiny_files: Path) -> Iterator[Workspace]:
    workspace = Workspace(tiny_files, settings.pca_path(tiny_files), gpu=False)
    for name in ("Garden", "Sea", "Town", "Hills", "Cats", "Dogs", "Birds"):
        folder = tiny_files.parent / name
        workspace.shelf.serve(Collection.create(folder, name, None, workspace.embedder))
    yield workspace
    workspace.stop()


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a server that says where the tunnel begins, and has a program that is junk."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            begins = [{"host": "127.0.0.1", "port": "9", "root_ca": "certificate"}]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"junk" if "frpc" in self.path else json.dumps(begins).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def program(tmp_path: Path, hub: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the tunnel's program is looked for; everything it is asked for is on this machine."""
    path = tmp_path / "frpc"
    monkeypatch.setattr(tunneling, "BINARY_PATH", str(path))
    monkeypatch.setattr(tunneling, "BINARY_FOLDER", tmp_path)
    monkeypatch.setattr(tunneling, "BINARY_URL", f"{hub}/frpc")
    monkeypatch.setitem(tunneling.CHECKSUMS, f"{hub}/frpc", "0" * 64)
    monkeypatch.setattr(tunneling, "TUNNEL_TIMEOUT_SECONDS", 30)
    monkeypatch.setattr(tunneling, "CURRENT_TUNNELS", [])
    monkeypatch.setattr(networking, "GRADIO_API_SERVER", hub)
    monkeypatch.chdir(tmp_path)  # Gradio writes a certificate there
    return path


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["exec sleep 600"], words.SHARE_NO_ANSWER),
        (["exit 1"], words.SHARE_NO_ANSWER),
        (["echo login to server failed: refused", "exec sleep 600"], words.SHARE_NO_ANSWER),
    ],
    ids=["silent", "ends at once", "refused"],
)
def test_a_tunnel_that_does_not_come_about_is_given_up_in_time(
    workspace: Workspace,
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
    reason: str,
) -> None:
    monkeypatch.setattr(tunneling, "TUNNEL_TIMEOUT_SECONDS", 2)
    tunnel_program(program, *lines)
    access, told = Access(None, True), list[str]()
    thread = share(SERVER, workspace.shelf, access, told.append, seconds=5)
    thread.join(60)
    assert not thread.is_alive()
    assert told == [
        words.SHARE_WAIT,
        f"{reason} {words.SHARE_GOES_ON.format(address=SERVER.address)}",
    ]
    assert not access.is_public


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("may not run", words.SHARE_BLOCKED),
        ("another file", words.SHARE_BLOCKED),
        ("no folder", words.SHARE_NO_FOLDER),
        ("no server", words.SHARE_OFFLINE),
    ],
)
def test_each_obstacle_has_its_sentence_and_leaves_no_bad_program_behind(
    workspace: Workspace,
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: str,
    reason: str,
) -> None:
    if harm == "may not run":
        tunnel_program(program, mode=0o644)
    elif harm == "no folder":
        (program.parent / ".gradio").write_text("a file where a folder would be")
    elif harm == "no server":
        monkeypatch.setattr(networking, "GRADIO_API_SERVER", "http://127.0.0.1:9")
    access, told = Access(None, True), list[str]()
    share(SERVER, workspace.shelf, access, told.append).join(60)
    assert told[1:] == [f"{reason} {words.SHARE_GOES_ON.format(address=SERVER.address)}"]
    assert not access.is_public
    assert not program.exists()


def test_without_a_link_everybody_stays_a_visitor_who_comes_through_a_proxy(
    workspace: Workspace, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "PUBLIC", True)
    tunnel_program(program, mode=0o644)
    access = Access(None, True)
    share(SERVER, workspace.shelf, access, lambda _: None).join(60)
    assert access.is_public


def test_behind_a_proxy_of_the_host_nobody_is_the_owner_without_the_password(
    tmp_path: Path,
) -> None:
    """A plain `proxy_pass` hands requests on as this computer's own."""
    public = {"LOOKALIKE_PUBLIC": "1"}
    with running_app(tmp_path, "--password", "open", environment=public) as address:
        visitor = Visitor(address)
        _, by_name, password, *_ = visitor.outcome("on_load_1", [None])["output"]["data"]
        visitor.close()
    assert (by_name["visible"], password["visible"]) == (False, True)


def test_the_first_collections_are_named_and_the_owner_is_told_of_the_password(
    workspace: Workspace, program: Path
) -> None:
    tunnel_program(program, f"echo {LINK}", "exec sleep 600")
    access, told = Access("secret", True), list[str]()
    share(SERVER, workspace.shelf, access, told.append).join(60)
    close_tunnels()
    assert "collections: Garden, Sea, Town, Hills, Cats and 2 more," in told[1]
    assert words.SHARE_PASSWORD in told[1]
    assert "web address" in told[1]
    assert access.is_public
