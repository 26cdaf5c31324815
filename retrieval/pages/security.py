"""What browsers are told to keep the page safe: headers of every answer."""

from retrieval import settings
from retrieval.pages.asgi import Asgi, Message, Receive, Send

# Who may show the page in a frame, and so have people click there unawares: nobody else, except
# that on a Space it is shown in one of Hugging Face's.
FRAMED_BY = "'self' https://huggingface.co https://*.hf.space" if settings.ON_A_SPACE else "'self'"
# 'unsafe-eval' and 'unsafe-inline' are what Gradio's own components need. The policy's worth lies
# in the rest: nothing is loaded from or sent to any other address.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        f"frame-ancestors {FRAMED_BY}",
    )
)
HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)


class SecurityHeaders:
    """Adds our headers to every answer; plain ASGI, so that streams stay streams."""

    def __init__(self, app: Asgi) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, and the answer back with the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self.app(scope, receive, send_with_headers)
