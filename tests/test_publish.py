"""`python -m retrieval publish`: the folder that it uploads runs by itself, and holds no secret."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from PIL import Image

from retrieval import settings
from retrieval.__main__ import main
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.space import PUBLISHED, build_space, check_limits
from tests.browser import running_app
from tests.fake_hub import TOKEN, running_hub
from tests.made import by_hue, pattern
from tests.test_space import SPACE, files_in, front_matter

GPS = 0x8825
PLACE = {1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)}
OFFLINE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
    "NO_PROXY": "127.0.0.1,localhost",
}
CAMERA = "a camera of ours"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos as a telephone takes them, with the place in the file, and one that is broken."""
    folder = tmp_path / "Holiday"
    for number, kind in enumerate(("checks", "clouds", "dots", "stripes")):
        exif = Image.Exif()
        exif[0x010F] = CAMERA
        exif.get_ifd(GPS).update(PLACE)
        (folder / "sea").mkdir(parents=True, exist_ok=True)
        pattern(kind, number).save(folder / "sea" / f"{kind}.jpg", exif=exif)
    (folder / "secret broken.jpg").write_bytes(b"no picture")
    return folder


def publish(*arguments: object) -> int:
    return main(["publish", *map(str, arguments)])


def built(printed: str) -> Path:
    """Return the folder that a dry run has left."""
    return Path(printed.rpartition("The folder: ")[2].strip())


def search_space(folder: Path, home: Path, query: Path) -> list[dict[str, object]]:
    """Start the app of a folder as on a Space, without a network, and search in it."""
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(home))
    environment = {**SPACE, **OFFLINE, **places, "PYTHONDONTWRITEBYTECODE": "1"}
    with running_app(home, program=folder / "app.py", environment=environment) as address:
        patience = {"timeout": 60}
        client = Client(address, verbose=False, download_files=False, httpx_kwargs=patience)
        found = client.predict(handle_file(query), 4, "", api_name="/search")
        client.close()
    assert isinstance(found, list)
    return found


def test_what_ships_with_the_app_is_put_together_and_its_folder_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish("ada/lookalike", "--dry-run") == 0
    printed = capsys.readouterr().out
    folder = built(printed)
    try:
        assert folder.parent == settings.HOME  # a temporary one not every program may find
        assert "the pictures that ship with the app" in printed
        assert "Everybody" not in printed
        names = files_in(folder)
        assert {name.partition("/")[0] for name in names} == {
            *("app.py", "requirements.txt", "README.md", ".gitattributes", "retrieval", "assets")
        }
        assert {Path(name).suffix for name in names if name.startswith("retrieval/")} == {
            *(".py", ".css", ".js")
        }
        assert not [name for name in names if "scenes" in name or name == PUBLISHED.as_posix()]
        card = front_matter(folder / "README.md")
        assert card["license"] == "mit"
        told = (folder / "README.md").read_text(encoding="utf-8")
        assert "Permission is hereby granted, free of charge" in told
        assert "[CC0](assets/starter/LICENSE)" in told
        assert card["thumbnail"] == (
            "https://huggingface.co/spaces/ada/lookalike/resolve/main/assets/screenshot.jpg"
        )
        by_hue(120).save(tmp_path / "query.png")
        assert len(search_space(folder, tmp_path / "home", tmp_path / "query.png")) == 4
        assert files_in(folder) == names
    finally:
        shutil.rmtree(folder)


def test_a_folder_of_photos_is_indexed_published_small_and_without_their_places(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish("ada/holiday", "--pictures", photos, "--dry-run") == 0
    printed, progress = capsys.readouterr()
    folder = built(printed)
    try:
        assert "4 pictures of Holiday, in small" in printed
        assert "Everybody on the internet will be able to see and download" in printed
        assert "Holiday:" in progress
        assert "secret broken.jpg: This is not a picture" in progress
        card = front_matter(folder / "README.md")
        assert (card["title"], "license" in card) == ("Holiday", False)
        assert len(str(card["short_description"])) <= 60
        told = (folder / "README.md").read_text(encoding="utf-8")
        assert "Permission is hereby granted, free of charge" in told
        assert "CC0" not in told
        assert not (folder / "assets" / "starter").exists()
        with zipfile.ZipFile(folder / PUBLISHED) as bundle:
            everything = {name: bundle.read(name) for name in bundle.namelist()}
        thumbnails = [data for name, data in everything.items() if name.endswith(".jpg")]
        assert len(thumbnails) == 4
        for data in thumbnails:
            with Image.open(io.BytesIO(data)) as image:
                assert not image.getexif()
        together = b"".join(everything.values())
        for word in (CAMERA, "secret broken", str(photos.parent), "photos/"):
            assert word.encode() not in together
        found = search_space(folder, tmp_path / "home", photos / "sea" / "dots.jpg")
        assert found[0]["picture"] == "sea/dots.jpg"
        assert found[0]["label"] == "sea"
        assert len(found) == 4
    finally:
        shutil.rmtree(folder)


def test_publishing_uploads_the_collection_that_is_named(
    photos: Path, tmp_path: Path, collections: Path
) -> None:
    """The whole command in a process of its own, as somebody would run it."""
    assert main(["index", str(photos), "--cpu"]) == 0
    home = tmp_path / "home"
    shutil.copytree(collections, home / "collections")
    with running_hub() as hub:
        environment = {
            **os.environ,
            "LOOKALIKE_HOME": str(home),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": hub.address,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(tmp_path)),
        }
        before = set(tmp_path.iterdir())
        command = [sys.executable, "-m", "retrieval", "publish", "ada/holiday"]
        run = subprocess.run(
            [*command, "--collection", "Holiday"],
            cwd=settings.PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert (run.returncode, hub.spaces) == (1, {})
        assert "nobody is here to agree" in run.stderr
        run = subprocess.run(
            [*command, "--collection", "Holiday", "--private"],
            cwd=settings.PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
    space = hub.spaces["ada/holiday"]
    assert space.private
    assert "Only who may open ada/holiday can see" in run.stdout
    assert f"{hub.address}/spaces/ada/holiday is there" in run.stdout
    assert zipfile.is_zipfile(io.BytesIO(space.files[PUBLISHED.as_posix()]))
    assert {Path(name).suffix for name in space.large} == {".onnx"}
    assert set(tmp_path.iterdir()) - before == set()


class Terminal(io.StringIO):
    """A keyboard at which somebody has typed this."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "uploaded"), [("y\n", True), ("n\n", False), ("", False)])
def test_pictures_of_ones_own_become_public_only_when_agreed_to(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    uploaded: bool,
) -> None:
    (tmp_path / "made").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "made"))
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running_hub() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
        assert publish("ada/holiday", "--pictures", photos) == (0 if uploaded else 1)
    printed, complaints = capsys.readouterr()
    assert printed.index("Everybody on the internet") < printed.index("Upload them? [y/N]")
    assert ("Nothing was uploaded." in complaints) is not uploaded
    assert [space.private for space in hub.spaces.values()] == [False] * uploaded
    assert list((tmp_path / "made").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["photos", "--dry-run"], '"photos" is no name for a Space'),
        (["ada/x", "--dry-run", "--collection", "gone"], "There is no collection called gone"),
        (["ada/x", "--dry-run", "--pictures", "{tmp}/gone"], "There is no folder"),
        (["ada/x", "--dry-run", "--pictures", "{tmp}/empty"], "has no pictures that can be read"),
    ],
    ids=["name", "collection", "folder", "empty"],
)
def test_what_cannot_be_published_is_a_sentence_and_leaves_nothing_behind(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "made").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "made"))
    assert publish(*(argument.format(tmp=tmp_path) for argument in arguments)) == 1
    assert sentence in capsys.readouterr().err
    assert list((tmp_path / "made").iterdir()) == []


def test_whoever_is_not_logged_in_is_told_how_before_anything_is_built(tmp_path: Path) -> None:
    unwanted = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH")
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    run = subprocess.run(
        [sys.executable, "-m", "retrieval", "publish", "ada/x"],
        cwd=settings.PROJECT,
        env={**environment, **OFFLINE, "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("You are not logged in at Hugging Face.")
    assert "hf auth login" in run.stderr
    assert run.stdout == ""


def test_a_collection_of_another_model_is_refused(
    wheel: Path, embedder: Embedder, collections: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Collection.create(collections / "wheel", "wheel", wheel, embedder).close()
    assert publish("ada/x", "--dry-run", "--collection", "wheel") == 1
    assert "wheel was made with another model" in capsys.readouterr().err


def test_a_full_disk_is_a_sentence(
    indexed: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "app.py")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(LookalikeError, match=r"The disk is full\. app\.py could not be written"):
        build_space(tmp_path / "space", settings.PROJECT, "ada/x", [], indexed)


def test_what_the_hub_would_refuse_is_refused_here(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(12):
        (tmp_path / "many" / str(number)).write_bytes(b"x" * 100)
    assert check_limits(tmp_path) == 0
    with pytest.raises(LookalikeError, match=r"folder many would hold 12 entries"):
        check_limits(tmp_path, most=12)
    with pytest.raises(LookalikeError, match=r"Publish a collection of fewer pictures"):
        check_limits(tmp_path, most_bytes=1_199)
    (tmp_path / "large").write_bytes(b"x" * 10_000_001)
    assert check_limits(tmp_path) == 1


def test_a_name_in_any_language_and_with_quotes_stays_whole_on_the_card(
    indexed: Collection, tmp_path: Path
) -> None:
    name = 'Été: "la mer" # 日本'
    indexed.rename(name)
    build_space(tmp_path / "space", settings.PROJECT, "ada/x", [], indexed)
    assert front_matter(tmp_path / "space" / "README.md")["title"] == name
    manifest = json.loads(zipfile.ZipFile(tmp_path / "space" / PUBLISHED).read("manifest.json"))
    assert manifest["name"] == name


def test_a_space_is_published_again_from_its_clone_and_tells_where_the_network_comes_from(
    indexed: Collection, tmp_path: Path
) -> None:
    project, cards = settings.PROJECT, []
    for name in ("one", "two"):
        build_space(tmp_path / name, project, f"ada/{name}", [], indexed)
        project = tmp_path / name
        cards.append((project / "README.md").read_text(encoding="utf-8"))
    assert "IN THE SOFTWARE.\n\nThe network was\ntrained for this project" in cards[0]
    assert "CC0" not in cards[0]
    assert cards[1] == cards[0].replace("ada/one", "ada/two")
