"""The addresses of a collection's pictures: who gets which, and in what size."""

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
from retrieval.pages.picture_routes import original_route
from retrieval.workspace import Workspace
from tests.made import by_hue


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
    (tmp_path / "wide").mkdir()
    by_hue(30, (12, 8)).save(tmp_path / "wide" / "a.png")
    embedder = workspace.embedder
    collection = Collection.create(tmp_path / "collection", "wide", tmp_path / "wide", embedder)
    changes = find_changes(collection, tmp_path / "wide")
    assert list(index_folder(collection, tmp_path / "wide", embedder, changes))
    key = workspace.serve(collection)
    monkeypatch.setattr(settings, *bound)
    monkeypatch.setattr(picture_routes, "PART_SIDE", 6)
    app = Starlette(routes=[original_route(workspace, Access(None, public=False))])
    owner = TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 5000))
    (picture,) = collection.pictures()
    answer = owner.get(f"/originals/{key}/{picture.id}{asked}")
    with Image.open(io.BytesIO(answer.content)) as sent:
        assert max(sent.size) == side
