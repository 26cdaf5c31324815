"""A model's family: its file, and beside it the same weights in 8 bits, which CPUs compute with."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.gpu_session import has_cuda_driver
from retrieval.model import ModelCard, OnnxExtractor
from retrieval.settings import PYTHON

# In the file of an ONNX model, a protocol buffer, each field with the first number is a pair of
# metadata; the others are those of the pair's key and value.
METADATA, KEY, VALUE = 14, 1, 2


def int8_path(model: Path) -> Path:
    """Return where the 8-bit sibling of a model lies, whether there is one or not."""
    return model.with_name(f"{model.stem}{settings.INT8_MARK}{model.suffix}")


def is_int8(model: Path) -> bool:
    """Say whether a file is named as the 8-bit sibling of another."""
    return model.stem.endswith(settings.INT8_MARK)


def open_model(model: Path, threads: int | None = None, gpu: bool = True) -> OnnxExtractor:
    """Open a model for the machine at hand: the file itself on a GPU, its sibling on a CPU.

    Features of the two can be compared, so a collection built with one is searched with the other.
    A sibling of other weights, left from before the model was made anew, is passed over, and so is
    one that is damaged or of an earlier version.

    Raises:
        LookalikeError: when there is no model, or the file is no model of ours.
    """
    small = int8_path(model)
    # Opening the large file takes four times as long, so it waits until there is a reason.
    if gpu and has_cuda_driver():
        extractor = OnnxExtractor(model, threads)
        if extractor.provider != "CPU":
            return extractor
    return OnnxExtractor(small if _are_related(model, small) else model, threads, gpu=False)


def _are_related(model: Path, small: Path) -> bool:
    if not (model.is_file() and small.is_file()):
        return False
    try:
        return read_card(model).fingerprint == read_card(small).fingerprint
    except LookalikeError:
        return False  # opening the model will say what is wrong with it


def read_card(model: Path) -> ModelCard:
    """Read what a model's file says of itself, without its weights.

    Raises:
        LookalikeError: when the file does not say it.
    """
    metadata = {}
    try:
        with model.open("rb") as file:
            # Fields may come in any order, and the weights are skipped, so little is read.
            for number, length in _fields(file, model.stat().st_size):
                if number != METADATA:
                    file.seek(length, 1)
                    continue
                end, pair = file.tell() + length, {KEY: b"", VALUE: b""}
                for part, size in _fields(file, end):
                    pair[part] = file.read(size)
                metadata[pair[KEY].decode()] = pair[VALUE].decode()
    except (OSError, EOFError, ValueError) as error:
        raise LookalikeError(
            f"{model.name} is damaged or not a model. Copy it again, or make it again with: "
            f"{PYTHON} -m export"
        ) from error
    return ModelCard.from_metadata(metadata)


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Yield number and length of each field up to `end`; the reader moves past its bytes.

    The format: https://protobuf.dev/programming-guides/encoding
    """
    while file.tell() < end:
        tag = _varint(file)
        match tag & 7:
            case 0:  # a number of up to ten bytes, which is no metadata
                _varint(file)
            case 1:
                file.seek(8, 1)
            case 2:
                length = _varint(file)
                if file.tell() + length > end:
                    raise EOFError
                yield tag >> 3, length
            case 5:
                file.seek(4, 1)
            case kind:
                raise ValueError(f"a field of kind {kind}")


def _varint(file: BinaryIO) -> int:
    number = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise EOFError
        number |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return number
