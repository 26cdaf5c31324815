"""CIFAR-10 from folders, from an archive like the official one, and over a broken connection."""

import hashlib
import io
import pickle
import ssl
import struct
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import certifi
import numpy as np
import pytest

from retrieval.cifar import ARCHIVE, CLASSES, Pictures, Split, download, read_batch, read_cifar10
from retrieval.errors import LookalikeError
from tests.made import save_hues

PER_BATCH = 4


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes as Python 2 and NumPy 1 did: texts are bytes, and arrays come from numpy.core."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)

    def save_str(self, value: str) -> None:
        self.save_bytes(value.encode())

    def save_global(self, value: object, name: str | None = None) -> None:
        module = getattr(value, "__module__", "")
        if module == "numpy._core.multiarray":
            self.write(pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n")
        else:
            super().save_global(value, name)

    dispatch[bytes] = save_bytes
    dispatch[str] = save_str
    dispatch[type(len)] = save_global
    dispatch[type(save_str)] = save_global


def python2(value: object) -> bytes:
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def batch(seed: int, **parts: object) -> bytes:
    """Return a batch in the official form: a picture of each of four classes."""
    rows = np.random.default_rng(seed).integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8)
    labels = [(seed + i) % 10 for i in range(PER_BATCH)]
    kept = {b"batch_label": b"made", b"labels": labels, b"data": rows, **parts}
    return python2({key if isinstance(key, bytes) else key.encode(): v for key, v in kept.items()})


def archive(path: Path, **replaced: bytes) -> str:
    """Write an archive with the official one's names, and return its MD5."""
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    with tarfile.open(path, "w:gz") as file:
        for seed, name in enumerate(names):
            data = replaced.get(name, batch(seed))
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_the_made_archive_is_pickled_as_python_2_did() -> None:
    assert b"numpy.core.multiarray\n_reconstruct" in batch(0)
    assert b"_codecs" not in batch(0)


def test_the_archive_gives_training_pictures_as_collection_and_test_pictures_as_queries(
    tmp_path: Path,
) -> None:
    md5 = archive(tmp_path / ARCHIVE)
    for source in (tmp_path, tmp_path / ARCHIVE):
        split = read_cifar10(source, md5)
        assert split.collection.pixels is not None
        assert split.queries.pixels is not None
        assert split.collection.pixels.shape == (5 * PER_BATCH, 32, 32, 3)
        assert split.queries.labels == (CLASSES[5], CLASSES[6], CLASSES[7], CLASSES[8])


def test_a_row_holds_the_red_plane_then_green_then_blue_line_by_line() -> None:
    row = np.zeros((1, 3072), np.uint8)
    row[0, 1] = 10  # red, first line, second pixel
    row[0, 1024 + 32] = 20  # green, second line, first pixel
    row[0, 2048 + 1023] = 30  # blue, the last pixel
    pixels = read_batch(python2({b"data": row, b"labels": [3]})).pixels
    assert pixels is not None
    assert pixels[0, 0, 1].tolist() == [10, 0, 0]
    assert pixels[0, 1, 0].tolist() == [0, 20, 0]
    assert pixels[0, 31, 31].tolist() == [0, 0, 30]
    assert pixels.sum() == 60


def test_another_archive_than_the_official_one_is_refused_before_it_is_opened(
    tmp_path: Path,
) -> None:
    archive(tmp_path / ARCHIVE)
    with pytest.raises(LookalikeError, match="not the official archive"):
        read_cifar10(tmp_path / ARCHIVE)


def test_a_file_of_somebodys_own_is_not_to_be_deleted(tmp_path: Path) -> None:
    (tmp_path / "cifar10-part.zip").write_bytes(b"PK")
    with pytest.raises(LookalikeError, match="unpack it and name its folder") as refused:
        read_cifar10(tmp_path / "cifar10-part.zip")
    assert "Delete" not in str(refused.value)


@pytest.mark.parametrize(
    "hostile",
    [
        pickle.dumps(print),
        b"cbuiltins\nexit\n(tR.",
        python2({b"data": np.zeros((1, 3), np.uint8), b"labels": [0]}),
        python2({b"data": np.zeros((1, 3072)), b"labels": [0]}),
        python2({b"data": np.zeros((1, 3072), np.uint8), b"labels": [0, 1]}),
        python2({b"data": np.zeros((1, 3072), np.uint8), b"labels": [77]}),
        python2({b"labels": [0]}),
        b"",
    ],
    ids=["function", "command", "narrow", "floats", "labels", "class", "no data", "empty"],
)
def test_a_batch_that_is_anything_else_is_refused(tmp_path: Path, hostile: bytes) -> None:
    md5 = archive(tmp_path / ARCHIVE, data_batch_3=hostile)
    with pytest.raises(LookalikeError, match="python archive"):
        read_cifar10(tmp_path, md5)


@pytest.mark.parametrize(("asked", "searched"), [("queries", "collection"), ("test", "train")])
def test_folders_of_pictures_are_read(tmp_path: Path, asked: str, searched: str) -> None:
    save_hues(tmp_path / asked, {"cat/1.png": 0, "dog/1.png": 120})
    save_hues(tmp_path / searched, {"cat/1.png": 0, "cat/2.png": 10, "dog/1.png": 120})
    split = read_cifar10(tmp_path)
    assert split.queries.labels == ("cat", "dog")
    assert split.collection.labels == ("cat", "cat", "dog")
    assert split.collection.files[1] == tmp_path / searched / "cat" / "2.png"


def test_where_there_is_none_the_sentence_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match="--cifar10 download"):
        read_cifar10(tmp_path / "nowhere")
    with pytest.raises(LookalikeError, match="--cifar10 download"):
        read_cifar10(tmp_path)


def test_pictures_and_labels_have_to_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 pictures with 1 labels"):
        Pictures(("cat",), (Path("a"), Path("b")))
    assert Split(Pictures(()), Pictures(())).queries.labels == ()


@dataclass
class Site:
    """A local server with one file that it may break off, refuse or send in full."""

    data: bytes
    address: str = ""
    breaks: list[int] = field(default_factory=list)  # after so many bytes, one for each request
    ranges: bool = True
    status: int | None = None
    asked: list[str] = field(default_factory=list)  # the Range of each request


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as held:
        yield held


@contextmanager
def running_site(certificate: Path | None = None) -> Iterator[Site]:
    """Run it, by https where there is a certificate."""
    held = Site(np.random.default_rng(0).bytes(3_000_000))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            held.asked.append(wanted)
            start = int(wanted[6:].split("-")[0]) if wanted and held.ranges else 0
            if held.status or start >= len(held.data):
                self.send_error(held.status or 416)
                return
            body = held.data[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: held.breaks.pop(0)] if held.breaks else body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "https" if certificate else "http"
    held.address = f"{scheme}://127.0.0.1:{server.server_address[1]}/{ARCHIVE}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def fetch(site: Site, folder: Path, told: list[tuple[int, int | None]] | None = None) -> Path:
    md5 = hashlib.md5(site.data).hexdigest()

    def tell(done: int, total: int | None) -> None:
        if told is not None:
            told.append((done, total))

    return download(folder / ARCHIVE, site.address, md5, tell, wait=0.01)


def test_a_download_tells_how_far_it_is(site: Site, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = fetch(site, tmp_path / "new folder", told)
    assert path.read_bytes() == site.data
    assert told[0] == (0, len(site.data))
    assert told[-1] == (len(site.data), len(site.data))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_download_is_vouched_for_where_python_has_no_certificates(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certifi, "where", lambda: str(certificate))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running_site(certificate) as site:
        assert fetch(site, tmp_path).read_bytes() == site.data


def test_a_download_that_breaks_off_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    site.breaks = [1_000_000, 500_000]
    assert fetch(site, tmp_path).read_bytes() == site.data
    assert site.asked == ["", "bytes=1000000-", "bytes=1500000-"]


def test_what_an_earlier_run_left_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    site.breaks = [200_000] * 5
    with pytest.raises(LookalikeError, match="What has come is kept"):
        fetch(site, tmp_path)
    assert not (tmp_path / ARCHIVE).exists()
    site.asked.clear()
    assert fetch(site, tmp_path).read_bytes() == site.data
    assert site.asked == ["bytes=1000000-"]


def test_a_server_that_cannot_resume_sends_it_from_the_start(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    site.breaks = [1_000_000]
    assert fetch(site, tmp_path).read_bytes() == site.data


@pytest.mark.parametrize("left", [b"something else", bytes(4_000_000)], ids=["short", "long"])
def test_a_part_of_another_file_is_thrown_away(site: Site, tmp_path: Path, left: bytes) -> None:
    (tmp_path / f"{ARCHIVE}.part").write_bytes(left)
    assert fetch(site, tmp_path).read_bytes() == site.data


def test_a_file_with_another_md5_is_refused_and_not_kept(site: Site, tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match="not the published archive"):
        download(tmp_path / ARCHIVE, site.address, "0" * 32, wait=0.01)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_what_is_there_already_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    fetch(site, tmp_path)
    fetch(site, tmp_path)
    assert len(site.asked) == 1


def test_an_address_that_is_gone_or_a_machine_offline_gets_a_sentence(
    site: Site, tmp_path: Path
) -> None:
    site.status = 404
    with pytest.raises(LookalikeError, match="answers 404"):
        fetch(site, tmp_path)
    with pytest.raises(LookalikeError, match="cannot be reached"):
        download(tmp_path / ARCHIVE, "http://127.0.0.1:9/", wait=0.01)
