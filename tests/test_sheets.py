import csv
import io
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from retrieval import fonts
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.packing import Packed, save_csv, save_zip
from retrieval.records import PictureRecord
from retrieval.search import Match
from retrieval.sheets import (
    CELL_WIDTH,
    HEADER,
    MARGIN,
    MAX_ON_ONE_PICTURE,
    ROW,
    save_contact_sheet,
)
from tests.made import by_hue, encode, link, noise, spoil

NAMES = {
    "chinese": "海边的照片.jpg",
    "arabic": "صورة جميلة.jpg",
    "hindi": "तस्वीर.png",
    "emoji": "😀👨‍👩‍👧.png",
    "line break": "a\nb\tc.png",
    "half a character": "x\udcff.png",
    "nothing": "",
    "very long": "holiday " * 40 + ".png",
}


def matches_of(collection: Collection, key: str = "") -> list[Match]:
    """All pictures of a collection, each a little less similar than the one before."""
    return [
        Match(picture, 0.9 - i / 10, key) for i, picture in enumerate(collection.listing.pictures())
    ]


def match_named(path: str, similarity: float = 0.5) -> Match:
    return Match(PictureRecord(1, path, "", 1, 40, 30, None, "0" * 64), similarity)


class Thumbnails:
    """A collection of one thumbnail, whose originals lie in `root` or nowhere."""

    def __init__(self, root: Path | None = None, jpeg: bytes | None = None) -> None:
        self.root = root
        self.jpeg = jpeg

    def thumbnail(self, sha256: str) -> bytes | None:
        return self.jpeg


def of(root: Path | None = None, jpeg: bytes | None = None) -> dict[str, Any]:
    return {"": Thumbnails(root, jpeg)}


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"))))


def test_a_table_has_a_row_for_each_result_in_order(indexed: Collection, tmp_path: Path) -> None:
    save_csv(matches_of(indexed), tmp_path / "results.csv")
    rows = read_csv(tmp_path / "results.csv")
    assert len(rows) == 6
    assert rows[0] == {
        "place": "1",
        "similarity": "0.900000",
        "path": "cold/azure.png",
        "label": "cold",
        "width": "40",
        "height": "30",
        "taken": "",
        "copy of": "",
    }
    assert [row["place"] for row in rows] == ["1", "2", "3", "4", "5", "6"]


def test_a_table_says_to_excel_that_it_is_utf_8(tmp_path: Path) -> None:
    save_csv([match_named(NAMES["chinese"])], tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_bytes().startswith(b"\xef\xbb\xbfplace,")
    assert read_csv(tmp_path / "results.csv")[0]["path"] == NAMES["chinese"]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff20"])
def test_a_name_that_a_spreadsheet_would_run_is_made_text(first: str, tmp_path: Path) -> None:
    name = first + 'HYPERLINK("http://example.org";"photo").png'
    save_csv([match_named(name)], tmp_path / "results.csv")
    assert read_csv(tmp_path / "results.csv")[0]["path"] == "'" + name


def test_a_negative_similarity_stays_a_number(tmp_path: Path) -> None:
    save_csv([match_named("a.png", -0.25)], tmp_path / "results.csv")
    assert read_csv(tmp_path / "results.csv")[0]["similarity"] == "-0.250000"


@pytest.mark.parametrize("name", ['a,"b";c.png', NAMES["line break"]], ids=["quotes", "lines"])
def test_a_name_with_the_marks_of_csv_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    save_csv([match_named(name)], tmp_path / "results.csv")
    assert read_csv(tmp_path / "results.csv")[0]["path"] == name


def read_zip(path: Path) -> dict[str, bytes]:
    """Return what is in a ZIP, by its names, in their order."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_copies(indexed: Collection) -> list[Match]:
    """Two results, the first of them with three copies."""
    first, second, *copies = matches_of(indexed)[:5]
    return [replace(first, copies=tuple(copies)), second]


def test_a_table_names_the_copies_of_a_result_below_it(indexed: Collection, tmp_path: Path) -> None:
    save_csv(with_copies(indexed), tmp_path / "results.csv")
    rows = read_csv(tmp_path / "results.csv")
    told = [(row["place"], row["path"], row["copy of"], row["similarity"][:3]) for row in rows]
    assert told == [
        ("1", "cold/azure.png", "", "0.9"),
        ("1", "cold/cyan.png", "cold/azure.png", "0.7"),
        ("1", "warm/orange.png", "cold/azure.png", "0.6"),
        ("1", "warm/red.png", "cold/azure.png", "0.5"),
        ("2", "cold/blue.png", "", "0.8"),
    ]


def test_a_result_that_a_spreadsheet_would_run_is_text_beside_its_copies_too(
    tmp_path: Path,
) -> None:
    found = replace(match_named("=1+1.png"), copies=(match_named("b.png"),))
    save_csv([found], tmp_path / "results.csv")
    assert read_csv(tmp_path / "results.csv")[1]["copy of"] == "'=1+1.png"


def test_a_zip_holds_the_copies_of_a_result_in_a_folder_of_its_place(
    indexed: Collection, wheel: Path, tmp_path: Path
) -> None:
    packed = save_zip(with_copies(indexed), {"": indexed}, tmp_path / "results.zip", 10**6)
    assert packed == Packed(originals=5, thumbnails=0, left_out=0)
    inside = read_zip(tmp_path / "results.zip")
    assert list(inside) == [
        "1 azure.png",
        "2 blue.png",
        "1 copies/1 cyan.png",
        "1 copies/2 orange.png",
        "1 copies/3 red.png",
    ]
    assert inside["1 copies/3 red.png"] == (wheel / "warm/red.png").read_bytes()


def test_copies_take_no_room_from_results_in_a_zip(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "copy.png"):
        (tmp_path / name).write_bytes(bytes(1000))
    first = replace(match_named("a.png"), copies=(match_named("copy.png"),))
    found = [first, match_named("b.png")]
    packed = save_zip(found, of(tmp_path), tmp_path / "results.zip", 2000)
    assert packed == Packed(originals=2, thumbnails=0, left_out=1)
    assert list(read_zip(tmp_path / "results.zip")) == ["1 a.png", "2 b.png"]


def test_a_zip_holds_the_originals_in_order(
    indexed: Collection, wheel: Path, tmp_path: Path
) -> None:
    packed = save_zip(matches_of(indexed), {"": indexed}, tmp_path / "results.zip", 10**6)
    assert packed == Packed(originals=6, thumbnails=0, left_out=0)
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist()[:2] == ["1 azure.png", "2 blue.png"]
        assert archive.read("1 azure.png") == (wheel / "cold/azure.png").read_bytes()


def test_a_zip_takes_each_picture_from_its_own_collection(tmp_path: Path) -> None:
    folders = {}
    for key, hue in (("a", 0), ("b", 240)):
        folder = tmp_path / key
        folder.mkdir()
        by_hue(hue).save(folder / "photo.png")
        folders[key] = Thumbnails(folder)
    found = [Match(match_named("photo.png").picture, 0.5, key) for key in "ba"]
    collections: Any = folders
    save_zip(found, collections, tmp_path / "results.zip", 10**6)
    inside = read_zip(tmp_path / "results.zip")
    assert list(inside) == ["1 photo.png", "2 photo.png"]
    assert inside["1 photo.png"] == (tmp_path / "b/photo.png").read_bytes()


def test_a_zip_holds_the_thumbnail_where_the_original_is_gone(
    indexed: Collection, wheel: Path, tmp_path: Path
) -> None:
    (wheel / "cold/azure.png").unlink()
    packed = save_zip(matches_of(indexed), {"": indexed}, tmp_path / "results.zip", 10**6)
    assert packed == Packed(originals=5, thumbnails=1, left_out=0, away=1)
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        assert archive.namelist()[0] == "1 azure (small).jpg"
        assert Image.open(archive.open("1 azure (small).jpg")).size == (40, 30)


def test_a_zip_holds_the_thumbnail_where_the_original_cannot_be_read(
    indexed: Collection, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(wheel / "cold/azure.png", monkeypatch)
    packed = save_zip(matches_of(indexed), {"": indexed}, tmp_path / "results.zip", 10**6)
    assert packed == Packed(originals=5, thumbnails=1, left_out=0, away=1)
    assert list(read_zip(tmp_path / "results.zip"))[:2] == ["1 azure (small).jpg", "2 blue.png"]


def test_a_zip_without_originals_holds_thumbnails(indexed: Collection, tmp_path: Path) -> None:
    path = tmp_path / "results.zip"
    assert save_zip(matches_of(indexed), {"": indexed}, path, 10**6, originals=False) == Packed(
        originals=0, thumbnails=6, left_out=0
    )


def test_a_zip_stays_within_its_bound(tmp_path: Path) -> None:
    (tmp_path / "big.png").write_bytes(bytes(1000))
    small = encode(by_hue(0, (8, 8)), "JPEG")
    bound = 2000 + len(small)
    found = [match_named("big.png")] * 5
    packed = save_zip(found, of(tmp_path, small), tmp_path / "results.zip", bound)
    assert packed == Packed(originals=2, thumbnails=1, left_out=2, too_large=1)
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        assert sum(entry.file_size for entry in archive.infolist()) == bound


@pytest.mark.parametrize("path", ["../secret.png", "/secret.png", "link.png", "notes.txt", "\0"])
def test_a_collection_cannot_have_files_packed_that_are_none_of_its_pictures(
    path: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "notes.txt").write_bytes(b"secret")
    if path == "link.png":
        link(root / path, tmp_path / "secret.png")
    path = str(tmp_path) + path if path.startswith("/") else path
    packed = save_zip([match_named(path)], of(root), tmp_path / "results.zip", 10**6)
    assert packed == Packed(originals=0, thumbnails=0, left_out=1)


@pytest.mark.parametrize(
    "name",
    [
        *NAMES.values(),
        "con.png",
        'what? "this": <a|b>*.png',
        "..",
        ".png",
        "dots...png",
        "\u202egnp.exe.jpg",
        "back\\slash.png",
        "海" * 200 + ".png",
    ],
)
def test_every_name_becomes_one_that_any_disk_takes(name: str, tmp_path: Path) -> None:
    save_zip([match_named(name)], of(jpeg=b"small"), tmp_path / "results.zip", 100)
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        (packed,) = archive.namelist()
        archive.extractall(tmp_path / "unpacked")
    assert os.listdir(tmp_path / "unpacked") == [packed]
    assert packed.startswith("1 ")
    assert not re.search(r'[\x00-\x1f<>:"/\\|?*\u202e]', packed)
    assert len(packed.encode()) < 250


def test_a_file_from_before_zip_knew_the_time_is_packed(tmp_path: Path) -> None:
    by_hue(0).save(tmp_path / "old.png")
    os.utime(tmp_path / "old.png", (0, 0))
    save_zip([match_named("old.png")], of(tmp_path), tmp_path / "results.zip", 10**6)
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        assert archive.infolist()[0].date_time[0] == 1980


def test_a_disk_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LookalikeError):
        save_csv([match_named("a.png")], tmp_path / "file" / "results.csv")


def pages_of(pdf: bytes) -> int:
    # Pillow appends pages as PDF's updates, of which the last one holds.
    return int(re.findall(rb"/Count (\d+)", pdf)[-1])


@pytest.mark.parametrize(
    ("results", "pages"), [(0, 1), (1, 1), (24, 1), (30, 1), (31, 2), (65, 2), (66, 3)]
)
def test_a_pdf_has_thirty_pictures_on_its_first_page_and_thirty_five_on_the_others(
    results: int, pages: int, tmp_path: Path
) -> None:
    small = encode(by_hue(0), "JPEG")
    found = [match_named("a.png")] * results
    sheet = tmp_path / "sheet.pdf"
    save_contact_sheet([by_hue(0)], found, of(jpeg=small), sheet, "Results", dots_per_inch=40)
    assert pages_of(sheet.read_bytes()) == pages


def test_a_pdf_is_of_the_size_of_a4(tmp_path: Path) -> None:
    save_contact_sheet([by_hue(0)], [], {}, tmp_path / "sheet.pdf", "Results")
    box = re.search(
        rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", (tmp_path / "sheet.pdf").read_bytes()
    )
    assert box
    assert [round(float(side) / 72 * 25.4) for side in box.groups()] == [210, 297]


@pytest.mark.parametrize(("suffix", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("JPEG", "JPEG")])
def test_one_picture_shows_the_query_and_the_results_in_order(
    suffix: str, kind: str, indexed: Collection, tmp_path: Path
) -> None:
    path = tmp_path / f"sheet.{suffix}"
    save_contact_sheet(
        [by_hue(300)], matches_of(indexed), {"": indexed}, path, "Results", dots_per_inch=72
    )
    with Image.open(path) as sheet:
        assert sheet.format == kind
        assert sheet.width == round(210 / 25.4 * 72)
        pixels = np.asarray(sheet.convert("HSV"))

    def hue_at(x: float, y: float) -> int:
        return round(int(pixels[round(y / 25.4 * 72), round(x / 25.4 * 72), 0]) * 360 / 255)

    assert hue_at(25, 30) == pytest.approx(300, abs=6)  # the query
    seen = [hue_at(14 + 33.2 / 2 + 37.2 * column, 68) for column in range(5)]
    assert seen == pytest.approx([210, 240, 180, 30, 360], abs=6) or seen == pytest.approx(
        [210, 240, 180, 30, 0], abs=6
    )


@pytest.mark.parametrize(
    ("copies", "told"), [(0, ""), (1, "and 1 copy"), (1234, "and 1,234 copies")]
)
def test_how_many_copies_a_result_has_stands_whole_under_it(
    copies: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, float, float]] = []
    draw = ImageDraw.ImageDraw.text

    def noted(self: Any, at: Any, text: str, fill: Any, font: Any, anchor: str) -> None:
        written.append((text, at[1], font.getlength(text)))
        draw(self, at, text, fill, font, anchor)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    result = replace(match_named("a.png"), copies=(match_named("b.png"),) * copies)
    save_contact_sheet([], [result] * 6, of(), tmp_path / "sheet.png", "Results")
    lines = [one for one in written if one[0].startswith("and ")]
    assert [text for text, *_ in lines] == [told] * (6 if told else 0)
    millimetre = 200 / 25.4
    for (_, y, width), row in zip(lines, [0, 0, 0, 0, 0, 1], strict=False):
        assert width <= CELL_WIDTH * millimetre
        end = MARGIN + HEADER + (row + 1) * ROW  # where the next picture begins
        assert y + 1 * millimetre < end * millimetre


@pytest.mark.parametrize("suffix", ["pdf", "png"])
@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_names_in_any_script_stand_under_their_pictures(
    name: str, suffix: str, tmp_path: Path
) -> None:
    small = encode(by_hue(0), "JPEG")
    path = tmp_path / f"sheet.{suffix}"
    found = [match_named(name)]
    save_contact_sheet([by_hue(0)], found, of(jpeg=small), path, name, [name], dots_per_inch=60)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("size", [(1, 1600), (1600, 1)], ids=["tall", "wide"])
@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_very_thin_queries_and_results_are_shown_all_the_same(
    size: tuple[int, int], suffix: str, tmp_path: Path
) -> None:
    thin = Image.new("RGB", size, "red")
    path = tmp_path / f"sheet.{suffix}"
    found = [match_named("a.png")]
    save_contact_sheet([thin] * 4, found, of(jpeg=encode(thin, "JPEG")), path, "Thin")
    if suffix == "png":
        red = np.array([255, 0, 0])
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        rows = np.flatnonzero((np.abs(pixels - red).max(axis=2) < 20).any(axis=1)) * 25.4 / 200
        assert rows.min() < MARGIN + HEADER < rows.max()


def test_a_name_that_no_font_has_whole_is_written_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dejavu = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    monkeypatch.setattr(fonts, "OTHER_SCRIPTS", (str(dejavu),))
    monkeypatch.setattr(fonts, "REGULAR", ())  # so that Pillow's own is the usual one
    size = 11.3  # that no other test uses, since fonts are kept by theirs
    cut = fonts.pieces_of("a жук 字.png", size, bold=False)
    assert [text for text, _ in cut] == ["a ", "жук", " 字.png"]
    usual, other, last = (font for _, font in cut)
    assert usual is last
    assert usual is not other
    assert fonts.pieces_of("жук.png", size, bold=False) == [("жук.png", other)]  # which has all
    fitted = fonts.fit("a жук 字.png" * 20, size, bold=False, width=200)
    assert 150 < fonts.length_of(fitted) <= 200


def test_a_sheet_can_be_written_where_no_font_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truetype = ImageFont.truetype

    def bundled(font: Any, *arguments: Any, **named: Any) -> Any:
        if isinstance(font, str):
            raise OSError("cannot open resource")
        return truetype(font, *arguments, **named)

    monkeypatch.setattr(ImageFont, "truetype", bundled)
    found = [match_named(name) for name in NAMES.values()]
    # A size that no other test uses, since fonts are kept by theirs.
    save_contact_sheet([], found, of(), tmp_path / "sheet.png", "Results", dots_per_inch=83)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert np.asarray(sheet.convert("L")).min() < 60  # something is written


@pytest.mark.parametrize("jpeg", [None, b"", b"damaged"], ids=["gone", "empty", "damaged"])
def test_a_thumbnail_that_is_gone_leaves_its_place_empty(
    jpeg: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "sheet.png"
    save_contact_sheet([], [match_named("a.png")], of(jpeg=jpeg), path, "Results")
    assert path.exists()


@pytest.mark.parametrize("size", [(4000, 40), (40, 4000), (1, 1)], ids=["wide", "high", "tiny"])
def test_pictures_of_any_shape_fit_into_their_boxes(size: tuple[int, int], tmp_path: Path) -> None:
    image = noise(size)
    small = encode(image, "JPEG")
    path = tmp_path / "sheet.png"
    save_contact_sheet([image] * 6, [match_named("a.png")], of(jpeg=small), path, "Results")
    with Image.open(path) as sheet:
        margin = np.asarray(sheet)[:, : round(13.5 / 25.4 * 200)]
    assert (margin == 255).all()


def test_a_picture_does_not_hold_more_than_fits(tmp_path: Path) -> None:
    found = [match_named("a.png")] * (MAX_ON_ONE_PICTURE + 1)
    with pytest.raises(LookalikeError, match="Save a PDF"):
        save_contact_sheet([], found, of(), tmp_path / "sheet.png", "Results")


def test_other_kinds_of_files_are_refused_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"Use \.pdf or \.png"):
        save_contact_sheet([], [], {}, tmp_path / "sheet.docx", "Results")
