"""The page itself, compressed on its way: over a link it is what a visitor waits for."""

import re

from starlette.middleware.gzip import GZipMiddleware

from retrieval.pages.asgi import Asgi, Message, Receive, Send, header_of, path_of
from retrieval.pages.gate import PAGE

# Of weight 0 is what a program does not take (RFC 9110, 12.4.2).
REFUSED = re.compile(r"\bgzip\s*;\s*q=0(\.0*)?\s*(,|$)", re.IGNORECASE)
LEVEL = 5  # 63 KB of 317; 9 saves another 2 and takes twice the time


class Compressed:
    """Compresses the page for browsers that take it so; plain ASGI: streams stay streams."""

    def __init__(self, app: Asgi) -> None:
        self._plain = app
        self._compressed = GZipMiddleware(app, compresslevel=LEVEL)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, and the answer back."""
        # Gradio sends its scripts so already; pictures and packed collections would only take time.
        is_page = scope["type"] == "http" and PAGE.fullmatch(path_of(scope))
        # Starlette looks for the word alone.
        wanted = is_page and not REFUSED.search(header_of(scope, b"accept-encoding"))
        await (self._compressed if wanted else self._plain)(scope, receive, send)
