"""The addresses of a collection's pictures: who gets which, and in what size."""

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from retrieval import settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.indexing import index_folder
from retrieval.pages import picture_routes
from retrieval.pages.access import Access
from retrieval.pages.asgi import Message
from retrieval.pages.markup import thumbnail_address
from retrieval.pages.picture_routes import original_route, thumbnail_route
from retrieval.workspace import Workspace
from tests.made import by_hue, spoil


def serve_wide(workspace: Workspace, home: Path, name: str, called: str = "collection") -> str:
    """Serve a collection of one picture, 12 by 8 pixels; return the address of its file."""
    (home / "wide").mkdir(parents=True)
    more = {"save_all": True, "append_images": [by_hue(60, (12, 8))]} if "MPO" in name else {}
    by_hue(30, (12, 8)).save(home / "wide" / name, **more)
    embedder = workspace.embedder
    collection = Collection.create(home / called, "wide", home / "wide", embedder)
    changes = find_changes(collection, home / "wide")
    assert list(index_folder(collection, home / "wide", embedder, changes))
    key = workspace.shelf.serve(collection)
    (picture,) = collection.listing.pictures()
    return f"/originals/{key}/{picture.id}"


def app_of(workspace: Workspace) -> Starlette:
    shelf, access = workspace.shelf, Access(None, public=False)
    return Starlette(routes=[original_route(shelf, access), thumbnail_route(shelf)])


def sent_side(app: Starlette, address: str) -> int:
    """Return the long side of the picture that the owner gets."""
    owner = TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 5000))
    with Image.open(io.BytesIO(owner.get(address).content)) as sent:
        return max(sent.size)


@pytest.mark.parametrize(
    "bound", [("MAX_UPLOAD_PIXELS", 11 * 8), ("MAX_UPLOAD_BYTES", 20)], ids=["pixels", "bytes"]
)
@pytest.mark.parametrize(("asked", "side"), [("", 12), ("?part=1", 6)], ids=["whole", "for a part"])
def test_what_is_too_large_to_search_with_comes_smaller_where_a_part_of_it_is_wanted(
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bound: tuple[str, int],
    asked: str,
    side: int,
) -> None:
    address = serve_wide(workspace, tmp_path, "a.png")
    monkeypatch.setattr(settings, *bound)
    monkeypatch.setattr(picture_routes, "PART_SIDE", 6)
    assert sent_side(app_of(workspace), address + asked) == side


@pytest.mark.parametrize(("asked", "side"), [("", 12), ("?part=1", 6)], ids=["whole", "looked at"])
def test_what_browsers_cannot_show_comes_smaller_where_it_is_only_looked_at(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, side: int
) -> None:
    address = serve_wide(workspace, tmp_path, "a.tif")
    monkeypatch.setattr(picture_routes, "PART_SIDE", 6)
    assert sent_side(app_of(workspace), address + asked) == side


@pytest.mark.parametrize("name", ["a.png", "a.tif"], ids=["as it is", "as a JPEG"])
def test_a_picture_that_cannot_be_read_is_not_there(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    address = serve_wide(workspace, tmp_path, name)
    spoil(tmp_path / "wide" / name, monkeypatch)
    owner = TestClient(app_of(workspace), "http://127.0.0.1", client=("127.0.0.1", 5000))
    assert owner.get(address).status_code == 404


def test_a_photo_of_two_lenses_is_read_and_shown_as_the_jpeg_that_it_is(
    workspace: Workspace, tmp_path: Path
) -> None:
    address = serve_wide(workspace, tmp_path, "DSCF0001.MPO")
    with Image.open(tmp_path / "wide" / "DSCF0001.MPO") as photo:
        assert photo.format == "MPO"
    owner = TestClient(app_of(workspace), base_url="http://127.0.0.1", client=("127.0.0.1", 5000))
    assert owner.get(address).headers["content-type"] == "image/jpeg"


def test_what_nobody_waits_for_any_more_is_not_decoded(
    workspace: Workspace, tmp_path: Path
) -> None:
    scope = {"type": "http", "method": "GET", "path": serve_wide(workspace, tmp_path, "a.tif")}
    scope |= {"client": ("127.0.0.1", 1), "headers": [(b"host", b"localhost")], "query_string": b""}
    sent: list[Message] = []

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app_of(workspace)({**scope, "scheme": "http"}, gone, send))
    assert sent[0]["status"] == 404


def test_an_address_of_a_small_picture_can_stand_in_a_style_sheet(
    workspace: Workspace, tmp_path: Path
) -> None:
    for name in ("holidays (copy)", "Ann's", "100 % #1"):
        serve_wide(workspace, tmp_path / name, "a.png", name)
        (picture,) = workspace.shelf.searcher(name).collection.listing.pictures()
        address = thumbnail_address(name, picture)
        assert not set(address) & set(" ()'#")
        assert TestClient(app_of(workspace)).get(f"/{address}").status_code == 200
