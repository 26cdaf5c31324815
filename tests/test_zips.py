"""Zips: what is good in them comes out, what is wrong costs only itself and gets a sentence."""

import os
import struct
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from retrieval.errors import LookalikeError
from retrieval.zips import MAX_NAMED, ZipBounds, unpack
from tests.made import by_hue, encode

PICTURE = encode(by_hue(0), "PNG")


def make(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in entries.items():
            opened.writestr(name, data)
    return path


def taken(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_pictures_and_tables_come_out_with_their_folders(tmp_path: Path) -> None:
    entries = {"cats/a.png": PICTURE, "b.JPG": PICTURE, "captions.csv": b"filename,label\n"}
    result = unpack(make(tmp_path / "x.zip", entries), tmp_path / "out", ZipBounds())
    assert taken(tmp_path / "out") == entries
    assert result.skipped == []


def test_what_is_no_picture_is_counted_and_what_is_hidden_passed_over(tmp_path: Path) -> None:
    entries = {"readme.txt": b"x", "__MACOSX/a.png": b"x", ".DS_Store": b"x", "a.png": PICTURE}
    entries |= {"trip/@eaDir/a.png": PICTURE, "$RECYCLE.BIN/b.png": PICTURE}
    result = unpack(make(tmp_path / "x.zip", entries), tmp_path / "out", ZipBounds())
    assert list(taken(tmp_path / "out")) == ["a.png"]
    assert (result.others, result.skipped) == (1, [])


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "x/../../a.png",
        "/etc/a.png",
        "C:/a.png",
        "c:\\a.png",
        "..\\a.png",
        "\\\\s\\a.png",
    ],
)
def test_paths_that_lead_elsewhere_are_skipped(tmp_path: Path, name: str) -> None:
    archive = make(tmp_path / "x.zip", {name: PICTURE, "good.png": PICTURE})
    result = unpack(archive, tmp_path / "deep" / "out", ZipBounds())
    assert list(taken(tmp_path / "deep")) == ["out/good.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "x.zip"]
    assert "leads out of the zip" in result.skipped[0][1]


def test_links_are_skipped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "/etc/passwd")
    result = unpack(tmp_path / "x.zip", tmp_path / "out", ZipBounds())
    assert taken(tmp_path / "out") == {}
    assert "is a link" in result.skipped[0][1]


def test_zips_inside_and_encrypted_entries_are_skipped(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.zip", {"inner.zip": b"PK", "secret.png": PICTURE})
    raw = bytearray(archive.read_bytes())
    at = raw.rfind(b"PK\1\2")  # the table's line of the last entry: its flags say "encrypted"
    raw[at + 8] |= 1
    archive.write_bytes(raw)
    result = unpack(archive, tmp_path / "out", ZipBounds())
    assert taken(tmp_path / "out") == {}
    reasons = dict(result.skipped)
    assert "inside of a zip" in reasons["inner.zip"]
    assert "password" in reasons["secret.png"]


def test_a_bomb_is_not_unpacked_whether_honest_or_not(tmp_path: Path) -> None:
    bounds = ZipBounds(file_bytes=10**6, total_bytes=3 * 10**6)
    archive = make(tmp_path / "x.zip", {"bomb.png": b"\0" * 5 * 10**6, "good.png": PICTURE})
    result = unpack(archive, tmp_path / "out", bounds)
    assert list(taken(tmp_path / "out")) == ["good.png"]
    assert "too large" in result.skipped[0][1]
    # The same bomb, claiming to be small: no more than the claim is read.
    raw = archive.read_bytes().replace(struct.pack("<L", 5 * 10**6), struct.pack("<L", 1_000))
    archive.write_bytes(raw)
    result = unpack(archive, tmp_path / "out2", bounds)
    assert list(taken(tmp_path / "out2")) == ["good.png"]
    assert "damaged" in result.skipped[0][1]


def test_ten_million_to_one_is_refused_by_its_claim(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.zip", {"bomb.png": b"\0" * 100_000})
    raw = archive.read_bytes().replace(struct.pack("<L", 100_000), struct.pack("<L", 2 * 10**9))
    archive.write_bytes(raw)
    result = unpack(archive, tmp_path / "out", ZipBounds(file_bytes=2**40, total_bytes=2**40))
    assert "zip bomb" in result.skipped[0][1]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_what_is_unpacked_all_at_once_is_left_out(tmp_path: Path, method: int) -> None:
    """Of a kilobyte zipfile makes gigabytes, before it cuts off what was not claimed."""
    archive = tmp_path / "x.zip"
    size = 64 * 2**20
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("bomb.png", bytes(size), method)
        opened.writestr("good.png", PICTURE)
    archive.write_bytes(
        archive.read_bytes().replace(struct.pack("<L", size), struct.pack("<L", 10_000))
    )
    tracemalloc.start()
    result = unpack(archive, tmp_path / "out", ZipBounds())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(taken(tmp_path / "out")) == ["good.png"]
    assert "usual method" in result.skipped[0][1]
    assert peak < 8 * 2**20


def test_the_sum_of_all_is_bounded(tmp_path: Path) -> None:
    entries = {f"{n}.png": bytes([n]) * 600 for n in range(5)}
    result = unpack(
        make(tmp_path / "x.zip", entries), tmp_path / "out", ZipBounds(total_bytes=1_300)
    )
    assert len(taken(tmp_path / "out")) == 2
    assert len(result.skipped) == 3
    assert "more than can be taken" in result.skipped[0][1]


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.zip", {f"{n}.png": b"" for n in range(30)})
    with pytest.raises(LookalikeError, match=r"30 files; at most 20 .* one after the other"):
        unpack(archive, tmp_path / "out", ZipBounds(entries=20))


def test_what_is_one_too_many_is_listed_and_not_written(tmp_path: Path) -> None:
    entries = {f"{n}.png": PICTURE for n in (3, 1, 2, 0)} | {f"{n}.csv": b"filename" for n in "ab"}
    archive = make(tmp_path / "x.zip", {**entries, "c.txt": b""})
    result = unpack(archive, tmp_path / "out", ZipBounds(pictures=2, tables=1))
    assert sorted(taken(tmp_path / "out")) == ["0.png", "1.png", "a.csv"]
    assert {str(file.path): file.size for file in result.files} == {
        **{"0.png": len(PICTURE), "1.png": len(PICTURE), "2.png": None, "3.png": None},
        **{"a.csv": 8, "b.csv": None},
    }
    assert (result.pictures, result.tables, result.others, result.skipped) == (2, 1, 1, [])


def test_what_cannot_be_unpacked_counts_among_what_is_tried(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.zip", {f"{n}.png": PICTURE for n in range(3)})
    raw = bytearray(archive.read_bytes())
    raw[40:44] = bytes(b ^ 0xFF for b in raw[40:44])
    archive.write_bytes(raw)
    result = unpack(archive, tmp_path / "out", ZipBounds(pictures=2))
    assert [(name, why[:13]) for name, why in result.skipped] == [("0.png", "It is damaged")]
    assert [(str(file.path), file.size) for file in result.files] == [
        ("1.png", len(PICTURE)),
        ("2.png", None),
    ]


def test_of_very_many_that_are_left_out_the_first_are_named(tmp_path: Path) -> None:
    entries = {f"../{n}{'x' * 300}.png": b"" for n in range(MAX_NAMED + 5)}
    result = unpack(make(tmp_path / "x.zip", entries), tmp_path / "out", ZipBounds())
    assert (len(result.skipped), result.unnamed, result.entries) == (1_000, 5, 1_005)
    assert max(len(name) for name, _ in result.skipped) == 200


def test_somebody_looks_at_the_disk_while_it_is_written(tmp_path: Path) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.bmp")))
        if len(looks) == 3:
            raise LookalikeError("The disk is full.")

    archive = make(tmp_path / "x.zip", {"a.bmp": bytes(40 * 2**20)})
    with pytest.raises(LookalikeError, match=r"The disk is full"):
        unpack(archive, tmp_path / "out", ZipBounds(), look)
    assert [round(size / 2**20) for size in looks] == [0, 15, 31]
    assert taken(tmp_path / "out") == {}
    looks.clear()
    small = make(tmp_path / "y.zip", {f"{n}.png": b"" for n in range(10)})
    unpack(small, tmp_path / "out", ZipBounds(), look)
    assert looks == [0]


def test_a_table_that_would_fill_the_memory_is_refused_unread(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.zip", {"a.png": PICTURE})
    raw = bytearray(archive.read_bytes())
    struct.pack_into("<L", raw, raw.rfind(b"PK\5\6") + 12, 2**31)
    archive.write_bytes(raw)
    with pytest.raises(LookalikeError, match=r"far too many files"):
        unpack(archive, tmp_path / "out", ZipBounds())


def test_a_second_record_cannot_hide_a_large_table(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.zip", {"a.png": PICTURE})
    raw = archive.read_bytes()
    at = raw.rfind(b"PK\5\6")
    record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 2**31, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
    archive.write_bytes(raw[:at] + record + locator + raw[at:])
    with pytest.raises(LookalikeError, match=r"far too many files"):
        unpack(archive, tmp_path / "out", ZipBounds())


def as_for_large_files(
    archive: Path, size: int | None = None, locator_to: int | None = None, extra: bytes = b""
) -> bytes:
    """Return a zip with a second record, and the first one saying so, as Go and Node write it.

    Args:
        size: what the second record says of the table; None for the truth.
        locator_to: where the locator says that the second record is; None for the truth.
        extra: bytes between the second record and its locator.
    """
    raw = archive.read_bytes()
    at = raw.rfind(b"PK\5\6")
    count, true_size, offset = struct.unpack_from("<HLL", raw, at + 10)
    size = true_size if size is None else size
    fields = (44, 45, 45, 0, 0, count, count, size, offset)
    record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", *fields)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at if locator_to is None else locator_to, 1)
    full = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, *full, 0)
    return raw[:at] + record + extra + locator + end


def test_a_zip_that_leaves_its_sizes_to_the_second_record_is_unpacked(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.zip", {"a.png": PICTURE})
    archive.write_bytes(as_for_large_files(archive))
    unpack(archive, tmp_path / "out", ZipBounds())
    assert taken(tmp_path / "out") == {"a.png": PICTURE}


def test_no_record_can_hide_a_large_table_behind_another(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.zip", {"a.png": PICTURE})
    good = as_for_large_files(archive)
    large = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 2**31, 0)
    hostile = {
        "it is large itself": as_for_large_files(archive, size=2**31),
        "the one that the locator names": large + as_for_large_files(archive, locator_to=0),
        # Python up to 3.13 finds no second record there, and believes the first.
        "the first": as_for_large_files(archive, extra=b"12345678"),
        "a comment with a small one": good.replace(b"PK\6\7", b"none")[:-2]
        + struct.pack("<H", 56)
        + large.replace(struct.pack("<Q", 2**31), struct.pack("<Q", 47)),
    }
    for name, raw in hostile.items():
        archive.write_bytes(raw)
        with pytest.raises(LookalikeError, match=r"far too many files"):
            unpack(archive, tmp_path / name, ZipBounds())


def test_a_damaged_entry_costs_only_itself(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.zip", {"a.png": b"first" * 400, "b.png": PICTURE})
    raw = bytearray(archive.read_bytes())
    raw[40:44] = bytes(b ^ 0xFF for b in raw[40:44])
    archive.write_bytes(raw)
    result = unpack(archive, tmp_path / "out", ZipBounds())
    assert list(taken(tmp_path / "out")) == ["b.png"]
    assert "damaged inside of the zip" in result.skipped[0][1]


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"not a zip" * 30, b"PK\5\6" + b"\0" * 17])
def test_what_is_no_zip_gets_a_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(LookalikeError, match=r"not a zip file"):
        unpack(tmp_path / "x.zip", tmp_path / "out", ZipBounds())


def test_bytes_changed_anywhere_never_raise_anything_else(tmp_path: Path) -> None:
    good = make(tmp_path / "x.zip", {"a/b.png": PICTURE, "c.csv": b"filename\n"}).read_bytes()
    for at in range(len(good)):
        raw = bytearray(good)
        raw[at] ^= zlib.crc32(bytes([at % 256])) % 255 + 1
        (tmp_path / "y.zip").write_bytes(raw)
        folder = tmp_path / "many" / str(at)
        try:
            unpack(tmp_path / "y.zip", folder, ZipBounds())
        except LookalikeError:
            continue
    assert len(list(tmp_path.iterdir())) <= 3  # nothing came out beside the folder


def test_names_in_any_script_are_kept_also_when_the_zip_does_not_say_which(tmp_path: Path) -> None:
    names = ["ünï/日本語 'x'.png", "emoji 🐈.png"]
    if os.name != "nt":
        names += ['a "b".png', "line\nbreak.png"]
    archive = make(tmp_path / "x.zip", dict.fromkeys(names, PICTURE))
    raw = bytearray(archive.read_bytes())
    for mark in (b"PK\1\2", b"PK\3\4"):
        at = -1
        while (at := raw.find(mark, at + 1)) >= 0:
            raw[at + (9 if mark[2] == 1 else 7)] &= ~0x08  # no longer marked as UTF-8
    archive.write_bytes(raw)
    unpack(archive, tmp_path / "out", ZipBounds())
    assert sorted(taken(tmp_path / "out")) == sorted(names)


@pytest.mark.parametrize("letter", ["a", "é", "猫", "🐈"])
def test_names_of_250_characters_fit_the_disk(tmp_path: Path, letter: str) -> None:
    name = letter * 246 + ".png"
    archive = make(tmp_path / "x.zip", {name: PICTURE, f"deep/{name}": PICTURE})
    result = unpack(archive, tmp_path / "out", ZipBounds())
    assert result.skipped == []
    assert all(path.endswith(".png") for path in taken(tmp_path / "out"))


@pytest.mark.skipif(sys.platform == "win32", reason="its own bound is met long before")
def test_a_path_that_is_too_long_for_the_disk_costs_only_itself(tmp_path: Path) -> None:
    long = "/".join(["d" * 200] * 12) + "/a.png"
    archive = make(tmp_path / "x.zip", {long: PICTURE, "b.png": PICTURE})
    folder = tmp_path.joinpath(*["e" * 200] * 9)
    result = unpack(archive, folder, ZipBounds())
    assert list(taken(folder)) == ["b.png"]
    assert [(name, "too long for this disk" in why) for name, why in result.skipped] == [
        (long[:200], True)
    ]


def test_the_same_name_twice_keeps_both(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.zip", {"a.png": b"one", "b.png": b"two"})
    archive.write_bytes(archive.read_bytes().replace(b"b.png", b"a.png"))
    unpack(tmp_path / "x.zip", tmp_path / "out", ZipBounds())
    assert sorted(taken(tmp_path / "out").values()) == [b"one", b"two"]
