"""What requests say: read whole, within bounds, and without what Gradio would take for a file."""

import json
from typing import Any

from retrieval import settings
from retrieval.pages import words
from retrieval.pages.asgi import Receive
from retrieval.pages.refusing import RefusedError

MAX_DEPTH = 50  # lists in lists of a request; a page sends a few


async def whole_body(receive: Receive, most: int) -> bytes:
    """Return all that comes of a request.

    Raises:
        RefusedError: when it breaks off, or has more than so many bytes, or very many values.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(words.NO_REQUEST, 400)
        body += message.get("body", b"")
        if len(body) > most:
            raise RefusedError(words.LARGE_REQUEST, 413)
        if not message.get("more_body"):
            break
    # Text is read at once; nobody else is answered while a request of very many values is.
    if sum(map(body.count, b"[{,")) > settings.MAX_REQUEST_VALUES:
        raise RefusedError(words.NO_REQUEST, 400)
    return bytes(body)


def read_json(body: bytes) -> Any:
    """Return what JSON says.

    Raises:
        RefusedError: when it is none, or a number of very many digits, or very deep.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(words.NO_REQUEST, 400) from error


def as_json(value: Any) -> bytes:
    """Return what says a value.

    Half a sign of two, which JSON can say and no file, database or answer takes, becomes a "?".
    """
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def without(mark: str, value: Any, depth: int = 0) -> Any:
    """Take from whatever has a path the mark by which Gradio knows it for a file.

    Raises:
        RefusedError: when it is lists in lists, deeper than any page sends.
    """
    if depth > MAX_DEPTH:
        raise RefusedError(words.NO_REQUEST, 400)
    if isinstance(value, list):
        return [without(mark, item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {
            key: without(mark, item, depth + 1)
            for key, item in value.items()
            if not (key == mark and "path" in value)
        }
    return value
