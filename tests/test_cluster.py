"""Extraction on a Ray cluster of two nodes on this machine, one of which dies while it works."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval import settings
from retrieval.__main__ import main
from retrieval.changes import find_changes
from retrieval.cluster import Share, on_ray, share_out
from retrieval.collection import Collection
from retrieval.embedding import open_embedder
from retrieval.errors import LookalikeError
from retrieval.extraction import Plan, Source, carry_out, plan_folder
from retrieval.indexing import Bounds, index_folder
from retrieval.records import Entry
from tests.made import need, noise

ray = need("ray", "pip install -r tests/requirements.txt")
MEMORY = 80 * 2**20  # of each node's object store


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one processor each; the second may be killed, and is put back."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": MEMORY}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """120 pictures in two folders, a copy, and a file that is none."""
    for i in range(120):
        path = tmp_path / "pictures" / f"{i % 2}" / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise((160, 120), i, coarse=3).save(path)
    (tmp_path / "pictures" / "copy.png").write_bytes(path.read_bytes())
    (tmp_path / "pictures" / "none.jpg").write_text("words")
    return tmp_path / "pictures"


def start(collection: Collection, photos: Path, model: Path, cluster: Any) -> tuple[Plan, Any]:
    pca = settings.pca_path(model)
    source = Source(str(photos), is_url=False)
    run = on_ray(cluster.address, model, pca, settings.texture_path(pca), source, Bounds())
    plan = plan_folder(find_changes(collection, photos), photos)
    return plan, carry_out(collection, plan, run)


def wait_for_free(expected: dict[str, float]) -> None:
    """Wait until this is what nobody uses of the cluster, which it learns of a little later."""
    until = time.monotonic() + 60
    free: dict[str, float] = {}
    while free != expected:
        assert time.monotonic() < until, free
        time.sleep(0.05)
        free = {name: ray.available_resources().get(name, 0) for name in expected}


def held(collection: Collection) -> dict[str, tuple[str, Any]]:
    """Return label and vector of each picture by its path."""
    vectors = collection.embeddings().vectors
    return {
        p.path: (p.label, v) for p, v in zip(collection.listing.pictures(), vectors, strict=True)
    }


@pytest.mark.parametrize(
    ("nodes", "gpu", "share"),
    [
        ([{"CPU": 4.0}, {"CPU": 2.0, "memory": 1e9}, {}], True, Share(6, 0, 1)),
        ([{"CPU": 16.0, "GPU": 2.0}], True, Share(2, 1, 8)),
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 64.0}], True, Share(1, 1, 8)),
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 6.0, "GPU": 2.0}], True, Share(3, 1, 3)),
        ([{"GPU": 1.0}], True, Share(1, 1, 0)),
        ([{"CPU": 16.0, "GPU": 2.0}], False, Share(16, 0, 1)),
    ],
    ids=["no GPU", "one node", "processors elsewhere", "unlike nodes", "no processor", "unwanted"],
)
def test_each_actor_gets_a_share_that_its_node_has(
    nodes: list[dict[str, float]], gpu: bool, share: Share
) -> None:
    assert share_out(nodes, gpu) == share


def test_a_node_that_dies_loses_and_doubles_nothing(
    cluster: Any, photos: Path, tiny_files: Path, tmp_path: Path
) -> None:
    pca = settings.pca_path(tiny_files)
    embedder = open_embedder(tiny_files, pca, False, settings.texture_path(pca))
    with (
        Collection.create(tmp_path / "here", "here", photos, embedder) as here,
        Collection.create(tmp_path / "there", "there", photos, embedder) as there,
    ):
        for _ in index_folder(here, photos, embedder, find_changes(here, photos)):
            pass
        plan, steps = start(there, photos, tiny_files, cluster)
        assert len(plan.to_read) == 122
        while next(steps).done < 20:
            pass
        steps.close()  # stopped, with others on their way
        before = there.listing.count()[0]
        assert 20 <= before < 121

        plan, steps = start(there, photos, tiny_files, cluster)
        assert len(plan.to_read) == 122 - sum(there.listing.count())  # only what is missing
        assert next(steps).done == 0
        next(steps)
        dying = cluster.worker_nodes
        cluster.remove_node(next(iter(dying)), allow_graceful=False)
        last = list(steps)[-1]
        assert last.done == last.total
        assert there.listing.count() == here.listing.count() == (121, 1)
        assert there.listing.problems()[0][0] == "none.jpg"
        mine, theirs = held(here), held(there)
        assert mine.keys() == theirs.keys()
        for path, (label, vector) in mine.items():
            assert theirs[path][0] == label
            assert theirs[path][1] == pytest.approx(vector, abs=1e-4)
        contents = there.store.rows("SELECT count(*), count(DISTINCT sha256) FROM contents")
        assert contents == [(120, 120)]
        assert np.all([there.thumbnail(p.sha256) for p in there.listing.pictures()])

        # A node that comes is put to work, and what it calls a GPU is used, whatever it is.
        cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=MEMORY)
        (photos / "0" / "000.png").unlink()
        noise((160, 120), 500, coarse=3).save(photos / "new.png")
        plan, steps = start(there, photos, tiny_files, cluster)
        assert [entry.path for entry in plan.to_read] == ["new.png"]
        assert next(steps).done == 0
        assert next(steps).ready == 1
        wait_for_free({"CPU": 1, "GPU": 0})  # of three processors and one GPU
        assert list(steps) == []
        assert there.listing.count() == (121, 1)


def test_the_command_extracts_on_a_cluster(
    cluster: Any, photos: Path, tiny_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["index", str(photos), "--ray", cluster.address, "--model", str(tiny_files), "--cpu"]
    assert main(command) == 0
    assert "pictures: 121 pictures ready, 1 could not be read" in capsys.readouterr().out
    assert main(command) == 0
    assert "122 were known" in capsys.readouterr().out


# One is missed by the constructor, the other before that, by the module that the actor is in.
@pytest.mark.parametrize("package", ["onnxruntime", "PIL"])
def test_a_node_without_our_packages_is_a_sentence(
    cluster: Any, tiny_files: Path, tmp_path: Path, package: str
) -> None:
    # What workers find in the place of a package that nobody installed.
    lacking = f"raise ModuleNotFoundError(\"No module named '{package}'\")"
    (tmp_path / f"{package}.py").write_text(lacking)
    ray.shutdown()
    bare = {"env_vars": {"PYTHONPATH": str(tmp_path)}}
    ray.init(cluster.address, runtime_env=bare, log_to_driver=False, logging_level="ERROR")
    source = Source(str(tmp_path), is_url=False)
    run = on_ray(cluster.address, tiny_files, None, None, source, Bounds())
    with pytest.raises(LookalikeError, match=f"start: .*'{package}'. Install the packages"):
        next(run([[Entry("a.png", 1, 1, "", None)]]))
    ray.shutdown()


def test_a_cluster_that_is_not_there_is_a_sentence(photos: Path, tiny_files: Path) -> None:
    ray.shutdown()
    with pytest.raises(LookalikeError, match=r"127\.0\.0\.1:9 does not answer"):
        on_ray("127.0.0.1:9", tiny_files, None, None, Source(str(photos), False), Bounds())


def test_without_the_package_the_command_that_installs_it_is_given(
    photos: Path, tiny_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LookalikeError, match=r"-m pip install -r retrieval/req"):
        on_ray("127.0.0.1:9", tiny_files, None, None, Source(str(photos), False), Bounds())
