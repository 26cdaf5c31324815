"""The page itself, compressed on its way: over a link it is what a visitor waits for."""

from starlette.middleware.gzip import GZipMiddleware

from retrieval.pages.asgi import Asgi, Message, Receive, Send, path_of
from retrieval.pages.gate import PAGE

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
        await (self._compressed if is_page else self._plain)(scope, receive, send)
