"""Coming to the search page by an address: a link, a reload, the browser's back and forward."""

from dataclasses import replace

from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.pages.asking import Address, Asked, Options, Part, Wish
from retrieval.pages.elements import warn
from retrieval.pages.parts import PartMaker
from retrieval.pages.query_changes import Change
from retrieval.pages.recent import RecentUploads
from retrieval.shelf import Shelf


class Visits:
    """Looks up what addresses name: collections, their pictures, and uploads that are kept."""

    def __init__(self, shelf: Shelf, parts: PartMaker, recent: RecentUploads) -> None:
        self._shelf = shelf
        self._parts = parts
        self._recent = recent

    def follow(self, address: Address, visitor: str, first: str = "") -> tuple[Change, Options]:
        """Return how the query becomes the one that an address asks for, and its options.

        What is not here any more is left out, with a warning. The change raises LookalikeError
        where no picture to be like is left.

        Args:
            first: the collection that is shown where it names none that is here; "" for all.
        """
        options = address.options
        keys = self._shelf.keys(visitor)
        is_gone = bool(options.choice) and options.choice not in keys
        if is_gone and len(keys) == 1:  # the address is to name what is shown instead
            first = keys[0]
        if options.choice not in keys:
            options = replace(options, choice=first)
        wishes = [wish for wish in address.parts if not wish.placed or wish.placed[0] in keys]
        if not any(wish.wanted for wish in wishes) and len(wishes) < len(address.parts):
            is_gone, wishes = True, []  # nothing is left to search with
        elif not is_gone:
            wishes = list(address.parts)  # those that are missing are counted
        if is_gone and keys:
            names = self._shelf.names(visitor)
            only = next(iter(names.values())) if len(names) == 1 else words.ALL_COLLECTIONS
            name = names.get(options.choice, only)
            warn(LookalikeError(words.LINK_GONE.format(name=name)))

        def part_of(wish: Wish, asked: Asked) -> Part:
            if wish.placed:
                return self._parts.of_picture(wish.placed, wish.wanted, visitor)
            kept = next((u for u in asked.uploads if u.token == wish.token), None)
            kept = kept or self._recent.find(visitor, wish.token)
            if kept is None:
                raise LookalikeError(words.NO_UPLOAD)
            kept = replace(kept, previewed=False)
            return self._parts.cropped(kept, wish.quarters, wish.crop, options.cleaning)

        def visit(asked: Asked) -> Asked:
            parts, missing = [], []
            for wish in wishes:
                try:
                    parts.append(part_of(wish, asked))
                except LookalikeError as error:
                    missing.append(error)
            if missing and not any(part.wanted for part in parts):
                raise missing[0]
            if missing:
                warn(LookalikeError(words.searched_without(len(missing))))
            for part in parts:
                asked = asked.keeping(part)
            return replace(asked, parts=tuple(parts), arrived=True)

        return visit, options
