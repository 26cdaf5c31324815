"""How a collection names its pictures, and people its folder."""

from pathlib import PurePath, PurePosixPath, PureWindowsPath

import pytest

from retrieval.paths import called, label_of


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("a.png", ""),
        ("cats/a.png", "cats"),
        ("cats/tabby/a.png", "cats"),
        ("e\u0301te\u0301/a.png", "été"),
    ],
    ids=["outside of any", "in one", "in a deeper one", "with accents apart"],
)
def test_the_label_is_the_first_folder(path: str, label: str) -> None:
    assert label_of(path) == label


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (PureWindowsPath("E:\\"), "E:\\"),
        (PureWindowsPath(r"\\nas\photos"), "\\\\nas\\photos\\"),
        (PureWindowsPath(r"E:\trips"), "trips"),
        (PurePosixPath("/"), "/"),
    ],
)
def test_a_whole_drive_is_called_by_itself(folder: PurePath, name: str) -> None:
    assert called(folder) == name
