"""Pictures that are taken out of a collection and let in again: their records, and their photos.

Where the photos lie meanwhile, and for how long, is the affair of `retrieval.removed`.
"""

import threading
from collections.abc import Iterable
from contextlib import suppress

from retrieval.collection import Collection
from retrieval.errors import BusyError, LookalikeError
from retrieval.removed import bring_back, forget_old, still_here, take_away
from retrieval.schema import REMOVED
from retrieval.thumbnails import folder_of_photos


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
            LookalikeError: when some of the photos cannot be brought back; the others are let in.
        """
        paths = list(paths) if as_now else collection.excluded.now(paths)
        gone: list[str] = []
        held: list[str] = []
        with self._moving:
            if collection.keeps_originals and collection.root is not None:
                excluded = collection.excluded.paths()
                gone, held = bring_back(collection.folder, collection.root, paths, excluded)
            collection.excluded.readmit(set(paths) - set(held))
        if not gone and not held:
            return
        if len(gone) + len(held) < len(paths):
            collection.mark_unfinished(True)  # so that the page offers to read the others
        sentences = []
        if gone:
            sentences.append(
                f"{len(gone):,} of the photos are not here any more, since what is taken out is "
                "kept for a day. Add them again."
            )
        if held:
            sentences.append(
                f"{len(held):,} of the photos cannot be moved back. Close other programs that use "
                "them, and try again."
            )
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


def undoable(collection: Collection, paths: Iterable[str]) -> list[str]:
    """Return those of some pictures that `let_in` brings back when they have been taken out.

    In a folder that is searched in place all do, as soon as their disk is there.
    """
    if collection.in_place:
        return list(paths)
    return still_here(collection.folder, folder_of_photos(collection), paths)
