"""How a collection names a picture, and what such a name says."""

from pathlib import Path, PurePath

from retrieval.errors import LookalikeError
from retrieval.files import composed

NOT_TEXT = "The file's name is not valid text. Rename it."


def name_of(path: Path, root: Path) -> str:
    """Return the name by which a collection knows a picture below `root`."""
    try:
        return as_text(path.relative_to(root).as_posix())
    except ValueError:
        return as_text(path.as_posix())


def as_text(name: str) -> str:
    """Replace what no database or page can hold: bytes of a name that are no text."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def require_text(folder: Path, name: str) -> None:
    """Refuse a folder to be searched, and a collection's name, with bytes that are no text.

    Raises:
        LookalikeError: when there are any.
    """
    if as_text(str(folder)) != str(folder):
        raise LookalikeError("The folder's name is not valid text. Rename it.")
    if as_text(name) != name:
        raise LookalikeError("That name is not valid text. Choose another one.")


def label_of(path: str) -> str:
    """Return the label that a relative path gives: its first folder, or "" outside of any.

    As people type it: one kind is one label, however the disk that it comes from spells accents.
    """
    folder, slash, _ = path.partition("/")
    return composed(folder) if slash else ""


def is_below(name: str, folder: str) -> bool:
    """Whether a picture lies in a folder or deeper, "." being that of all."""
    return folder == "." or name.startswith(folder + "/")


def called(root: PurePath) -> str:
    """Return what people call a folder; on Windows a whole drive, which has no name, by itself."""
    return root.name or root.anchor
