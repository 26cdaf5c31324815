"""Captions: a CSV beside the pictures gives labels and details, whoever wrote it."""

import json
import os
import tracemalloc
import unicodedata
from html import escape
from pathlib import Path
from typing import Any

import pytest

from retrieval.__main__ import main
from retrieval.captions import (
    LETTERS,
    MAX_COLUMNS,
    MAX_ROW,
    NO_COLUMNS,
    NO_FILENAME,
    OR_GO,
    Caption,
    UnreadTable,
    captioned,
    count_rows,
    find_tables,
    parse_captions,
    read_captions,
)
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.commands.reading import tell_of_unread_tables
from retrieval.embedding import Embedder
from retrieval.files import composed
from retrieval.indexing import index_folder
from retrieval.pages import opened_markup
from tests.made import by_hue


def parsed(text: str) -> dict[str, Caption]:
    return dict(parse_captions(text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        "filename,label,mood\na.png,red,angry\n",
        "filename;label;mood\r\na.png;red;angry\r\n",
        "filename\tlabel\tmood\na.png\tred\tangry",
        " Filename , LABEL ,Mood\na.png, red , angry \n",
        'label,mood,filename\n"red","angry","./a.png"\n',
        "sep=;\r\nfilename;label;mood\r\na.png;red;angry\r\n",
        '"sep=|"\nfilename|label|mood\na.png|red|angry\n',
    ],
    ids=["comma", "semicolon", "tab", "spaces", "order", "Excel's first line", "in quotes"],
)
def test_tables_of_any_program_are_read(text: str) -> None:
    assert parsed(text) == {"a.png": Caption("red", '{"mood": "angry"}')}


def test_quotes_commas_and_newlines_stay_in_their_cell() -> None:
    caption = parsed('filename,note\n"a ""x"", b.png","one,\ntwo"\n')['a "x", b.png']
    assert caption == Caption(None, '{"note": "one,\\ntwo"}')


@pytest.mark.parametrize(
    "text", ["", "name,label\na.png,red\n", "filename\n\n,\n", "filename,label\n../a.png,red\n"]
)
def test_what_is_not_meant_for_us_says_nothing(text: str) -> None:
    assert parsed(text) == {}


def test_file_names_are_relative_to_the_table(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "all.csv").write_text("filename,label\nin/a.png,tom\n", encoding="utf-8")
    (tmp_path / "#recycle").mkdir()
    (tmp_path / "#recycle" / "old.csv").write_text("filename,label\nc.png,no\n", encoding="utf-8")
    (tmp_path / ".hidden.csv").write_text("filename,label\nb.png,no\n", encoding="utf-8")
    assert list(read_captions(tmp_path)) == ["cats/in/a.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders.")
def test_a_pipe_that_is_called_like_a_table_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "captions.csv")
    (tmp_path / "more.csv").write_text("filename,label\na.png,red\n")
    # Reading it would open it, which waits until somebody writes to it.
    assert list(find_tables(tmp_path)) == [tmp_path / "more.csv"]
    assert list(read_captions(tmp_path)) == ["a.png"]


def test_excels_bytes_are_understood(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\ufefffilename,label\nä.png,grün\n".encode())
    (tmp_path / "b.csv").write_bytes("filename;label\nb.png;grün\n".encode("cp1252"))
    (tmp_path / "c.csv").write_bytes("filename\tlabel\nc.png\tgrün\n".encode("utf-16"))
    captions = read_captions(tmp_path)
    assert [captions[name].label for name in ("ä.png", "b.png", "c.png")] == ["grün"] * 3


@pytest.mark.parametrize(
    ("encoding", "label"),
    [("cp1251", "привет"), ("cp932", "夏休み"), ("gb18030", "暑假"), ("mac_roman", "Grün")],
)
def test_a_table_in_no_unicode_is_read_as_this_computer_writes_it_and_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, label: str
) -> None:
    def read() -> tuple[str | None, list[tuple[str, str]]]:
        unread: list[UnreadTable] = []
        caption = read_captions(tmp_path, unread.append)["a.png"]
        return caption.label, [(table.why, table.flaw) for table in unread]

    (tmp_path / "t.csv").write_bytes(f"filename;label\na.png;{label}\n".encode(encoding))
    monkeypatch.setattr("locale.getencoding", lambda: encoding)
    assert read() == (label, [(LETTERS, "narrowed")])
    for other in ("utf-8", "ascii", "unheard of"):
        monkeypatch.setattr("locale.getencoding", lambda other=other: other)
        found, flaws = read()
        assert found != label
        assert flaws == [(LETTERS, "narrowed")]
    (tmp_path / "t.csv").write_text(f"filename;label\na.png;{label}\n", encoding="utf-8-sig")
    assert read() == (label, [])


def test_a_table_whose_names_of_files_are_misread_is_named_and_one_of_other_things_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "m.csv").write_bytes("filename;label\nmünchen.png;Grün\n".encode("mac_roman"))
    (tmp_path / "prices.csv").write_bytes("Größe;Preis\ngroß;12\n".encode("cp1252"))
    unread: list[UnreadTable] = []
    assert read_captions(tmp_path, unread.append, wanted={"münchen.png"}) == {}
    assert [table.name for table in unread if table.why == LETTERS] == ["m.csv"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("before", ["", "名前;"], ids=["first", "second"])
def test_utf_16_is_known_without_the_mark_it_should_begin_with(
    tmp_path: Path, encoding: str, before: str
) -> None:
    table = f"{before}FileName;label\n{before}a.png;夏休み\n"
    (tmp_path / "t.csv").write_bytes(table.encode(encoding))
    unread: list[UnreadTable] = []
    assert read_captions(tmp_path, unread.append)["a.png"].label == "夏休み"
    assert unread == []


def test_whole_paths_that_lead_into_the_folder_are_understood_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rows = f"{tmp_path}/in/a.png,red\n{tmp_path.parent}/b.png,blue\n"
    (tmp_path / "in" / "t.csv").write_text(f"filename,label\n{rows}", encoding="utf-8")
    assert "in/a.png" in read_captions(tmp_path)
    assert list(read_captions(tmp_path, wanted={"in/a.png", "b.png", "in/b.png"})) == ["in/a.png"]


def test_of_many_columns_the_file_and_its_label_are_found_and_what_is_left_out_is_said(
    tmp_path: Path,
) -> None:
    names = [*(f"c{at}" for at in range(60)), "filename", "label"]
    cells = [*(f"v{at}" for at in range(60)), "a.png", "red"]
    (tmp_path / "t.csv").write_text(f"{','.join(names)}\n{','.join(cells)}\n", encoding="utf-8")
    unread: list[UnreadTable] = []
    caption = read_captions(tmp_path, unread.append)["a.png"]
    assert caption.label == "red"
    assert list(json.loads(caption.details)) == names[: MAX_COLUMNS - 2]
    assert "without c38, c39, c40, c41, c42 and 17 more. Take" in unread[0].why
    assert unread[0].flaw == "narrowed"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ('filename,label\na.png,red\nwarm/red.png,"hot\ncold/blue.png,icy\n', "Row 3 cannot be"),
        (f"filename,label\na.png,{'x' * 200_000}\nwarm/red.png,hot\n", "Row 2 cannot be"),
        ("", "Its first row names no columns"),
        ("name,label\nwarm/red.png,hot\n", "None of its columns is called"),
        ("filename,label\n" + "a.png,red\n" * 400, "It has more than 64 MB"),
    ],
    ids=["an open quotation", "a long cell", "empty", "no file names", "large"],
)
def test_a_table_that_is_broken_takes_no_label_away_and_is_named(
    indexed: Collection,
    wheel: Path,
    embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: str,
    told: str,
) -> None:
    monkeypatch.setattr("retrieval.captions.MAX_BYTES", 300_000 if "xxx" in broken else 3_000)
    table = wheel / "all.csv"
    table.write_text("filename,label\nwarm/red.png,hot\ncold/blue.png,icy\n")
    (wheel / "notes.csv").write_text("name,price\nfilm,12\n")  # of something else
    changes = find_changes(indexed, wheel)
    assert changes.unread_tables == ()
    for _ in index_folder(indexed, wheel, embedder, changes):
        pass
    table.write_text(broken)
    changes = find_changes(indexed, wheel)
    assert not changes.any
    [(name, why)] = [(unread.name, unread.why) for unread in changes.unread_tables]
    assert name == "all.csv"
    assert why.startswith(told)
    shown = opened_markup.changes("key", changes, wheel)
    assert escape(f"The table (CSV) all.csv: {why} Until then labels") in shown
    tell_of_unread_tables(changes.unread_tables)
    assert f"The table (CSV) all.csv: {why} Until then labels" in capsys.readouterr().err
    by_hue(10, (33, 22)).save(wheel / "warm/red.png")  # also what is read again keeps its own
    for _ in index_folder(indexed, wheel, embedder, find_changes(indexed, wheel)):
        pass
    [red] = [picture for picture in indexed.listing.pictures() if picture.path == "warm/red.png"]
    assert (red.width, red.label) == (33, "hot")


@pytest.mark.parametrize(
    ("filename", "key"),
    [
        ("b.png", "in/b.png"),
        ("./c/b.png", "in/c/b.png"),
        ("c//b.png", "in/c/b.png"),
        ("c/./b.png", "in/c/b.png"),
        (".\\c\\b.png", "in/c/b.png"),
        ("/b.png", "/b.png"),
        ("./", "in"),
    ],
)
def test_paths_are_tidied(tmp_path: Path, filename: str, key: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(f"filename,label\n{filename},x\n", encoding="utf-8")
    assert list(read_captions(tmp_path)) == [key]


def test_of_a_table_only_rows_of_pictures_that_are_there_are_kept(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n}\n" for n in range(100_000))
    (tmp_path / "a.csv").write_text(f"filename,label\n{rows}a.png,red\n", encoding="utf-8")
    tracemalloc.start()
    captions = read_captions(tmp_path, wanted={"a.png", "b.png"})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert captions == {"a.png": Caption("red", "")}
    assert most < 5 * 2**20  # all rows take 16 MB


@pytest.mark.parametrize("broken", ["," * MAX_ROW, '"\n",' * MAX_ROW], ids=["a line", "lines"])
def test_a_row_that_never_ends_ends_the_table(broken: str) -> None:
    assert list(parsed(f"filename,label\na.png,red\n{broken}\nb.png,blue\n")) == ["a.png"]


def test_accents_match_however_they_are_written() -> None:
    captions = {composed("ü.png"): Caption("x", "")}
    assert captioned(unicodedata.normalize("NFD", "ü.png"), "", captions) == ("x", "")


def test_labels_of_a_table_take_the_place_of_the_folders_and_go_with_it(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    def update() -> None:
        for _ in index_folder(indexed, wheel, embedder, find_changes(indexed, wheel)):
            pass

    table = wheel / "captions.csv"
    table.write_text("filename,label,year\nwarm/red.png,hot,2024\ncold/blue.png,,2023\n")
    changes = find_changes(indexed, wheel)
    assert [path for path, _, _ in changes.recaptioned] == ["cold/blue.png", "warm/red.png"]
    assert changes.to_read == ()
    update()
    pictures = {picture.path: picture for picture in indexed.listing.pictures()}
    assert (pictures["warm/red.png"].label, pictures["warm/red.png"].captions) == (
        "hot",
        {"year": "2024"},
    )
    assert (pictures["cold/blue.png"].label, pictures["cold/blue.png"].captions) == (
        "cold",
        {"year": "2023"},
    )
    assert not find_changes(indexed, wheel).any
    table.unlink()
    update()
    assert {picture.label for picture in indexed.listing.pictures()} == {"cold", "warm"}


def test_a_table_of_something_else_keeps_no_label_that_its_own_table_gave_up(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    def update() -> set[str]:
        changes = find_changes(indexed, wheel)
        for _ in index_folder(indexed, wheel, embedder, changes):
            pass
        assert changes.unread_tables == ()
        return {picture.label for picture in indexed.listing.pictures()}

    (wheel / "captions.csv").write_text("filename,label\nwarm/red.png,hot\ncold/blue.png,icy\n")
    (wheel / "expenses.csv").write_text("date,amount\n1,2\n")
    assert update() == {"cold", "hot", "icy", "warm"}
    (wheel / "captions.csv").write_text("filename,label\ncold/blue.png,icy\n")
    assert update() == {"cold", "icy", "warm"}
    (wheel / "captions.csv").unlink()
    assert update() == {"cold", "warm"}


def test_a_table_whose_pictures_are_all_renamed_is_named_and_what_it_told_stays(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    def update() -> list[str]:
        changes = find_changes(indexed, wheel)
        for _ in index_folder(indexed, wheel, embedder, changes):
            pass
        return [table.name for table in changes.unread_tables]

    def told() -> set[tuple[str, str, str]]:
        return {(p.path, p.label, p.details) for p in indexed.listing.pictures() if p.details}

    table = wheel / "captions.csv"
    table.write_text("filename,label,place\nwarm/red.png,hot,Rome\ncold/blue.png,,Oslo\n")
    (wheel / "other.csv").write_text("filename,place\nelsewhere.png,Bonn\n")
    assert update() == []
    (wheel / "warm/red.png").rename(wheel / "warm/scarlet.png")
    (wheel / "cold/blue.png").rename(wheel / "warm/navy.png")
    for _ in range(2):
        assert update() == ["captions.csv"]
        assert told() == {
            ("warm/scarlet.png", "hot", '{"place": "Rome"}'),
            ("warm/navy.png", "warm", '{"place": "Oslo"}'),
        }
    table.write_text("filename,label,place\nwarm/scarlet.png,hot,Rome\n")
    assert update() == []
    assert told() == {("warm/scarlet.png", "hot", '{"place": "Rome"}')}
    table.unlink()
    assert update() == []
    assert told() == set()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"name,price\nshoe.png,3\n", NO_FILENAME),
        ("prix\u00a0€,näme\n3,shoe.png\n".encode(), NO_FILENAME),
        (b"", NO_COLUMNS),
        (b"\n\nfilename,label\na.png,red\n", NO_COLUMNS),
        (b"PK\x03\x04\x14\x00\x00\x00\x08\x00rest of a workbook\n", NO_COLUMNS),
        ("name,price\nshoe.png,3\n".encode("utf-16-le"), NO_COLUMNS),
    ],
    ids=["of other things", "beyond ASCII", "empty", "an empty row", "a workbook", "UTF-16"],
)
def test_what_tells_of_no_pictures_gets_a_cure_for_where_it_lies(
    tmp_path: Path, data: bytes, why: str
) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    assert count_rows(tmp_path / "t.csv", tmp_path, {"a.png"}) == (0, 0, [why])
    unread: list[UnreadTable] = []
    assert read_captions(tmp_path, unread.append) == {}
    [table] = unread
    assert (table.why, table.flaw) == (f"{why} {OR_GO}", "mute")


def test_how_many_pictures_have_several_labels_in_a_table_is_said_and_which_counts(
    indexed: Collection, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        "warm/red.png,cat",
        "./warm/red.png,dog",
        *["cold/blue.png,cat"] * 2,
        "gone,a",
        "gone,b",
    ]
    (wheel / "t.csv").write_text("\n".join(["filename,label", *rows]), encoding="utf-8")
    why = "1 picture has several rows with different labels, of which the last is taken."
    changes = find_changes(indexed, wheel)
    [table] = changes.unread_tables
    assert table.why.startswith(why)
    assert changes.captions["warm/red.png"].label == "dog"
    assert escape(why) in opened_markup.changes("key", changes, wheel)
    paths = {composed(path) for path in indexed.listing.files()}
    assert count_rows(wheel / "t.csv", wheel, paths) == (2, 2, [table.why])
    assert main(["evaluate", str(wheel), "--cpu"]) == 0
    out, err = capsys.readouterr()
    assert f"The table (CSV) t.csv: {why} Leave" in err
    assert f"tables: t.csv: {why} Leave" in " ".join(out.split())


@pytest.mark.parametrize("held", ["captions.csv", "cold/captions.csv"])
def test_a_table_that_is_held_takes_no_label_away(
    indexed: Collection,
    wheel: Path,
    embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
    held: str,
) -> None:
    (wheel / "captions.csv").write_text("filename,label\nwarm/red.png,hot\n")
    (wheel / "cold/captions.csv").write_text("filename,label\nblue.png,icy\n")
    for _ in index_folder(indexed, wheel, embedder, find_changes(indexed, wheel)):
        pass
    open_ = Path.open

    def as_while_excel_has_it_open(path: Path, *given: Any, **named: Any) -> Any:
        if path == wheel / held:
            raise PermissionError(13, "Permission denied", str(path))
        return open_(path, *given, **named)

    (wheel / "captions.csv").write_text("filename,label\nwarm/red.png,fiery\n")
    monkeypatch.setattr(Path, "open", as_while_excel_has_it_open)
    changes = find_changes(indexed, wheel)
    # The table of a folder tells of the pictures in it, so those elsewhere are labelled anew.
    expected = [] if held == "captions.csv" else [("warm/red.png", "fiery", "")]
    assert list(changes.recaptioned) == expected
    assert [table.name for table in changes.unread_tables] == [held]
    said = opened_markup.changes("key", changes, wheel)
    assert f"The table (CSV) {held}: It cannot be read. Close it in other programs" in said
    monkeypatch.undo()
    assert find_changes(indexed, wheel).recaptioned == (("warm/red.png", "fiery", ""),)
