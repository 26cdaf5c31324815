"""Pictures that are taken out of a collection and let in again: their records, and their photos.

Where the photos lie meanwhile, and for how long, is the affair of `retrieval.removed`.
"""

import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress

from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.errors import BusyError, LookalikeError
from retrieval.removed import bring_back, forget_old, still_here, take_away
from retrieval.schema import REMOVED
from retrieval.thumbnails import folder_of_photos

# Of one photo, and of several.
GONE = (
    "1 of the photos is not here any more, since what is taken out is kept for a day. Add it "
    "again.",
    "{n} of the photos are not here any more, since what is taken out is kept for a day. Add them "
    "again.",
)
GONE_FROM_FOLDER = (
    "1 of the photos is in the folder no more. Put it there again, and press “Look for changes”.",
    "{n} of the photos are in the folder no more. Put them there again, and press “Look for "
    "changes”.",
)
HELD = (
    "1 of the photos cannot be moved back. Close other programs that use it, and try again.",
    "{n} of the photos cannot be moved back. Close other programs that use them, and try again.",
)


class NotAllBackError(LookalikeError):
    """Some pictures were let in again, and the photos of others are gone."""

    def __init__(self, sentence: str, back: list[str]) -> None:
        super().__init__(sentence)
        self.back = back  # the paths of those that were, as `let_in` was told them


class Removals:
    """Takes pictures out and lets them in; safe to use from several threads."""

    def __init__(self) -> None:
        self._moving = threading.Lock()  # while photos are taken out, let in, or forgotten

    def take_out(self, collection: Collection, ids: Iterable[int]) -> list[str]:
        """Take pictures out of a collection; return their paths, by which `let_in` undoes it.

        In a folder that is searched in place the files stay, and are passed over from now on.
        """
        paths = [picture.path for picture in collection.listing.pictures(ids)]
        with self._moving:
            collection.exclude(paths)
            if collection.root is None:
                # Few of them come back. Not under a run that counts on them: it prunes when it
                # ends.
                with suppress(BusyError), collection.building():
                    collection.prune()
            elif collection.keeps_originals:
                take_away(collection.folder, collection.root, paths)
        return paths

    def let_in(self, collection: Collection, paths: Iterable[str], as_now: bool = False) -> None:
        """Undo `take_out`; building brings the pictures back.

        Args:
            as_now: whether these are the paths at which they are passed over now, and not those at
                which they were taken out.

        Raises:
            NotAllBackError: when some of the photos are gone; the others are let in.
            LookalikeError: when all are, or some cannot be moved just now; the others are let in.
        """
        paths = list(paths)
        now = paths if as_now else collection.excluded.now(paths)
        gone: list[str] = []
        held: list[str] = []
        if collection.in_place and not as_now:
            now, gone = _find(collection, paths, now)
        with self._moving:
            if collection.keeps_originals and collection.root is not None:
                excluded = collection.excluded.paths()
                gone, held = bring_back(collection.folder, collection.root, now, excluded)
            collection.excluded.readmit(set(now) - set(held))
        if not gone and not held:
            return
        left = {*gone, *held}
        back = [path for path, place in zip(paths, now, strict=True) if place not in left]
        if back:
            collection.mark_unfinished(True)  # so that the page offers to read the others
        sentences = []
        if gone:
            sentence = GONE_FROM_FOLDER if collection.in_place else GONE
            sentences.append(_say(sentence, len(gone)))
        if held:
            sentences.append(_say(HELD, len(held)))
        if back and not held:
            raise NotAllBackError(" ".join(sentences), back)
        raise LookalikeError(" ".join(sentences))

    def forget_old(self, collection: Collection, older_than: float) -> None:
        """Delete for good the photos that were taken out more than so many seconds ago.

        One that is damaged, which is said where it is used, is passed over.
        """
        folder = collection.folder
        if not (folder / REMOVED).is_dir():
            return
        with suppress(LookalikeError, OSError), self._moving:
            root = collection.root
            if collection.keeps_originals and root is not None:
                collection.excluded.readmit(
                    forget_old(folder, root, collection.excluded.paths(), older_than)
                )


def _find(
    collection: Collection, paths: Sequence[str], now: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Look where in its folder lies what was taken out of a collection that is searched in place.

    All of the folder is looked through only where something is not where it was.

    Args:
        paths, now: where it was taken out, and where it is passed over.

    Returns:
        Where each is now, and of which of these there is no file.
    """
    root = collection.root
    if root is None or not root.is_dir():  # it comes as soon as its disk is there
        return list(now), []
    if not all(os.path.isfile(root / path) for path in now):
        try:
            find_changes(collection, root)  # which notes what has moved
        except (LookalikeError, OSError):  # as is told by the look that reads them again
            return list(now), []
        now = collection.excluded.now(paths)
    return list(now), [path for path in now if not os.path.isfile(root / path)]


def _say(sentences: tuple[str, str], n: int) -> str:
    return sentences[n > 1].format(n=f"{n:,}")


def undoable(collection: Collection, paths: Iterable[str]) -> list[str]:
    """Return those of some pictures that `let_in` brings back when they have been taken out.

    In a folder that is searched in place all do, as soon as their disk is there.
    """
    if collection.in_place:
        return list(paths)
    return still_here(collection.folder, folder_of_photos(collection), paths)
