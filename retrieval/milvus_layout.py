"""How pictures lie in Milvus: the fields of a collection there, and filters in its own words."""

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from retrieval.filtering import end_of, spellings
from retrieval.gallery import Described
from retrieval.query import Filters
from retrieval.records import Aspect

MAX_FOLDERS = 64  # folders that lie in each other; deeper ones are found by those above them
MAX_BYTES = 65_535  # of a text in Milvus


def design(widths: Mapping[Aspect, int], stamp: str) -> dict[str, Any]:
    """Return how a collection there is to be, as Milvus' client takes it.

    Args:
        widths: how many numbers each aspect has.
        stamp: says whose it is.
    """
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=False, description=stamp
    )
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("label", DataType.VARCHAR, max_length=MAX_BYTES)
    schema.add_field(
        "folders",
        DataType.ARRAY,
        element_type=DataType.VARCHAR,
        max_capacity=MAX_FOLDERS,
        max_length=MAX_BYTES,
    )
    schema.add_field("shape", DataType.VARCHAR, max_length=16)
    schema.add_field("pixels", DataType.INT64)
    schema.add_field("day", DataType.VARCHAR, max_length=16)
    for aspect, width in widths.items():
        schema.add_field(aspect, DataType.FLOAT_VECTOR, dim=width)
    return {
        "schema": schema,
        # A writer sees what it has written, and a reader waits for nobody.
        "consistency_level": "Session",
        "properties": {"lookalike": stamp},  # Milvus Lite drops descriptions
    }


def row_of(picture: Described, widths: Mapping[Aspect, int]) -> dict[str, Any]:
    """Return a picture as it is sent there; an aspect that it lacks is zeros."""
    folders = [str(folder) for folder in PurePosixPath(picture.path).parents][-2::-1]
    row: dict[str, Any] = {
        "id": picture.id,
        "label": _bounded(picture.label),
        "folders": [_bounded(folder) for folder in folders[:MAX_FOLDERS]],
        "shape": shape_of(picture.width, picture.height),
        "pixels": picture.width * picture.height,
        "day": (picture.taken or "")[:10],
    }
    for aspect, width in widths.items():
        vector = picture.vectors.get(aspect)
        row[aspect] = np.zeros(width, np.float32) if vector is None else vector
    return row


def condition_of(filters: Filters) -> str:
    """Return the filters, but for the words, as an expression of Milvus; "" for none."""
    terms = []
    if filters.label:
        labels = [_quoted(_bounded(label)) for label in spellings(filters.label)]
        terms.append(_any(f"label == {label}" for label in labels))
    if filters.folder:
        folders = [_quoted(_bounded(folder)) for folder in spellings(filters.folder)]
        terms.append(_any(f"array_contains(folders, {folder})" for folder in folders))
    if filters.shape:
        terms.append(f"shape == {_quoted(filters.shape)}")
    if filters.megapixels:
        terms.append(f"pixels >= {filters.megapixels * 1e6:.0f}")
    if filters.since:
        terms.append(f"day >= {_quoted(filters.since)}")
    if filters.until:
        terms.append(f'day != "" and day <= {_quoted(end_of(filters.until))}')
    return " and ".join(terms)


def shape_of(width: int, height: int) -> str:
    """Return which of `retrieval.query.SHAPES` a picture has, as `retrieval.filtering` says it."""
    if width > 1.1 * height:
        return "landscape"
    return "portrait" if height > 1.1 * width else "square"


def _any(terms: Iterable[str]) -> str:
    return f"({' or '.join(terms)})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _bounded(text: str) -> str:
    return text.encode()[:MAX_BYTES].decode(errors="ignore")
