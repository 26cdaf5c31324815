"""The photos of a packed collection, written where the one that is made of it keeps its own."""

import hashlib
import os
import shutil
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath

from retrieval.disk_names import free_name, storable
from retrieval.errors import is_too_long
from retrieval.files import modified_of
from retrieval.folders import is_picture
from retrieval.records import PASSING, Entry
from retrieval.staging import SPARE_BYTES, look_is_due, require_room, too_little

MAX_COPIED_BYTES = 2**30  # of one photo that lies in many places, or so many copies
MAX_COPIES = 100
MAX_PACKED_BYTES = 500 * 2**20  # of a photo, where its bytes are packed


class PhotoWriter:
    """Writes the photos of a bundle into a folder; what raises a ValueError is damaged."""

    def __init__(
        self, bundle: zipfile.ZipFile, folder: Path, entries: list[Entry], wanted: list[str]
    ) -> None:
        """Prepare for it.

        Args:
            wanted: the SHA-256 of the photo of each entry.
        """
        self.taken = 0
        self.to_read = 0  # of those taken, that nobody has looked at
        self._bundle = bundle
        self._folder = folder
        self._entries = entries
        self._wanted = wanted
        names = (name for name in bundle.namelist() if name.startswith("photos/"))
        self._members = {PurePosixPath(name).stem: name for name in names}
        self._paths = {entry.path.casefold() for entry in entries}
        self._numbers: dict[Path, int] = {}  # of names that come again
        self._written: Counter[str] = Counter()  # bytes of each photo, in all places
        self._bytes = 0  # of all

    def take_all(self) -> list[Entry]:
        """Write what there is; return the entries as the files are there.

        Raises:
            LookalikeError: when the disk has no room for it.
            ValueError: when the bundle is damaged.
        """
        self._require_room()
        # Programs before this one packed what lay at the last path of a content, whatever it was.
        owners = {sha256: number for number, sha256 in enumerate(self._wanted)}
        taken = []
        for number, (entry, sha256) in enumerate(zip(self._entries, self._wanted, strict=True)):
            place = self._place(entry.path) if sha256 in self._members else None
            found = self._write(self._members[sha256], place) if place else None
            if place and found and found != sha256 and owners[sha256] != number:
                place.unlink()
            elif place and found:
                entry = self._with_file(entry, place, found)
            taken.append(entry)
        return taken

    def _require_room(self) -> None:
        """See that all of it fits: a small file can name one photo very many times."""
        names = Counter(filter(None, map(self._members.get, self._wanted)))
        members = [(self._bundle.getinfo(name), places) for name, places in names.items()]
        size = sum(min(places * one.file_size, _most_copied(one)) for one, places in members)
        free = shutil.disk_usage(self._folder.parent).free
        if size + SPARE_BYTES > free:
            raise too_little(free, size, "photos")

    def _place(self, path: str) -> Path | None:
        """Return where the photo of a path can go, None for nowhere.

        Two paths may be one to this system, and the second gets a number.
        """
        relative = storable(path)
        if relative is None or not is_picture(relative.name):
            return None

        def is_taken(place: Path) -> bool:
            name = place.relative_to(self._folder).as_posix()
            return os.path.lexists(place) or (name != path and name.casefold() in self._paths)

        return free_name(self._folder / relative, is_taken, self._numbers)

    def _write(self, name: str, place: Path) -> str | None:
        """Write a photo; return its SHA-256, None when this disk cannot have it there, or has it in
        very many places already.
        """
        member = self._bundle.getinfo(name)
        # What is stored as it is has no more bytes than the bundle.
        if member.compress_type != zipfile.ZIP_STORED and member.file_size > MAX_PACKED_BYTES:
            raise ValueError
        if self._written[name] + member.file_size > _most_copied(member):
            return None
        found = hashlib.sha256()
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with self._bundle.open(member) as source, place.open("xb") as target:
                while chunk := source.read(2**20):
                    if look_is_due(self._bytes, len(chunk)):
                        require_room(place.parent)
                    found.update(chunk)
                    target.write(chunk)
                    self._bytes += len(chunk)
                    self._written[name] += len(chunk)
        except (FileExistsError, NotADirectoryError):
            return None  # a file lies where its folder would be
        except OSError as error:
            if is_too_long(error, place):
                return None
            raise
        return found.hexdigest()

    def _with_file(self, entry: Entry, place: Path, sha256: str) -> Entry:
        """Note the file that was written: unless it was changed, it is not to be read again."""
        status = place.stat()
        # Not read for a reason that has passed, or its vectors are lost; or edited since it was.
        to_read = entry.modified == PASSING or entry.sha256 not in (None, sha256)
        self.taken += 1
        self.to_read += to_read
        return replace(
            entry,
            path=place.relative_to(self._folder).as_posix(),
            size=status.st_size,
            modified=PASSING if to_read else modified_of(status),
        )


def _most_copied(member: zipfile.ZipInfo) -> int:
    """Return how many bytes of a photo are written, in all places."""
    is_packed = member.compress_type != zipfile.ZIP_STORED  # gigabytes may be a few bytes there
    return MAX_COPIED_BYTES if is_packed else max(MAX_COPIED_BYTES, MAX_COPIES * member.file_size)
