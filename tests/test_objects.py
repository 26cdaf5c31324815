"""Pictures in object storage, against a real S3 server on this machine (moto)."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieval import settings
from retrieval.__main__ import main
from retrieval.checking import check_collection
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError, PictureError
from retrieval.library import collection_of
from retrieval.objects import Bucket
from tests.made import by_hue, encode, need, noise, save_hues
from tests.servers import Server, free_port

need("moto", "pip install -r tests/requirements.txt")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 server with a bucket of ten pictures; the plain client of the bucket is yielded."""
    boto3 = need("boto3", "pip install -r tests/requirements.txt")
    port = free_port()
    moto = sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port
    server = Server(*moto, port=port)
    server.start()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    need("s3fs", "pip install -r tests/requirements.txt").S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="photos")
    for i in range(10):
        key = f"trip/{'ab'[i % 2]}/{i}.png"
        client.put_object(Bucket="photos", Key=key, Body=encode(noise((80, 60), i, 3), "PNG"))
    try:
        yield client
    finally:
        client.close()
        server.kill()


def keys(client: Any) -> set[str]:
    listed = client.list_objects_v2(Bucket="photos").get("Contents", [])
    return {entry["Key"] for entry in listed}


def test_a_bucket_is_indexed_searched_and_followed(
    bucket: Any, tiny_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", str(tiny_files), "--cpu"]
    url = "s3://photos/trip"
    put = bucket.put_object
    put(Bucket="photos", Key="trip/broken.jpg", Body=b"words")
    put(Bucket="photos", Key="trip/a/@eaDir/0.png", Body=encode(by_hue(10), "PNG"))
    put(Bucket="photos", Key="trip/a/labels.csv", Body=b"filename,label\n0.png,a\n0.png,special\n")
    assert main(["index", url, *options]) == 0
    out, err = capsys.readouterr()
    assert "trip: 10 pictures ready, 1 could not be read" in out
    assert "a/labels.csv: 1 picture has several rows with different labels" in err
    with Collection(settings.COLLECTIONS / "trip") as collection:
        pictures = {p.path: p for p in collection.listing.pictures()}
        assert pictures["a/0.png"].label == "special"
        assert pictures["b/1.png"].label == "b"
        # Thumbnails lie in the bucket, and none here.
        with collection.store.thumbnails() as thumbnails:
            assert thumbnails.execute("SELECT * FROM thumbnails").fetchall() == []
        thumbnails = {key for key in keys(bucket) if "/.lookalike/thumbnails/" in key}
        assert len(thumbnails) == 10
        for picture in pictures.values():
            assert (collection.thumbnail(picture.sha256) or b"")[:2] == b"\xff\xd8"
        assert collection.thumbnail("0" * 64) is None

        assert [f.sentence for f in check_collection(collection.folder, repair=True)] == []
        query = tmp_path / "query.png"
        query.write_bytes(bucket.get_object(Bucket="photos", Key="trip/a/4.png")["Body"].read())
        assert main(["search", str(query), "-k", "1", *options]) == 0
        assert capsys.readouterr().out.endswith("  a/4.png\n")

        bucket.delete_object(Bucket="photos", Key="trip/a/4.png")
        put(Bucket="photos", Key="trip/c/new.png", Body=encode(by_hue(30), "PNG"))
        put(Bucket="photos", Key="trip/b/1.png", Body=encode(by_hue(90, (33, 22)), "PNG"))
        assert main(["index", url, *options]) == 0
        out = capsys.readouterr().out
        assert "10 pictures ready, 1 could not be read; 9 were known, 1 are gone" in out
        assert collection.listing.pictures([pictures["b/1.png"].id])[0].width == 33

        table = next(key for key in keys(bucket) if key.endswith(".csv"))
        put(Bucket="photos", Key=table, Body=b"filename,label\n0.png,other\n")
        assert main(["index", url, *options]) == 0
        assert collection.listing.pictures([pictures["a/0.png"].id])[0].label == "other"

        # Another model's vectors are not mixed in.
        put(Bucket="photos", Key="trip/c/more.png", Body=encode(by_hue(40), "PNG"))
        collection.store.note({"fingerprint": "0" * 64})
        assert main(["index", url, *options]) == 1
        assert "made with" in capsys.readouterr().err
        assert collection.listing.count() == (10, 1)


def test_what_cannot_be_listed_or_read_is_a_sentence(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LookalikeError, match="s3://nowhere cannot be listed"):
        Bucket("s3://nowhere").list()
    with pytest.raises(LookalikeError, match=r"Install what reads it with: .*-m pip install -r"):
        Bucket("nothing://x")
    for address in ("http://example.org/photos", "s3://"):
        with pytest.raises(LookalikeError, match="is no place in object storage, such as s3:"):
            Bucket(address)
    with pytest.raises(PictureError, match="not there any more"):
        Bucket("s3://photos").read("none.png", 10)
    with pytest.raises(PictureError, match="Save a smaller copy"):
        Bucket("s3://photos").read("trip/a/0.png", 10)


def test_an_empty_file_is_empty_and_not_kept_back_by_the_storage(
    bucket: Any, tiny_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a/empty.png", "a/labels.csv"):
        bucket.put_object(Bucket="photos", Key=f"trip/{name}", Body=b"")
    command = ["index", "s3://photos/trip", "--model", str(tiny_files), "--cpu"]
    assert main(command) == 0
    assert "table (CSV)" not in capsys.readouterr().err
    with Collection(settings.COLLECTIONS / "trip") as collection:
        [(path, problem)] = collection.listing.problems()
        assert (path, problem[:18]) == ("a/empty.png", "The file is empty.")
    assert main(command) == 0
    assert "11 were known" in capsys.readouterr().out  # not tried at every run


def test_a_table_is_read_as_in_a_folder_and_takes_nothing_away_while_it_is_not_given(
    tiny_files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    local = need("fsspec", "pip install -r tests/requirements.txt").get_filesystem_class("file")
    photos = save_hues(tmp_path / "shoot", {"a/red.png": 0, "b/blue.png": 240})
    (photos / "a" / "labels.csv").write_bytes("filename;label\nred.png;größe\n".encode("cp1252"))
    (photos / "b" / "labels.csv").write_text("filename,label\nblue.png,cold\n", encoding="utf-8")

    def labels() -> list[str]:
        assert main(["index", photos.as_uri(), "--model", str(tiny_files), "--cpu"]) == 0
        with Collection(settings.COLLECTIONS / "shoot") as collection:
            return [picture.label for picture in collection.listing.pictures()]

    assert labels() == ["größe", "cold"]
    give = local.cat_file

    def give_all_but(storage: Any, path: str, *more: Any, **named: Any) -> bytes:
        if path.endswith("a/labels.csv"):
            raise TimeoutError("the storage does not answer")
        data: bytes = give(storage, path, *more, **named)
        return data

    (photos / "b" / "labels.csv").write_text("filename,label\nblue.png,icy\n", encoding="utf-8")
    monkeypatch.setattr(local, "cat_file", give_all_but)
    capsys.readouterr()
    assert labels() == ["größe", "icy"]
    assert "The table (CSV) a/labels.csv: It cannot be read" in capsys.readouterr().err
    monkeypatch.undo()
    (photos / "a" / "labels.csv").unlink()
    assert labels() == ["a", "icy"]


def test_the_last_thumbnails_are_held_as_far_as_their_bytes_allow(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = need("fsspec", "pip install -r tests/requirements.txt").get_filesystem_class("file")
    photos = save_hues(tmp_path / "shoot", {"red.png": 0, "blue.png": 240})
    assert main(["index", photos.as_uri(), "--model", str(tiny_files), "--cpu"]) == 0
    give, given = local.cat_file, []

    def count(storage: Any, path: str, *more: Any, **named: Any) -> bytes:
        data: bytes = give(storage, path, *more, **named)
        given.append(len(data))
        return data

    monkeypatch.setattr(local, "cat_file", count)
    with Collection(settings.COLLECTIONS / "shoot") as collection:
        red, blue = (picture.sha256 for picture in collection.listing.pictures())
        assert collection.thumbnail(red)
        monkeypatch.setattr("retrieval.objects.THUMBNAILS_HELD", given[0] * 3 // 2)
        assert all(map(collection.thumbnail, (red, blue, blue, red)))
        assert len(given) == 3  # of the two there is room for one
        monkeypatch.setattr("retrieval.objects.THUMBNAILS_HELD", 0)
        assert all(map(collection.thumbnail, (blue, red)))


def test_a_kill_while_a_collection_of_a_url_is_made_leaves_one_to_go_on_with(
    tmp_path: Path, collections: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("fsspec", "pip install -r tests/requirements.txt")
    url = save_hues(tmp_path / "shoot", {"red.png": 0}).as_uri()
    create = Collection.create

    def kill_after(*arguments: Any) -> None:
        create(*arguments).close()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Collection, "create", kill_after)
        with pytest.raises(KeyboardInterrupt):
            collection_of(collections, url, None, embedder)
    with collection_of(collections, url, None, embedder) as collection:
        assert collection.url == url


def test_storage_that_lists_nothing_empties_no_collection_and_makes_none(
    tiny_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("fsspec", "pip install -r tests/requirements.txt")
    disk = tmp_path / "nas"
    photos = save_hues(disk / "shoot", {"red.png": 0, "blue.png": 240})
    options = ["--model", str(tiny_files), "--cpu"]

    def index() -> int:
        return main(["index", photos.as_uri(), *options])

    assert index() == 0
    disk.rename(tmp_path / "not mounted")
    assert index() == 1
    assert "There is no picture in file://" in (said := capsys.readouterr().err)
    assert "there were 2. If they are on another disk, connect it." in said
    with Collection(settings.COLLECTIONS / "shoot") as collection:
        assert collection.listing.count() == (2, 0)
    (tmp_path / "not mounted").rename(disk)
    assert index() == 0
    assert "2 were known, 0 are gone" in capsys.readouterr().out
    assert main(["index", f"{photos.as_uri()}s", *options]) == 1
    assert "shoots. Check the address" in capsys.readouterr().err
    assert [place.name for place in settings.COLLECTIONS.iterdir()] == ["shoot"]
