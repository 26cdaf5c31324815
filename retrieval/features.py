"""Features of many pictures at once, for fitting and evaluating; nothing is kept on disk."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from retrieval.errors import LookalikeError, PictureError
from retrieval.images import open_picture
from retrieval.model import FeatureExtractor, available_cpus
from retrieval.preprocessing import preprocess, scale_for
from retrieval.reduction import Matrix

T = TypeVar("T")
R = TypeVar("R")


def extract_files(
    paths: Sequence[Path],
    extractor: FeatureExtractor,
    track: Callable[[Sequence[Path]], Iterator[Path]] = iter,
    batch: int = 8,
    extract: Callable[[npt.NDArray[np.uint8]], Matrix] | None = None,
) -> tuple[Matrix, list[Path], list[tuple[Path, str]]]:
    """Return the features `(n, d)` of the files that can be read, those files, and the others.

    Args:
        track: wraps the files to show progress, as tqdm does.
        extract: what to compute of preprocessed pictures; their features by default.

    Raises:
        LookalikeError: when not one of the files can be read.
    """
    how = extractor.card.preprocessing
    features, read, unread = [], [], []

    def prepare(path: Path) -> npt.NDArray[np.uint8] | str:
        try:
            return preprocess(open_picture(path, scale_for(how)).image, how)
        except PictureError as error:
            return str(error)

    for chunk in ahead(track(paths), prepare, batch):
        pictures = []
        for path, result in chunk:
            if isinstance(result, str):
                unread.append((path, result))
            else:
                read.append(path)
                pictures.append(result)
        if pictures:
            features.append((extract or extractor.extract)(np.stack(pictures)))
    if not read:
        raise LookalikeError("There is no readable picture in that folder. Name another one.")
    return np.concatenate(features), read, unread


def ahead(items: Iterable[T], prepare: Callable[[T], R], batch: int) -> Iterator[list[tuple[T, R]]]:
    """Yield the items in batches, each with what `prepare` makes of it in another thread.

    The next batch is prepared while the network is busy with the one before.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(available_cpus()) as pool:

        def begin() -> list[tuple[T, Future[R]]]:
            return [(item, pool.submit(prepare, item)) for item in islice(remaining, batch)]

        begun = begin()
        while begun:
            coming = begin()
            yield [(item, future.result()) for item, future in begun]
            begun = coming
