"""What the buttons of "My pictures" do: collections are changed, deleted and brought back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from retrieval.errors import LookalikeError
from retrieval.pages import library_markup, opened_markup, words
from retrieval.pages.adding import Adding
from retrieval.pages.desk import Opened
from retrieval.pages.elements import number_of, refusal, told_by_a_page, warn
from retrieval.visitors import Visitors
from retrieval.workspace import Workspace


class LibraryActs:
    """Does what a button of a card says, for those who may, and says what lies open after it."""

    def __init__(self, workspace: Workspace, visitors: Visitors, adding: Adding) -> None:
        self._workspace = workspace
        self._shelf = workspace.shelf
        self._visitors = visitors
        self._adding = adding
        # For those who may change the collection; each gets what lies open, the collection's key,
        # what the button tells, and the visitor.
        self._of_editors: dict[str, Callable[[Opened, str, Any, str], Opened]] = {
            "cancel": self._cancel,
            "resume": self._resume,
            "look": self._look,
            "apply": self._apply,
            "readmit": self._look,
            "pictures": self._open,
            "page": self._open_page,
            "problems": self._open,
            "rename": self._open,
            "download": self._open,
            "name": self._name,
            "remove": self._remove,
            "unremove": self._unremove,
            "delete": self._delete,
            "delete-for-good": self._delete_for_good,
        }
        # For the owner alone; each gets the key, or the place in the bin, and the visitor.
        self._of_owner: dict[str, Callable[[str, str], Opened]] = {
            "undo": self._undo,
            "mend": self._mend,
            "hide": self._hide,
            "show": self._show,
            "empty": self._ask_to_empty,
            "empty-for-good": self._empty,
        }

    def do(self, opened: Opened, event: Any, visitor: str, owner: bool) -> Opened:
        """Do what a button says, or warn why not, and return what lies open after it.

        Args:
            opened: what lay open before.
            event: what the button tells: its `act`, the `key` that this is about, and more.
        """
        key, act = str(event.key or ""), str(event.act)
        opened = replace(opened, passing="")
        try:
            if act == "close":
                opened = opened.turned_to(Opened())
            elif act == "read":
                opened = replace(opened, notice="", passing="", removed=(), deleted="")
            elif act in self._of_owner:
                if not owner:
                    raise LookalikeError(words.NOT_YOURS)
                opened = self._of_owner[act](key, visitor)
            elif act in self._of_editors:
                self.require_editable(key, visitor, owner)
                opened = self._of_editors[act](opened, key, event, visitor)
        except LookalikeError as error:
            warn(error)
            # What the last look found is not so.
            if act in ("look", "readmit") and opened.view == "changes":
                opened = opened.turned_to(Opened())
        return opened

    def require_editable(self, key: str, visitor: str, owner: bool) -> None:
        """Refuse who may not change a collection, and everybody where it has ended.

        Raises:
            LookalikeError: when it has ended, or is not theirs to change.
        """
        self._shelf.require(key)
        if not self._shelf.may_edit(key, visitor, owner):
            raise LookalikeError(words.NOT_YOURS)

    # What the editors' do. Each returns what lies open afterwards, as the owner's do.

    def _cancel(self, opened: Opened, key: str, *_: Any) -> Opened:
        self._workspace.cancel(key)
        return opened

    def _resume(self, opened: Opened, key: str, _: Any, visitor: str) -> Opened:
        self._adding.build(key, visitor)
        return Opened()

    def _look(self, opened: Opened, key: str, event: Any, visitor: str) -> Opened:
        """Compare a collection with its folder; "readmit" also shows what was taken out as new."""
        collection = self._shelf.searcher(key, visitor).collection
        let_in = collection.excluded.paths() if event.act == "readmit" else set[str]()
        changes = self._workspace.look(key, let_in)
        inside = opened_markup.changes(key, changes, collection.root or Path())
        return Opened(key, "changes", changes=changes, inside=inside)

    def _apply(self, opened: Opened, key: str, _: Any, visitor: str) -> Opened:
        if self._is_at_work(key):  # pressed twice
            return Opened()
        if opened.key != key or opened.changes is None:
            raise LookalikeError(words.CHANGES_FORGOTTEN)
        self._adding.build(key, visitor, opened.changes)
        return Opened()

    def _open(self, opened: Opened, key: str, event: Any, _: str) -> Opened:
        # The same button closes what it has opened.
        view = str(event.act)
        return Opened() if (opened.key, opened.view) == (key, view) else Opened(key, view)

    def _open_page(self, opened: Opened, key: str, event: Any, _: str) -> Opened:
        return replace(opened, key=key, view="pictures", start=max(0, number_of(event.start)))

    def _name(self, opened: Opened, key: str, event: Any, _: str) -> Opened:
        try:
            self._workspace.rename(key, str(event.value))
        except LookalikeError as error:
            self._shelf.require(key)
            return opened.turned_to(Opened(key, "rename", inside=refusal(error)))
        return Opened()

    def _remove(self, opened: Opened, key: str, event: Any, visitor: str) -> Opened:
        with told_by_a_page():
            ids = [number_of(id_) for id_ in list(event.ids)[: opened_markup.MOST_MARKED]]
        if not ids:
            raise LookalikeError(words.NOTHING_MARKED)
        paths = self._adding.take_out(key, ids)
        if not paths:  # taken out in another window
            raise LookalikeError(words.REMOVED_BEFORE)
        collection = self._shelf.searcher(key, visitor).collection
        back = self._workspace.undoable(key, paths)
        hint = words.REMOVED_HINT if collection.in_place else ""
        if len(back) < len(paths):
            hint = words.removed_for_good(len(paths) - len(back), len(paths))
        notice = library_markup.notice(
            words.REMOVED.format(pictures=words.pictures(len(paths)), name=collection.name),
            hint,
            library_markup.readmit_button(key) if back else "",
        )
        return replace(opened, notice=notice, removed=tuple(back))

    def _unremove(self, opened: Opened, key: str, _: Any, visitor: str) -> Opened:
        if not opened.removed and self._is_at_work(key):  # pressed twice
            return opened
        if not opened.removed:
            raise LookalikeError(words.REMOVED_FORGOTTEN)
        returned = self._adding.bring_back(key, opened.removed, visitor)
        if returned.why_not:
            warn(returned.why_not)
        if not returned.is_there:
            return Opened()
        name = self._shelf.searcher(key, visitor).collection.name
        notice = library_markup.notice(words.came_back(len(returned.paths), name))
        return replace(opened, notice="", passing=notice, removed=())

    def _delete(self, opened: Opened, key: str, _: Any, visitor: str) -> Opened:
        if self._shelf.is_private(key):
            return Opened(key, "delete")  # there is no bin for these, so it is asked once more
        name, hint = key, words.DELETED_HINT
        if key not in self._shelf.refused:
            collection = self._shelf.searcher(key).collection
            name = collection.name
            hint = words.DELETED_IN_PLACE_HINT if collection.in_place else hint
        place = self._workspace.delete(key)
        button = library_markup.undo_button(place)
        return Opened(
            notice=library_markup.notice(words.DELETED.format(name=name), hint, button),
            deleted=place,
        )

    def _delete_for_good(self, opened: Opened, key: str, _: Any, visitor: str) -> Opened:
        if not self._shelf.is_private(key):
            return opened
        name = self._shelf.searcher(key, visitor).collection.name
        self._visitors.delete(key)
        return Opened(passing=library_markup.notice(words.DELETED_FOR_GOOD.format(name=name)))

    # What the owner's do.

    def _undo(self, place: str, _: str) -> Opened:
        self._workspace.undo(place)
        return Opened()

    def _ask_to_empty(self, place: str, _: str) -> Opened:
        return Opened(place, "empty")

    def _empty(self, place: str, _: str) -> Opened:
        """Delete for good what is in the bin."""
        name = dict(self._workspace.bin()).get(place, "")
        self._workspace.empty(place)
        return Opened(passing=library_markup.notice(words.DELETED_FOR_GOOD.format(name=name)))

    def _hide(self, key: str, _: str) -> Opened:
        """Show the collection that comes with the app no more."""
        if key != self._shelf.hideable:  # the last other one was just deleted
            raise LookalikeError(words.HIDDEN_ALONE)
        self._shelf.hide_shipped(True)
        text = words.HIDDEN.format(name=self._shelf.hidden)
        button = library_markup.show_button()
        return Opened(
            notice=library_markup.notice(text, words.HIDDEN_HINT, button),
            deleted=library_markup.HIDDEN,
        )

    def _show(self, *_: str) -> Opened:
        self._shelf.hide_shipped(False)
        return Opened()

    def _mend(self, key: str, visitor: str) -> Opened:
        hint = words.MENDED_RETURNING if self._workspace.mend(key) else ""
        self._adding.build(key, visitor)  # what was lost
        return Opened(notice=library_markup.notice(words.MENDED.format(name=key), hint))

    def _is_at_work(self, key: str) -> bool:
        state = self._workspace.building(key)
        return state is not None and not state.finished
