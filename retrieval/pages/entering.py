"""The address at which the password is given: Gradio's own answers bring no cookie along."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.pages.sessions import cookie_of_ours
from retrieval.pages.transfers import HEADER, body_of, refusal_response

MOST = 10_000  # bytes of a password
KEPT = 365 * 24 * 3600  # seconds, for which a browser is known for one of the owner's


def password_route(access: Access) -> Route:
    """Take the password: the body of a `POST password`. When right, the answer has no body.

    It brings the cookie that alone makes its browser the owner's, and is new each time; and another
    by which the browser is known the next time that the password is given there.
    """

    async def enter(request: Request) -> Response:
        if HEADER not in request.headers:
            return refusal_response(words.RELOAD, 403)
        try:
            typed = (await body_of(request, MOST)).decode("utf-8", "replace")
            right = await run_in_threadpool(access.enter, request, typed)
        except ValueError:
            return refusal_response(words.PASSWORD_WRONG, 403)
        except LookalikeError as error:
            return refusal_response(str(error), 429)
        if not right:
            return refusal_response(words.PASSWORD_WRONG, 403)
        device = await run_in_threadpool(access.make_device)
        answer = Response(status_code=204)
        for cookie in (
            cookie_of_ours(request.scope, f"owner={right}"),
            cookie_of_ours(request.scope, f"device={device}", KEPT),
        ):
            answer.headers.append("set-cookie", cookie)
        return answer

    return Route("/password", enter, methods=["POST"])
