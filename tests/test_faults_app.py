"""A running app that is killed, a full disk, visitors who hang up, a model that is harmed."""

import errno
import gc
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

import app
from retrieval import database, settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import index_folder
from retrieval.model import OnnxExtractor
from retrieval.pages import words
from retrieval.pages.server import explain_start
from retrieval.schema import DATABASE
from tests.browser import PROJECT, running_app
from tests.made import by_hue, encode, noise, save_hues
from tests.servers import free_port
from tests.serving import Served, serving
from tests.test_faults import mount
from tests.test_indexing import is_whole
from tests.visitor import Visitor

SECONDS = 60
PICTURE = encode(by_hue(200), "PNG")


# Killed.


def start(home: Path, port: int, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start the app as people do, and return when it answers."""
    home.mkdir(exist_ok=True)
    with (home / "app.log").open("a") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                str(PROJECT / "app.py"),
                "--port",
                str(port),
                "--no-browser",
                *arguments,
            ],
            env={**os.environ, "LOOKALIKE_HOME": str(home)},
            stdout=log,
            stderr=log,
        )
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/robots.txt", timeout=2)
            return process
        except httpx.HTTPError:
            time.sleep(0.1)
    process.kill()
    raise AssertionError((home / "app.log").read_text())


def test_killed_under_load_and_started_again_it_goes_on_where_it_was(
    tmp_path: Path, tiny_files: Path
) -> None:
    photos = tmp_path / "killed"
    photos.mkdir()
    total = 300
    data = encode(noise((1600, 1200), 1), "PNG", compress_level=1)
    for number in range(total):
        # What follows the end of a PNG makes another file of it, and the same picture.
        (photos / f"{number:03}.png").write_bytes(data + bytes(number))
    home, port = tmp_path / "home", free_port()
    arguments = ("--pictures", str(photos), "--model", str(tiny_files))
    address = f"http://127.0.0.1:{port}/"
    process = start(home, port, *arguments)
    visitors = [Visitor(address) for _ in range(3)]
    answered = [0] * len(visitors)

    def search_on(number: int) -> None:
        visitor = visitors[number]
        try:
            while visitor.search(visitor.send(PICTURE))["success"]:
                answered[number] += 1
        except (httpx.HTTPError, StopIteration):
            pass  # it was killed in the middle of a word

    threads = [threading.Thread(target=search_on, args=(n,)) for n in range(len(visitors))]
    for thread in threads:
        thread.start()
    folder = home / "collections" / "killed"
    ready, end = 0, time.monotonic() + SECONDS
    while not (ready > 0 and all(answered)):
        assert time.monotonic() < end, (ready, answered)
        with Collection(folder) as collection:
            ready = collection.listing.count()[0]
    process.kill()
    process.wait()
    for thread in threads:
        thread.join()
    assert is_whole(folder)
    with Collection(folder) as collection:
        left = collection.listing.count()[0]
        assert ready <= left < total, "the kill did not fall into the work"
        ids = {picture.path: picture.id for picture in collection.listing.pictures()}

    process = start(home, port, *arguments)
    try:
        visitor = visitors[0]  # the page that was open all along
        while visitor.outcome("on_return_1", [None])["output"]["data"][2]["active"]:
            time.sleep(0.5)
        # What was finished has not been done again, which would have given it another id.
        with Collection(folder) as collection:
            assert collection.listing.count() == (total, 0)
            again = {picture.path: picture.id for picture in collection.listing.pictures()}
        assert ids.items() <= again.items()
        found = visitor.search(visitor.send(PICTURE), 200)
        assert len(found["output"]["data"][0]) == 200
    finally:
        process.terminate()
        process.wait(timeout=60)
        for visitor in visitors:
            visitor.close()
    # It has ended in order, and left nothing of the run that was killed.
    for name in ("uploads", "visitors"):
        assert not [path for path in (home / name).rglob("*") if path.is_file()]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells nobody of it")
def test_closing_the_terminal_ends_it_in_order_and_an_upload_cut_short_is_told_at_the_next_start(
    tmp_path: Path, tiny_files: Path
) -> None:
    photos = save_hues(tmp_path / "photos", {"a.png": 0})
    log, port = tmp_path / "home" / "app.log", free_port()
    (tmp_path / "home" / "uploads" / "x" / "files").mkdir(parents=True)
    (tmp_path / "home" / "uploads" / "x" / "files" / "b.png").touch()
    arguments = ("--pictures", str(photos), "--model", str(tiny_files))
    # This suite may have been started by `nohup`, whose children let a closing terminal pass.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        process = start(tmp_path / "home", port, *arguments)
    finally:
        signal.signal(signal.SIGHUP, before)
    started = words.STARTED.partition("{")[0]
    end = time.monotonic() + SECONDS
    while started not in log.read_text():
        assert time.monotonic() < end
        time.sleep(0.1)
    told = []
    for _ in range(2):  # pages: the second comes after something was done on the first
        visitor = Visitor(f"http://127.0.0.1:{port}/")
        told.append(words.CUT_SHORT in str(visitor.outcome("on_load_1", [None])["output"]["data"]))
        visitor.outcome("on_act", [None], {"act": "close", "key": ""})
        visitor.close()
    assert told == [True, False]
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0
    assert words.CUT_SHORT in log.read_text()


def test_a_second_program_leaves_what_the_first_one_is_using(
    tmp_path: Path, tiny_files: Path
) -> None:
    folders = [tmp_path / name for name in ("uploads", "visitors", "received", "downloads")]

    def put(name: str) -> list[Path]:
        for folder in folders:
            folder.mkdir(exist_ok=True)
            (folder / name).touch()
        return [folder / name for folder in folders]

    left, photos = put("of a former run"), save_hues(tmp_path / "photos", {"a.png": 0})
    arguments = ("--pictures", str(photos), "--model", str(tiny_files))
    first = start(tmp_path, free_port(), *arguments)
    try:
        assert [path for path in left if path.exists()] == []
        used = put("in use")
        second = start(tmp_path, free_port(), *arguments)
        second.terminate()
        assert second.wait(timeout=60) in (0, 130)  # the latter where it was still starting
        assert [path for path in used if not path.exists()] == []
    finally:
        first.terminate()
        first.wait(timeout=60)


def test_what_visitors_of_a_killed_app_had_goes_while_another_one_lives_and_theirs_stays(
    tmp_path: Path, tiny_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKALIKE_PUBLIC", "1")
    photos = save_hues(tmp_path / "photos", {"a.png": 0})
    arguments = ("--pictures", str(photos), "--model", str(tiny_files))
    processes, folders, kept = [], [], tmp_path / "visitors"
    try:
        for _ in range(2):
            port = free_port()
            processes.append(start(tmp_path, port, *arguments))
            visitor = Visitor(f"http://127.0.0.1:{port}/")
            visitor.add_pictures({"a.png": PICTURE})
            visitor.close()
            folders.append(next(new for new in kept.rglob("v-*") if new not in folders))
        processes[0].kill()
        processes[0].wait()
        processes.append(start(tmp_path, free_port(), *arguments))
        assert [folder.exists() for folder in folders] == [False, True]
    finally:
        for process in processes:
            process.terminate()
            process.wait(timeout=60)


# A busy machine.

BUSY = """
import asyncio
import sys
sys.path.insert(0, {project!r})
import uvicorn
from gradio import networking
plain = uvicorn.Server.startup

async def startup(server, sockets=None):
    await asyncio.sleep({seconds})
    await plain(server, sockets)

uvicorn.Server.startup = startup
networking.url_ok = lambda address: False  # what it says where a page takes three seconds
import app
sys.exit(app.main())
"""


@pytest.mark.parametrize("seconds", [0, 7], ids=["the first page", "the server"])
def test_it_starts_also_where_that_takes_long(
    tmp_path: Path, tiny_files: Path, seconds: int
) -> None:
    photos, program = save_hues(tmp_path / "photos", {"a.png": 0}), tmp_path / "slow.py"
    program.write_text(BUSY.format(project=str(PROJECT), seconds=seconds))
    arguments = ("--pictures", str(photos), "--model", str(tiny_files))
    with running_app(tmp_path / "home", *arguments, program=program) as address:
        assert httpx.get(address, timeout=SECONDS).status_code == 200


# A full disk, and visitors who hang up.


@pytest.fixture(scope="module")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    pictures = save_hues(home / "colours", {f"{hue}.png": hue for hue in range(0, 360, 60)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKALIKE_REQUESTS", "100000")  # a minute, for tests/test_bounds.py to see to
        with serving(tiny_model, pictures, home, public=True) as served:
            yield served


def files_in(*folders: Path) -> list[Path]:
    """Return the files below some folders, which may go meanwhile."""
    walked = (found for folder in folders for found in os.walk(folder))
    return [Path(parent, name) for parent, _, names in walked for name in names]


def wait_until(true: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["received", "downloads"])
def test_a_full_disk_says_so_and_goes_on_when_there_is_room(
    served: Served, visitor: Visitor, name: str
) -> None:
    if sys.platform != "linux":
        pytest.skip("small disks are made on Linux")
    sent = visitor.send(PICTURE)
    visitor.ask("on_upload", visitor.filled("on_upload", query=sent))
    folder = served.home / name
    mount(folder, "-o", "size=1m")
    try:
        (folder / "somebody else's").write_bytes(bytes(900_000))
        if name == "received":
            answer = visitor.http.post(
                "/gradio_api/upload", files={"files": ("a.png", bytes(2**20))}
            )
            said, status = answer.text, answer.status_code
            assert status == 507
        else:
            kind = {"save-kind": words.SAVE_KINDS[0]}
            (folder / "more").write_bytes(bytes(145_000))
            outcome = visitor.outcome("on_save", visitor.filled("on_save", **kind))
            said = outcome["output"]["error"]
        assert said.startswith("The disk is full")
        assert {path.name for path in files_in(folder)} <= {"somebody else's", "more"}
        (folder / "somebody else's").unlink()
        if name == "received":
            assert visitor.search(visitor.send(PICTURE))["success"]
        else:
            assert visitor.outcome("on_save", visitor.filled("on_save", **kind))["success"]
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def hang_up(
    served: Served, target: str, headers: dict[str, str], begin: bytes, folder: Path
) -> None:
    """Announce a megabyte, send the beginning of it, and leave when it is written to a folder."""
    before = set(files_in(folder))
    place = urllib.parse.urlsplit(served.address)
    lines = [f"POST {target} HTTP/1.1", f"host: {place.netloc}", f"content-length: {2**20}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection((place.hostname or "", place.port or 0)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + begin + bytes(300_000))
        wait_until(lambda: set(files_in(folder)) - before)


def test_a_visitor_who_hangs_up_leaves_no_picture_behind(served: Served, visitor: Visitor) -> None:
    folder = served.home / "received"
    before = set(files_in(folder))
    part = b'--x\r\ncontent-disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    for _ in range(3):
        headers = {"content-type": "multipart/form-data; boundary=x"}
        hang_up(served, "/gradio_api/upload", headers, part, folder)
    wait_until(lambda: not set(files_in(folder)) - before)
    assert visitor.search(visitor.send(PICTURE))["success"]


def test_a_visitor_who_hangs_up_leaves_no_half_file_in_a_collection(
    served: Served, visitor: Visitor
) -> None:
    begun = visitor.http.post(
        "/uploads", json={"files": 2, "bytes": 2**21}, headers={"x-lookalike": "1"}
    ).json()
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.http.cookies.items())
    headers = {"x-lookalike": "1", "x-name": "half.png", "cookie": cookie}
    folder = served.home / "uploads"
    hang_up(served, f"/uploads/{begun['upload']}", headers, PICTURE[:100], folder)
    wait_until(lambda: not files_in(folder))
    # The upload itself can go on.
    headers["x-name"] = "whole.png"
    place = f"/uploads/{begun['upload']}"
    assert visitor.http.post(place, content=PICTURE, headers=headers).status_code == 204
    said = visitor.outcome("on_upload_1", [None], {"upload": begun["upload"], "key": ""})
    assert said["success"]
    card = visitor.finish("")
    assert "1 picture" in card


# A model that is harmed.


@pytest.mark.parametrize("left", [0, 1, 300, 0.5, 0.99], ids=str)
def test_a_model_cut_short_is_named_with_the_cure(
    tiny_files: Path, left: float, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tiny_files.read_bytes()
    tiny_files.write_bytes(data[: int(left if left >= 1 else left * len(data))])
    check_refused(tiny_files, "tiny.onnx is damaged or not a model.", capsys)


def test_a_model_of_noise_is_named_with_the_cure(
    tiny_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_files.write_bytes(noise((60, 60)).tobytes())
    check_refused(tiny_files, "tiny.onnx is damaged or not a model.", capsys)


def test_a_missing_model_is_named_with_the_cure(
    tiny_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_files.unlink()
    check_refused(tiny_files, "There is no model at", capsys)


def test_a_model_with_other_weights_inside_is_refused_when_it_computes_nonsense(
    tiny_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx", reason="pip install -r export/requirements.txt")
    model = onnx.load(tiny_files)
    model.graph.initializer[0].CopyFrom(
        onnx.helper.make_tensor("white", onnx.TensorProto.FLOAT, [], [0.0])
    )
    onnx.save(model, tiny_files)
    check_refused(tiny_files, "tiny.onnx is damaged or not a model.", capsys)


def check_refused(model: Path, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Both the app and a command say what is wrong and end; nothing else is said."""
    from retrieval.__main__ import main

    folder = save_hues(model.parent / "colours", {"a.png": 0, "b.png": 90})
    assert app.main(["--model", str(model), "--pictures", str(folder)]) == 1
    assert gc.isenabled()  # which it is not while everything is imported
    said = capsys.readouterr()
    assert said.err.startswith(sentence)
    assert said.err.count("\n") == 1
    assert "-m export" in said.err
    assert said.out == ""
    assert main(["index", str(folder), "--model", str(model)]) != 0
    assert sentence in capsys.readouterr().err
    assert not list(settings.COLLECTIONS.rglob("*.sqlite"))


def test_a_whole_model_is_not_refused(tiny_files: Path) -> None:
    assert OnnxExtractor(tiny_files, gpu=False).card.name == "tiny"


# A database that somebody else holds.


def test_a_locked_database_says_so_and_nothing_is_lost(
    indexed: Collection, wheel: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    folder, before = indexed.folder, indexed.listing.count()
    indexed.close()
    with Collection(folder) as collection:
        (wheel / "new.png").write_bytes(encode(by_hue(100), "PNG"))
        other = sqlite3.connect(folder / DATABASE)
        other.execute("BEGIN IMMEDIATE")
        changes = find_changes(collection, wheel)  # reading goes on
        with pytest.raises(LookalikeError, match=r"Another program is using the collection"):
            for _ in index_folder(collection, wheel, embedder, changes):
                pass
        with pytest.raises(LookalikeError, match=r"Another program is using the collection"):
            collection.rename("other")
        assert collection.listing.count() == before
        other.rollback()
        other.close()
        for _ in index_folder(collection, wheel, embedder, find_changes(collection, wheel)):
            pass
        assert collection.listing.count() == (before[0] + 1, 0)


def test_a_database_held_for_itself_alone_says_so(
    indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    folder = indexed.folder
    indexed.close()
    other = sqlite3.connect(folder / DATABASE)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LookalikeError, match=r"Another program is using the collection"):
        Collection(folder)
    other.rollback()
    other.close()
    with Collection(folder) as collection:
        assert collection.listing.count() == (6, 0)


@pytest.mark.parametrize("port", ["70000", "0", "-1"])
def test_a_port_that_there_is_not_is_refused_in_a_sentence(
    port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        app.main(["--port", port])
    assert f"there is no port {port}. Take one from 1024 to 65535" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="others have no file that is always full")
def test_it_starts_where_nothing_can_be_printed(tmp_path: Path, tiny_files: Path) -> None:
    photos, port = save_hues(tmp_path / "photos", {"a.png": 0}), free_port()
    shell = 'exec "$0" "$@" >/dev/full 2>&-'
    command = [sys.executable, str(PROJECT / "app.py"), "--port", str(port), "--no-browser"]
    process = subprocess.Popen(
        ["sh", "-c", shell, *command, "--pictures", str(photos), "--model", str(tiny_files)],
        env={**os.environ, "LOOKALIKE_HOME": str(tmp_path / "home")},
    )
    try:
        end, answer = time.monotonic() + SECONDS, 0
        while not answer:
            assert process.poll() is None
            assert time.monotonic() < end
            with suppress(httpx.HTTPError):
                answer = httpx.get(f"http://127.0.0.1:{port}/", timeout=SECONDS).status_code
            time.sleep(0.1)
        assert answer == 200
    finally:
        process.terminate()
    assert process.wait(timeout=60) in (0, 130)  # the latter where it was still starting


@pytest.mark.skipif(sys.platform == "win32", reason="there Ctrl+C comes in another way")
@pytest.mark.parametrize("module", ["argparse", "retrieval.setup"])
def test_ctrl_c_in_the_first_moment_ends_it_without_a_word(module: str) -> None:
    program = (
        "import os, signal, sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "import app\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


NO_PORT = OSError("Cannot find empty port in range")


@pytest.mark.parametrize(
    ("name", "port", "sentence"),
    [
        ("", None, "Port {port} is taken by another program. Choose another with --port."),
        ("127.0.0.1", None, "Port {port} is taken by another program."),
        ("0.0.0.0", None, "Port {port} is taken by another program."),
        ("192.0.2.1", 0, "192.0.2.1 (GRADIO_SERVER_NAME) is no address of this computer. Set"),
        ("::1", 0, "::1 (GRADIO_SERVER_NAME) is an address of IPv6, at which this is not served."),
    ],
)
def test_why_a_place_cannot_be_had_is_told(
    name: str, port: int | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_NAME", name)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1] if port is None else free_port()
        assert str(explain_start(NO_PORT, port)).startswith(sentence.format(port=port))


def test_a_port_that_the_system_keeps_for_itself_is_not_called_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    monkeypatch.setattr(socket.socket, "bind", refuse)  # who runs tests may be an administrator
    said = str(explain_start(NO_PORT, 81))
    assert said.startswith("This computer does not let you have port 81, as mostly below 1024.")


def test_what_the_disk_does_not_take_at_the_start_is_told_and_a_bug_is_none_of_it() -> None:
    place = str(settings.HOME / "received" / "abc")
    told = explain_start(OSError(errno.ENOSPC, "No space left on device", place), None)
    assert str(told).startswith(f"The disk is full. {settings.HOME.name} could not be written.")
    assert explain_start(FileNotFoundError(errno.ENOENT, "gone", "style.css"), None) is None
    assert explain_start(OSError("whatever"), None) is None


def test_what_the_app_was_told_and_cannot_do_is_named_before_it_starts(
    tmp_path: Path,
    tiny_files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app.main(["--milvus", "nonsense"]) == 1
    assert "nonsense is no address of Milvus" in capsys.readouterr().err
    (tmp_path / "file").touch()
    monkeypatch.setattr(settings, "COLLECTIONS", tmp_path / "file" / "collections")
    assert app.main(["--no-browser"]) == 1
    assert "Name a folder that may be written in LOOKALIKE_HOME" in capsys.readouterr().err
