"""Features of many pictures at once, for fitting and evaluating; nothing is kept on disk."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.errors import LookalikeError, PictureError
from retrieval.images import open_picture
from retrieval.model import FeatureExtractor, available_cpus
from retrieval.preprocessing import preprocess, scale_for
from retrieval.reduction import Matrix


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

    with ThreadPoolExecutor(available_cpus()) as pool:
        remaining = iter(track(paths))
        # The next chunk is decoded while the network is busy with this one.
        chunk = list(islice(remaining, batch))
        prepared = [pool.submit(prepare, path) for path in chunk]
        while chunk:
            coming = list(islice(remaining, batch))
            coming_prepared = [pool.submit(prepare, path) for path in coming]
            pictures = []
            for path, future in zip(chunk, prepared, strict=True):
                result = future.result()
                if isinstance(result, str):
                    unread.append((path, result))
                else:
                    read.append(path)
                    pictures.append(result)
            if pictures:
                features.append((extract or extractor.extract)(np.stack(pictures)))
            chunk, prepared = coming, coming_prepared
    if not read:
        raise LookalikeError("There is no readable picture in that folder. Name another one.")
    return np.concatenate(features), read, unread
