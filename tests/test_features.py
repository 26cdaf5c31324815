"""Features of many files: in order, without those that cannot be read, and all of them tracked."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import LookalikeError
from retrieval.features import ahead, extract_files
from tests.made import MeanColour, save_hues

HUES = {f"{hue:03}.png": float(hue) for hue in range(0, 360, 20)}


@pytest.mark.parametrize("batch", [1, 4, 18, 100])
def test_features_come_in_the_order_of_the_files(tmp_path: Path, batch: int) -> None:
    paths = sorted(save_hues(tmp_path, HUES).iterdir(), reverse=True)
    features, read, unread = extract_files(paths, MeanColour(), batch=batch)
    assert read == paths
    assert unread == []
    assert features.shape == (18, 3)
    assert features[-1] == pytest.approx([1, 0, 0])  # red, the first by name
    assert features[-7] == pytest.approx([0, 1, 0])  # 120 degrees, green


def test_files_that_cannot_be_read_are_named_with_the_reason(tmp_path: Path) -> None:
    paths = sorted(save_hues(tmp_path, HUES).iterdir())
    paths[0].write_bytes(b"")
    paths[9].write_text("no picture")
    paths[17].unlink()
    features, read, unread = extract_files(paths, MeanColour(), batch=4)
    assert read == [path for i, path in enumerate(paths) if i not in (0, 9, 17)]
    assert len(features) == 15
    assert [path for path, _ in unread] == [paths[0], paths[9], paths[17]]
    assert "empty" in unread[0][1]
    assert "not a picture" in unread[1][1]


def test_a_folder_without_a_readable_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"")
    with pytest.raises(LookalikeError, match="no readable picture"):
        extract_files([path], MeanColour())


def test_progress_sees_every_file_once_and_the_network_full_batches(tmp_path: Path) -> None:
    paths = sorted(save_hues(tmp_path, HUES).iterdir())
    seen: list[Path] = []

    def track(files: Sequence[Path]) -> Iterator[Path]:
        for file in files:
            seen.append(file)
            yield file

    extractor = MeanColour()
    extract_files(paths, extractor, track, batch=8)
    assert seen == paths
    assert extractor.batches == [8, 8, 2]


def test_the_features_are_those_of_the_picture_alone(tmp_path: Path) -> None:
    paths = sorted(save_hues(tmp_path, HUES).iterdir())
    together, _, _ = extract_files(paths, MeanColour())
    alone = [extract_files([path], MeanColour())[0] for path in paths]
    assert np.array_equal(together, np.concatenate(alone))


def test_the_next_batch_is_begun_before_the_network_gets_the_one_before() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for number in range(5):
            begun.append(number)
            yield number

    batches = ahead(items(), str, 2)
    assert next(batches) == [(0, "0"), (1, "1")]
    assert begun == [0, 1, 2, 3]
    assert list(batches) == [[(2, "2"), (3, "3")], [(4, "4")]]
