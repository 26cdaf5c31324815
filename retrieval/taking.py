"""From an upload into a collection's folder: zips unpacked, known files left out, all moved in."""

import errno
import os
import posixpath
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from retrieval.collection import Collection
from retrieval.disk_names import free_name
from retrieval.errors import (
    COLLECTION_GONE,
    TOO_LONG,
    LookalikeError,
    explain_os_error,
    is_too_long,
)
from retrieval.files import composed, part_in, remove_tree, replace_file, sha256_of_file
from retrieval.folders import SUFFIXES, find_images, lies_passed_over
from retrieval.incoming import Tables
from retrieval.records import PASSING
from retrieval.removed import is_same, taken_out
from retrieval.settings import OWNER_BYTES
from retrieval.staging import Upload, require_room
from retrieval.zips import MAX_NAMED, ZipBounds, unpack

FOLDER_TAKEN = "A picture here has the name of its folder. Rename that folder, and add it again."
# What all zips of an upload may hold: 20 times the pictures that there is room for, since a Mac
# packs a hidden file with each; no fewer than a zip of some thousand photos has, of which the first
# are taken; and no more than twice what the owner may add.
MIN_ENTRIES, MAX_ENTRIES = 10_000, 100_000
# Pictures in zips that are unpacked beyond what there is room for, since some turn out damaged, or
# are there already.
SPARE_PICTURES = 100
NOT_UNPACKED = (
    "Too many beside it are damaged, or were there already. Make a zip of what was left out, and "
    "add that."
)
LEFT_OUT = "folder_left_out"  # the fact that says which folder below the first one is in no path


@dataclass
class Taken:
    """What an upload brought into a collection's folder."""

    files: int = 0  # pictures
    tables: int = 0  # CSV files
    known: int = 0  # pictures that were there already
    skipped: list[tuple[str, str]] = field(default_factory=list)  # name and sentence
    unnamed: int = 0  # files left out after so many that no more are named
    others: int = 0  # files that are no pictures

    @property
    def is_of_tables(self) -> bool:
        """Whether tables came, and nothing beside them, be they taken or left out."""
        if self.files or self.known or self.unnamed or self.others:
            return False
        left_out = [_is_table(PurePosixPath(name)) for name, _ in self.skipped]
        return all(left_out) and bool(left_out or self.tables)

    def skip(self, name: str, why: str) -> None:
        """Leave a file out."""
        if len(self.skipped) < MAX_NAMED:
            self.skipped.append((name, why))
        else:
            self.unnamed += 1


class _File(NamedTuple):
    """A picture or table of an upload."""

    path: PurePosixPath  # in its zip, or as it was sent
    place: Path  # where it lies now
    size: int | None  # in bytes; None when it was one too many of its zip, and was not unpacked
    batch: str  # its zip, or what came in none

    @property
    def is_table(self) -> bool:
        return _is_table(self.path)


def take_in(
    upload: Upload,
    collection: Collection,
    folder: Path,
    strip: bool,
    most: int,
    tables: Tables,
) -> Taken:
    """Unpack the zips of an upload and move its pictures into a collection's folder.

    Args:
        folder, strip: see `uploads.Uploads.take`.
        most: how many pictures are taken.
        tables: those of the folder, which say whether another one fits.

    Raises:
        LookalikeError: when the disk is full, or the collection has been deleted meanwhile.
    """
    staged = upload.folder / "files"
    taken = Taken(others=upload.others)
    for name, why in upload.left_out:
        taken.skip(name, why)
    known, below = collection.listing.files(), below_first(collection)
    files = list(_unpacked(upload, staged, most + _held(upload, folder, known), tables, taken))
    common = _common_folder(files)
    top = PurePosixPath(*common.parts[:1])
    if strip and not known and not below.parts and common != top:
        below = common.relative_to(top)
        collection.store.note({LEFT_OUT: str(below)})
    outer = top / below if top.parts else top
    strip = strip or _is_known(files, outer, known)
    unfinished = collection.unfinished
    intake = _Intake(upload, collection, folder, tables, most, known, _excluded(collection), taken)
    # What was not unpacked comes when it is known how many were taken; tables come last, since they
    # follow the pictures' names.
    files.sort(key=lambda file: (file.is_table, file.size is None, file.path, file.batch))
    try:
        for file in files:
            intake.take(without(file.path, outer) if strip else file.path, file)
    except OSError as error:
        raise explain_os_error(error, "What you sent") from error
    if not (taken.files or taken.tables):
        collection.mark_unfinished(unfinished)
    return taken


def below_first(collection: Collection) -> PurePosixPath:
    """Return what its paths leave out below the folder that a collection was made of, if any."""
    return PurePosixPath(collection.store.fact(LEFT_OUT, ""))


def without(path: PurePosixPath, outer: PurePosixPath) -> PurePosixPath:
    """Return a path without the folders that it shares with the way to another one."""
    shared = 0
    for part, other in zip(path.parts[:-1], outer.parts, strict=False):
        if part != other:
            break
        shared += 1
    return PurePosixPath(*path.parts[shared:]) if shared else path


def _held(upload: Upload, folder: Path, known: Mapping[str, tuple[int, int]]) -> int:
    """Return how many pictures of a collection may come again, which takes no room."""
    if upload.owner:  # these are many, and there is always room
        return len(known)
    unread = (path.relative_to(folder).as_posix() for path in find_images(folder))
    return len(known) + sum(name not in known for name in unread)


def _common_folder(files: Sequence[_File]) -> PurePosixPath:
    """Return the folder in which all lie, as deep as it can be.

    Where they all lie in the very same one, it is the first: the others may come to be kinds.
    """
    folders = {str(file.path.parent) for file in files}
    common = PurePosixPath(posixpath.commonpath(folders) if folders else "")
    return common if len(folders) > 1 else PurePosixPath(*common.parts[:1])


@dataclass
class _Intake:
    """An upload on its way into a collection's folder, one file after the other."""

    upload: Upload
    collection: Collection
    folder: Path
    tables: Tables
    most: int  # pictures that are taken
    known: Mapping[str, tuple[int, int]]  # see `Collection.files`
    excluded: Mapping[str, Path | None]  # see `_excluded`
    taken: Taken
    numbers: dict[Path, int] = field(default_factory=dict)  # see `free_name`
    made: set[Path] = field(default_factory=set)  # folders that are there
    # The pictures that are called otherwise here, of each zip, and of what came in none.
    renamed: dict[str, dict[str, str]] = field(default_factory=dict)

    def take(self, relative: PurePosixPath, file: _File) -> None:
        """Move a picture or a table in, or say why it is left out.

        Args:
            relative: where it is to lie in the folder, unless another one does.

        Raises:
            OSError: when the disk is full, say.
            LookalikeError: when the collection has been deleted meanwhile.
        """
        try:
            place = self._place(relative, file)
            if place is None:
                return
            if not (self.taken.files or self.taken.tables):  # also after a kill one can go on
                self.collection.mark_unfinished(True)
            name = relative.with_name(place.name).as_posix()
            if name in self.excluded:  # it was taken out before; now, whatever ends this
                self.collection.excluded.readmit([name])
            self._move(file.place, place)
        except FileExistsError:  # a folder cannot be made
            self.taken.skip(str(relative), FOLDER_TAKEN)
            return
        except OSError as error:
            if not is_too_long(error, self.folder / relative):
                raise
            self.taken.skip(str(relative), TOO_LONG)
            return
        if file.is_table:
            self.taken.tables += 1
        else:
            self.taken.files += 1

    def _place(self, relative: PurePosixPath, file: _File) -> Path | None:
        """Return where a file is to go, None when it is left out, which is noted."""
        place = self.folder / relative
        together = self.renamed.setdefault(file.batch, {})
        if file.is_table:
            unpacked = file.size is not None
            why = self.tables.admit(place, file.place, together) if unpacked else self.tables.full()
            if why:
                self.taken.skip(str(relative), why)
                return None
            return place
        is_full = self.taken.files >= self.most
        if is_full or file.size is None:
            why = f"Only {self.most:,} pictures fit in here." if is_full else NOT_UNPACKED
            self.taken.skip(str(relative), why)
            if self._is_there(place):
                together[composed(relative.as_posix())] = ""
            return None
        found = self._free_place(place, relative.as_posix(), file.place, file.size)
        if found is None:
            self.taken.known += 1
        elif found != place:
            together[composed(relative.as_posix())] = found.name
        return found

    def _free_place(self, place: Path, name: str, source: Path, size: int) -> Path | None:
        """Return where a picture is to go, None when the collection has it there already."""
        if name in self.known or place.exists():
            here = [sha256 for _, sha256 in self.collection.listing.hashes([name])]
            # What lost its vectors, or could not be read, may come again to where it was.
            awaited = not place.exists() and self.known.get(name, (0, 0))[1] == PASSING
            if awaited and not here:
                return place
            # A file of another size need not be read to be known as another.
            if not here and place.is_file() and place.stat().st_size == size:
                with suppress(OSError):  # what cannot be read is taken for another one
                    here = [sha256_of_file(place)]
            elif here and name in self.known and self.known[name][0] != size:
                here = []
            if here and sha256_of_file(source) in here:
                # Taken out, it may lie there still; added again it is let in again.
                return place if awaited or name in self.excluded else None
            return free_name(place, self._is_taken, self.numbers)
        kept = self.excluded.get(name)
        if kept is None or is_same(kept, source):
            return place
        return free_name(place, self._is_taken, self.numbers)

    def _is_taken(self, place: Path) -> bool:
        """Whether a name is taken; that of a photo that can be brought back is left to it."""
        kept = self.excluded.get(place.relative_to(self.folder).as_posix())
        return kept is not None or self._is_there(place)

    def _is_there(self, place: Path) -> bool:
        """Whether something lies at a place, or the collection knows of a picture there."""
        return place.relative_to(self.folder).as_posix() in self.known or place.exists()

    def _move(self, source: Path, place: Path) -> None:
        """Move a file to where it is to be, below the folder of originals.

        Raises:
            LookalikeError: when the collection has just been deleted. Its own folder is not made
                anew: nobody would ever see what lies in there.
        """
        for _ in range(2):  # a folder in it that is empty may just be deleted as such
            try:
                self._make_folder(place.parent)
                try:
                    replace_file(source, place)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    # On another disk: somebody gave the collections one of their own, by a link.
                    _copy(source, place)
                    source.unlink()
                return
            except FileNotFoundError:
                self.made.clear()
                if not self.folder.parent.is_dir():
                    break
        raise LookalikeError(COLLECTION_GONE)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder, the one of originals or one below it, and those above it up to that."""
        if folder in self.made:
            return
        if folder != self.folder:
            self._make_folder(folder.parent)
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
        self.made.add(folder)


def _unpacked(
    upload: Upload, staged: Path, most: int, tables: Tables, taken: Taken
) -> Iterator[_File]:
    """Yield the pictures and tables of an upload, those inside of zips too.

    Args:
        most: how many pictures of zips are unpacked, and some more.
        tables: those of the folder, which say how many there may be.
    """
    # A picture packs badly, so what comes out is about as much as went in; allow for other kinds,
    # up to what the page promises its owner. A stranger's few bytes are not to become a disk's.
    left = min(4 * upload.bounds.bytes, OWNER_BYTES)
    if not upload.owner:
        left = min(left, 20 * upload.bytes + 2 * upload.bounds.file_bytes)
    entries = min(max(20 * upload.bounds.files, MIN_ENTRIES), MAX_ENTRIES)
    left_pictures, left_tables = most + SPARE_PICTURES, tables.most
    for number, path in enumerate(sorted(path for path in staged.rglob("*") if path.is_file())):
        relative = PurePosixPath(path.relative_to(staged).as_posix())
        suffix = path.suffix.lower()
        if lies_passed_over(str(relative)):
            continue  # a page sends none, and what is not seen there would never be deleted
        if suffix == ".zip":
            inside = upload.folder / f"zip-{number:06}-{secrets.token_hex(6)}"  # sorted as they are
            bounds = ZipBounds(entries, upload.bounds.file_bytes, left, left_pictures, left_tables)
            try:
                result = unpack(
                    path, inside, bounds, lambda: require_room(upload.folder, upload.spare)
                )
            except LookalikeError as error:
                taken.skip(path.name, str(error))
                remove_tree(inside)
                continue
            finally:
                with suppress(OSError):  # it goes with its upload
                    path.unlink()
            entries -= result.entries
            for name, why in result.skipped:
                taken.skip(f"{path.name}: {name}", why)
            taken.unnamed += result.unnamed
            taken.others += result.others
            left_pictures -= result.pictures
            left_tables -= result.tables
            left -= sum(file.size or 0 for file in result.files)
            for file in result.files:
                # Where the zip lay: all lie in the folder that was dropped, which is no kind then.
                yield _File(relative.parent / file.path, file.place, file.size, inside.name)
        elif suffix in SUFFIXES or _is_table(path):
            yield _File(relative, path, path.stat().st_size, staged.name)
        else:
            taken.others += 1


def _is_known(
    files: Sequence[_File],
    outer: PurePosixPath,
    known: Mapping[str, tuple[int, int]],
) -> bool:
    """Whether a folder is the one that a collection was made of, dropped again.

    Then its files lie where they did, rather than all once more below its name: most of those
    whose path is known, without what is left out, are as large as they were.
    """
    if not outer.parts:
        return False
    sizes = [
        (known[name][0], file.size)
        for file in files
        if file.size is not None and (name := without(file.path, outer).as_posix()) in known
    ]
    same = sum(before == now for before, now in sizes)
    return bool(same) and 2 * same >= len(sizes)


def _excluded(collection: Collection) -> dict[str, Path | None]:
    """Return the paths that were taken out of a collection, and where the photos are kept.

    None stands for one that is kept no more, or still lies where it was.
    """
    excluded = collection.excluded.paths()
    kept = taken_out(collection.folder) if excluded else {}
    return {path: kept.get(path) for path in excluded}


def _is_table(path: PurePath) -> bool:
    return path.suffix.lower() == ".csv"


def _copy(source: Path, place: Path) -> None:
    """Copy a file to its place, where it is all at once or not at all; errors are the disk's."""
    part = part_in(place.parent)  # a name that is as long as may be leaves no room for more
    try:
        shutil.copy2(source, part)
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        replace_file(part, place)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
