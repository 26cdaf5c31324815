"""Names on a disk: what any disk can keep, and a number for what is taken."""

from pathlib import Path

import pytest

from retrieval.disk_names import free_name, storable


def test_free_names_are_numbered(tmp_path: Path) -> None:
    assert free_name(tmp_path / "a.png") == tmp_path / "a.png"
    (tmp_path / "a.png").touch()
    (tmp_path / "a (2).png").touch()
    assert free_name(tmp_path / "a.png") == tmp_path / "a (3).png"


@pytest.mark.parametrize("stem", ["a", "a" * 240])
def test_many_files_of_the_same_name_do_not_ask_for_all_of_them_again(stem: str) -> None:
    asked, numbers = 0, dict[Path, int]()
    names: set[Path] = set()

    def is_taken(path: Path) -> bool:
        nonlocal asked
        asked += 1
        return path in names

    for number in range(1_000):  # of a long name only the beginning is kept beside a number
        ending = number // 2 if len(stem) > 200 else ""
        names.add(free_name(Path(f"{stem}{ending}.png"), is_taken, numbers))
    assert len(names) == 1_000
    assert asked <= 2_000


@pytest.mark.parametrize("name", ["a:b.jpg", "A: Holiday/1.jpg", "x/C:/1.jpg"])
def test_a_letter_and_a_colon_are_a_drive_only_where_they_are_the_whole_first_folder(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(storable(name)) == name
    assert storable("C:") is storable("c:/1.jpg") is storable("C:\\1.jpg") is None
    monkeypatch.setattr("os.name", "nt")
    assert str(storable(name)) == name.replace(":", "_")


def test_deep_folders_stay_within_what_disks_take() -> None:
    assert storable("/".join(["d"] * 30) + "/a.png") is not None
    assert storable("/".join(["d"] * 60) + "/a.png") is None
    assert storable("/".join(["d" * 200] * 20)) is None
