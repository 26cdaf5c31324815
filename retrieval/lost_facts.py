"""What a collection should say of itself: which facts are lost, and whose model its vectors are."""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path

import numpy as np

from retrieval.collection import model_facts
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError, PictureError
from retrieval.exact import ZEROS
from retrieval.indexing import Bounds, compute, decode
from retrieval.model import ModelCard
from retrieval.records import Entry
from retrieval.schema import COLUMNS
from retrieval.thumbnails import read_photo

MODEL_FACTS = ("fingerprint", "embedder", "dimension", "card")
NUMBERS = ("format_version", "revision", "dimension")
FACTS = ("name", "root", *MODEL_FACTS, "format_version", "revision")
LEFT = "left_places"  # where moves came from, if there were any
UNNAMED = "a model whose name is lost"
ALIKE = 0.95  # cosine; what one model makes of a photo on two machines is as like as 0.99 or more
COMPARED = 3  # photos that are computed anew to know whose the vectors are
LOOKED_FOR = 1_000  # pictures of which a photo is looked for, at most


class NothingReadError(LookalikeError):
    """Neither pictures nor where their photos are can be read."""


def lacking_facts(facts: Mapping[str, object]) -> list[str]:
    """Return the facts that should be there, and are not or say nothing."""
    lacking = [fact for fact in FACTS if not _says_something(fact, facts.get(fact))]
    return lacking if _are_places(facts.get(LEFT, "[]")) else [*lacking, LEFT]


def _are_places(value: object) -> bool:
    """Whether this is what `retrieval.moving` notes of places: address and name, or None, each."""
    with suppress(ValueError, TypeError):
        return all(
            place is None or [type(part) for part in place] == [str, str]
            for place in json.loads(str(value))
        )
    return False


def _says_something(fact: str, value: object) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    if fact == "card":
        with suppress(ValueError):
            return isinstance(json.loads(value), dict)
        return False
    return fact not in NUMBERS or (value.isascii() and value.isdigit())


def width_of(database: sqlite3.Connection) -> int:
    """Return how many numbers more than half of the vectors have; 0 where there are none such."""
    # Counted here, since SQLite would sort the vectors themselves for it.
    lengths = Counter(
        length
        for (length,) in database.execute(
            f"SELECT length(embedding) FROM contents WHERE length(embedding) > 0 AND NOT {ZEROS}"
        )
    )
    length, frequency = max(lengths.items(), key=itemgetter(1), default=(0, 0))
    return length // 4 if 2 * frequency > lengths.total() and length % 4 == 0 else 0


def tell_model(
    facts: dict[str, str],
    new: sqlite3.Connection,
    folder: Path,
    embedder: Callable[[], Embedder] | None,
) -> bool:
    """Put what is lost of what was noted of the model into `facts`.

    Vectors that are not of that model are dropped, and read again as all that is lost; the pictures
    stay.

    Returns:
        Whether nothing but the width of the vectors says that they are of that model.
    """
    if facts.keys() >= set(MODEL_FACTS):
        return False
    width, model = width_of(new), embedder() if embedder else None
    if "fingerprint" in facts and (model is None or facts["fingerprint"] != model.fingerprint):
        # Of another model, which could be opened to say more.
        facts.update({"embedder": UNNAMED, "dimension": str(width), "card": "{}"} | facts)
        return False
    if model is None:
        raise NothingReadError
    doubtful = False
    if "fingerprint" not in facts:
        fits = _may_be_of(facts, width, model)
        same = _makes_the_same(model, new, folder / facts["root"]) if fits else False
        if same is False:
            new.execute("UPDATE contents SET embedding = x'', texture = x''")
            facts.pop("milvus", None)
        doubtful = same is None and width > 0 and not {"card", "embedder"} & facts.keys()
    facts.update(model_facts(model))
    return doubtful


def _may_be_of(facts: Mapping[str, str], width: int, model: Embedder) -> bool:
    """Whether vectors of so many numbers may be of a model, by what is left of the facts."""
    card = facts.get("card")
    return (
        width in (0, model.dimension)
        and card_fingerprint(card or json.dumps(model.card.to_metadata())) == model.card.fingerprint
        # Earlier versions said less at its end.
        and (card is not None or model.describe().startswith(facts.get("embedder", "")))
    )


def _makes_the_same(model: Embedder, new: sqlite3.Connection, root: Path) -> bool | None:
    """Whether a model makes the vectors that are kept of photos that are here, by a few of them.

    None where none can be read.
    """
    query = (
        "SELECT path, sha256, embedding FROM pictures JOIN contents ON content = contents.id "
        f"WHERE length(embedding) = ? AND NOT {ZEROS} LIMIT {LOOKED_FOR}"
    )
    compared = 0
    for path, sha256, embedding in new.execute(query, (4 * model.dimension,)):
        data = read_photo(root, path)
        if hashlib.sha256(data).hexdigest() != sha256:
            continue
        with suppress(PictureError, MemoryError):
            _, made = compute([decode(Entry(path, 0, 0, "", sha256), data, model, Bounds())], model)
            kept = np.frombuffer(embedding, COLUMNS["subject"][1])
            # One that is torn may be of any length.
            if any(ALIKE < float(content.embedding @ kept) < 1 / ALIKE for content in made):
                return True
            compared += len(made)
        if compared == COMPARED:
            break
    return False if compared else None


def card_fingerprint(card: str) -> str:
    """Return the fingerprint of the model that a card is of; "" where it does not say."""
    try:
        return ModelCard.from_metadata(json.loads(card)).fingerprint
    except (LookalikeError, TypeError):
        return ""
