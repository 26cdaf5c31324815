"""Requests that go no further, and how they are answered: by a sentence and a status."""

import json

from retrieval.pages.asgi import Send, send_whole

PLAIN = b"text/plain; charset=utf-8"


class RefusedError(Exception):
    """The request goes no further."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


async def refuse(sentence: str, status: int, send: Send) -> None:
    """Answer with a sentence: Gradio's page shows the one field, its Python client the other."""
    body = json.dumps({"detail": sentence, "error": sentence}).encode()
    await send_whole(body, b"application/json", status, send)


async def refuse_plainly(sentence: str, status: int, send: Send) -> None:
    """Answer with the sentence alone: to a browser that shows it in place of a page, or an upload.

    Of an upload's answer Gradio's page shows all there is.
    """
    await send_whole(sentence.encode(), PLAIN, status, send)
