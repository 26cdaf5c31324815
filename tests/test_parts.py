"""Parts of a query: what is kept of an upload bears cropping, whatever its shape."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval import settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.images import open_picture
from retrieval.indexing import index_folder
from retrieval.pages.parts import PartMaker
from retrieval.preprocessing import preprocess
from retrieval.workspace import Workspace
from tests.made import by_hue, encode, noise, spoil


@pytest.fixture
def parts(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PartMaker]:
    monkeypatch.setattr(settings, "COLLECTIONS", tmp_path)
    workspace = Workspace(tiny_model, None, gpu=False)
    yield PartMaker(workspace)
    workspace.stop()


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        ((1600, 1200), (1280, 960)),
        ((3000, 1000), (1920, 640)),
        ((8000, 1000), (4000, 500)),
        ((500, 4000), (500, 4000)),
        ((9000, 2), (4000, 1)),
        ((100, 50), (100, 50)),
    ],
    ids=["4:3", "wide", "panorama", "tall", "strip", "small"],
)
def test_enough_is_kept_of_the_short_side_and_not_too_much_of_the_long_one(
    parts: PartMaker, size: tuple[int, int], kept: tuple[int, int]
) -> None:
    part, _ = parts.of_upload(encode(by_hue(10, size), "JPEG"), "never")
    assert open_picture(part.jpeg).image.size == kept


def test_a_part_of_a_panorama_is_as_sharp_as_its_short_side(parts: PartMaker) -> None:
    whole, _ = parts.of_upload(encode(noise((8000, 1000)), "JPEG"), "never")
    part = parts.cropped(whole, 0, (0, 0, 0.1, 1), "never")
    assert open_picture(parts.jpeg(part, "")).image.size == (400, 500)
    assert parts.cropped(part, 0, None, "never").crop is None


@pytest.mark.parametrize(
    ("quarters", "size", "red"),
    [(1, (100, 200), (50, 20)), (2, (200, 100), (180, 50)), (3, (100, 200), (50, 180))],
)
def test_an_upload_is_turned_clockwise_and_then_a_part_of_it_taken(
    parts: PartMaker, quarters: int, size: tuple[int, int], red: tuple[int, int]
) -> None:
    two = Image.new("RGB", (200, 100), "blue")
    two.paste("red", (0, 0, 100, 100))
    whole, _ = parts.of_upload(encode(two, "PNG"), "never")
    turned = parts.cropped(replace(whole, wanted=False), quarters, None, "never")
    shown = open_picture(parts.jpeg(turned, "")).image
    assert shown.size == size
    assert shown.getpixel(red)[0] > 200
    assert shown.getpixel((size[0] - red[0], size[1] - red[1]))[2] > 200
    assert (turned.quarters, turned.wanted, turned.token) == (quarters, False, whole.token)
    upright, _ = parts.of_upload(encode(shown, "PNG"), "never")
    assert np.allclose(turned.aspects.subject, upright.aspects.subject, atol=0.02)
    # The top, or the left, of what is seen.
    box = (0.0, 0.0, 1.0, 0.5) if quarters % 2 else (0.0, 0.0, 0.5, 1.0)
    part = open_picture(parts.jpeg(parts.cropped(turned, quarters, box, "never"), "")).image
    assert part.size == (100, 100)
    assert (part.getpixel((50, 50))[0] > 200) == (quarters == 1)


def test_however_an_upload_is_turned_it_is_the_same_one_and_loses_nothing(
    parts: PartMaker,
) -> None:
    first, _ = parts.of_upload(encode(noise((1600, 1200)), "PNG"), "auto")
    part = first
    for quarters in (1, 2, 3, 0, 3, 0):
        part = parts.cropped(part, quarters, None, "auto")
        assert (part.token, part.jpeg) == (first.token, first.jpeg)
        assert part.bytes < 1.2 * first.bytes
    assert part.aspects is first.aspects
    assert parts.preview(part) == parts.preview(first)


def test_what_is_kept_of_an_upload_is_bounded_whatever_it_shows(
    parts: PartMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(noise((1500, 700), coarse=400), "PNG")
    large, _ = parts.of_upload(data, "never")
    monkeypatch.setattr("retrieval.pages.parts.MOST_KEPT", len(large.jpeg) - 1)
    small, _ = parts.of_upload(data, "never")
    assert len(small.jpeg) < len(large.jpeg)


def test_all_of_an_upload_again_is_what_it_was_at_first(parts: PartMaker) -> None:
    data = encode(noise((1600, 1200)), "PNG")  # what is kept of it is another picture
    first, _ = parts.of_upload(data, "auto")
    part = parts.cropped(first, 0, (0, 0, 0.5, 1), "auto")
    assert not np.array_equal(part.aspects.subject, first.aspects.subject)
    for again in (parts.cropped(part, 0, None, "auto"), parts.cropped(first, 0, None, "auto")):
        assert np.array_equal(again.aspects.subject, first.aspects.subject)
        assert (again.crop, again.treated, again.token) == (None, first.treated, first.token)
    cleaned = parts.cropped(part, 0, None, "always")
    assert not np.array_equal(cleaned.aspects.subject, first.aspects.subject)
    # What stands in both is counted once.
    assert parts.cropped(part, 0, None, "auto").bytes == first.bytes < part.bytes


def test_of_a_picture_that_cannot_be_read_the_small_one_is_looked_at(
    parts: PartMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = parts.workspace.embedder
    (tmp_path / "a").mkdir()
    noise((900, 600)).save(tmp_path / "a" / "photo.png")
    collection = Collection.create(tmp_path / "c", "c", tmp_path / "a", embedder)
    list(
        index_folder(collection, tmp_path / "a", embedder, find_changes(collection, tmp_path / "a"))
    )
    (picture,) = collection.listing.pictures()
    placed = parts.workspace.shelf.serve(collection), picture.id
    spoil(tmp_path / "a" / "photo.png", monkeypatch)
    how = embedder.card.preprocessing
    small = open_picture(parts.workspace.shelf.searcher(placed[0]).thumbnail(picture)).image
    assert np.array_equal(parts.pixels_of(placed, ""), preprocess(small, how))
