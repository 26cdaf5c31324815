"""What the tab "My pictures" shows: a card for each collection, and what lies open in one."""

import time
from contextlib import suppress

from retrieval.errors import LookalikeError
from retrieval.pages import cards_markup, library_markup, opened_markup, words
from retrieval.pages.adding import Adding
from retrieval.pages.desk import Opened
from retrieval.visitors import Visitors
from retrieval.workspace import Workspace


class LibraryView:
    """Lays out the collections of a workspace as a visitor sees them, or the owner."""

    def __init__(self, workspace: Workspace, visitors: Visitors, adding: Adding) -> None:
        self._workspace = workspace
        self._shelf = workspace.shelf
        self._visitors = visitors
        self._adding = adding

    def lay_out(self, opened: Opened, visitor: str, owner: bool) -> tuple[str, bool]:
        """Return the cards and what there is to say about them, and whether any is at work.

        Args:
            opened: what lies open on the page of the visitor, who may be the owner.
        """
        now = time.monotonic()
        self._shelf.withdraw_damaged()  # damage that a search has met, say
        keys = self._shelf.keys(visitor)
        shown: list[cards_markup.Card] = []
        cards: list[str] = []
        for key in keys:
            try:
                card = self._card(key, opened, visitor, owner)
                cards.append(cards_markup.card(card, now, self._inside(opened, card)))
                shown.append(card)
            except LookalikeError as error:  # damaged, or deleted at this very moment
                self._shelf.withdraw_damaged()
                if key in self._shelf.keys(visitor):
                    cards.append(cards_markup.refused_card(key, str(error), owner))
        bin_, hidden = [], ""  # but for what the notice is about
        if owner:
            for key, sentence in sorted(self._shelf.refused.items()):
                mendable = key in self._shelf.damaged
                cards.append(cards_markup.refused_card(key, sentence, True, mendable))
            bin_ = [item for item in self._workspace.bin() if item[0] != opened.deleted]
            hidden = self._shelf.hidden if opened.deleted != library_markup.HIDDEN else ""
        own = any(map(self._shelf.is_private, keys))
        hint = "" if owner else words.OTHERS_HINT if own else words.NO_PASSWORD_HINT
        said_inside = any(card.view == "pictures" for card in shown)
        notices = [] if said_inside else [opened.passing, opened.notice]
        asked = opened.key if opened.view == "empty" else ""
        with_photos = False
        if asked:
            with suppress(LookalikeError):  # emptied in another window
                with_photos = self._workspace.has_photos_in_bin(asked)
        whole = library_markup.library(notices, cards, hint, bin_, asked, with_photos, hidden)
        return whole, any(card.at_work for card in shown)

    def _card(self, key: str, opened: Opened, visitor: str, owner: bool) -> cards_markup.Card:
        collection = self._shelf.searcher(key, visitor).collection
        editable = self._shelf.may_edit(key, visitor, owner)
        return cards_markup.Card(
            key,
            collection,
            self._workspace.building(key),
            editable,
            hideable=owner and collection.read_only and key == self._shelf.hideable,
            hours_left=self._visitors.hours_left(key) if self._shelf.is_private(key) else None,
            taking=self._adding.is_taking(key),
            view=opened.view if opened.key == key and editable else "",
            # A table's name may be nobody else's business.
            added=self._adding.added(key) if editable else 0,
            captioned=self._adding.captioned(key) if editable else "",
        )

    def _inside(self, opened: Opened, card: cards_markup.Card) -> str:
        """Lay out what lies open in a card; "" for nothing."""
        collection, key = card.collection, card.key
        if card.view == "rename":
            return opened_markup.rename_form(key, collection.name, opened.inside)
        if card.view == "delete":
            return opened_markup.delete_for_good(key)
        if card.view == "problems":
            return opened_markup.problems(key, collection.listing.problems())
        if card.view == "download":
            return opened_markup.download(key, collection.root is not None)
        if card.view == "pictures":
            total = collection.listing.count()[0]
            # The last page may have been emptied.
            start = min(
                opened.start, max(0, total - 1) // opened_markup.PER_PAGE * opened_markup.PER_PAGE
            )
            page = collection.listing.page(start, opened_markup.PER_PAGE)
            alone = len(page) - len(self._workspace.undoable(key, (p.path for p in page)))
            said = opened.passing + opened.notice
            return opened_markup.pictures(key, page, start, total, alone, said)
        return opened.inside if card.view == "changes" else ""
