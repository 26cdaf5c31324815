"""The pages that are open: which belongs to whom, and how many there may be.

Gradio tells pages apart by a word that the browser thinks up, which whoever learns it may use too.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from retrieval import settings
from retrieval.pages.counting import counted


class OpenPages:
    """Which page belongs to whom: to the browser that first used its name.

    Gradio keeps what so many pages are doing, of all visitors: one who opens page after page gives
    up their own in turn, and takes no place from others.
    """

    def __init__(
        self,
        forget: Callable[[str], None] = lambda session: None,
        of_visitor: int = settings.PAGES_OF_VISITOR,
        of_address: int = settings.PAGES_AT_ONE_ADDRESS,
        most: int = 100_000,
    ) -> None:
        """Remember no page yet.

        Args:
            forget: is told of pages that have to give way.
            of_visitor, of_address, most: pages that are remembered; those that were closed go
                first, and then those unused for longest.
        """
        self._forget = forget
        self._of_visitor = of_visitor
        self._of_address = of_address
        self._most = most
        self._owners: OrderedDict[str, tuple[str, str]] = OrderedDict()  # visitor, address
        self._pages: dict[tuple[str, bool], OrderedDict[str, None]] = {}  # of each of these
        self._open: Counter[str] = Counter()

    def admits(self, session: str, visitor: str, address: str = "") -> bool:
        """Whether a visitor may use the page of this name.

        Args:
            address: the visitor's own in the network; "" where it is not known.
        """
        known, known_address = self._owners.setdefault(session, (visitor, address))
        if known != visitor:
            return False
        self._owners.move_to_end(session)
        for group, most in self._groups(visitor, known_address):
            pages = self._pages.setdefault(group, OrderedDict())
            pages[session] = None
            pages.move_to_end(session)
            if len(pages) > most:
                self._drop(next(iter(pages)))
        if len(self._owners) > self._most:
            self._drop(next(iter(self._owners)))
        return True

    @contextmanager
    def held_open(self, session: str) -> Iterator[Callable[[], None]]:
        """Count a page as open until the block ends; closed, it gives way before all others.

        What is yielded says, when it is called, that it stays open all the same.
        """
        stays = False

        def stay() -> None:
            nonlocal stays
            stays = True

        # A network that is changed opens it anew before it is seen that the old connection is lost.
        try:
            with counted(self._open, session):
                yield stay
        finally:
            if not stays and session not in self._open:
                self._close(session)

    def _close(self, session: str) -> None:
        if session not in self._owners:
            return
        self._owners.move_to_end(session, last=False)
        for group, _ in self._groups(*self._owners[session]):
            self._pages[group].move_to_end(session, last=False)

    def _groups(self, visitor: str, address: str) -> list[tuple[tuple[str, bool], int]]:
        """Return whose a page is, and how many such pages there may be."""
        groups = [((visitor, True), self._of_visitor)] if visitor else []
        if address or not visitor:  # programs without a cookie, behind a proxy, are one
            groups.append(((address, False), self._of_address))
        return groups

    def _drop(self, session: str) -> None:
        for group, _ in self._groups(*self._owners.pop(session)):
            pages = self._pages[group]
            pages.pop(session, None)
            if not pages:
                del self._pages[group]
        self._forget(session)
