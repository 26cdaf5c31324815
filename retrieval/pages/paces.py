"""How often each visitor may ask for what, and who is told to wait."""

import math

from starlette.requests import Request

from retrieval import settings
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.pages.asgi import Message
from retrieval.pages.markup import duration
from retrieval.pages.pace import Pace
from retrieval.pages.refusing import RefusedError
from retrieval.pages.sessions import known_since, own_address_of, visitor_of_scope


class Paces:
    """What visitors have asked for lately, of each kind."""

    def __init__(self, access: Access) -> None:
        """Hold everybody but the owner to these."""
        self._access = access
        self.requests = Pace(settings.VISITOR_REQUESTS)
        self.requests_of_address = Pace(settings.ADDRESS_REQUESTS)
        self.downloads = Pace(settings.VISITOR_DOWNLOADS)
        self.openings = Pace(settings.VISITOR_REQUESTS)
        self.first_openings = Pace(settings.FIRST_OPENINGS)

    def keep_requests(self, scope: Message) -> None:
        """Refuse a visitor, or a network address, of which too much is asked for.

        Raises:
            RefusedError: when it is one request too many.
        """
        self.keep(scope, visitor_of_scope(scope), self.requests)
        # Of one address, or from behind one proxy, visitors may be made up without end.
        if own_address_of(Request(scope)) or not known_since(scope):
            self.keep(scope, "", self.requests_of_address, words.BUSY)

    def keep_downloads(self, scope: Message) -> None:
        """Refuse a visitor who downloads too much that is long in the making.

        Raises:
            RefusedError: when it is one too many.
        """
        # Behind a proxy all have its address, so there their cookies have to tell.
        own = own_address_of(Request(scope))
        self.keep(scope, "" if own else visitor_of_scope(scope), self.downloads)

    def keep_openings(self, scope: Message) -> None:
        """Refuse a visitor who opens the page too often.

        Raises:
            RefusedError: when it is once too many.
        """
        own, visitor = own_address_of(Request(scope)), visitor_of_scope(scope)
        if own or visitor:
            self.keep(scope, "" if own else visitor, self.openings)
        if not own and not known_since(scope):  # anybody's first, or made up
            self.keep(scope, "", self.first_openings, words.BUSY)

    def keep(
        self, scope: Message, visitor: str, pace: Pace, sentence: str = words.TOO_OFTEN
    ) -> None:
        """Refuse a visitor who asks too often; the owner may ask as often as they like.

        Args:
            visitor: "" where all of a network address count as one.
            pace: one of these.
            sentence: what they are told.

        Raises:
            RefusedError: when it is one request too many.
        """
        request = Request(scope)
        if self._access.is_owner(request):
            return
        # Who has no cookie is known by the address: a program, or a browser that refuses them.
        # Cookies can be made up, so what holds in any case is the bound of the queue, and of what
        # an address may fetch.
        address = own_address_of(request) or (request.client.host if request.client else "")
        seconds = pace.seconds_to_wait(visitor or f"at {address}")
        if seconds:
            raise RefusedError(sentence.format(time=duration(math.ceil(seconds))), 429)
