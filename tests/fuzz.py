"""Damaged files of every kind that the app reads: `python -m tests.fuzz --count 3900 --seed 1`.

Small valid files are made in code and then harmed: bits flipped, cut short, spliced with others,
lengths and headers changed, bytes put in, taken out and repeated. Each is read in a child process,
so that a decoder that crashes is found and counted, and what visitors can upload goes through the
upload, the search and the building of a running app as well. Whatever is wanted of every file is
the same: a proper answer or a sentence, within 5 seconds and 1 GB.

No library makes the files: what hypothesis or atheris would find is one file at a time in this very
process, and here most decoders are C, whose crash has to be survived, and whose memory to be told.
"""

import argparse
import io
import json
import multiprocessing
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from retrieval import settings
from retrieval.bundle import pack
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.images import open_picture, thumbnail
from retrieval.indexing import index_folder
from retrieval.model import OnnxExtractor
from retrieval.preprocessing import preprocess
from retrieval.reduction import fit_pca, load_pca
from retrieval.schema import DATABASE, THUMBNAILS
from retrieval.search import Request, Searcher, search
from retrieval.unbundling import unpack_bundle
from retrieval.zips import ZipBounds, unpack
from tests.made import SQUASH_8, encode, mean_colour, noise, save_hues, save_tiny_model
from tests.memory import peak_megabytes
from tests.serving import Served, serving
from tests.visitor import Visitor, strings_of

SECONDS = 5.0
MEGABYTES = 1024.0
KILLED = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has the latter alone
PICTURES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "GIF": ".gif",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "HEIF": ".heic",
    "AVIF": ".avif",
}
SUFFIX = {
    **PICTURES,
    "zip": ".zip",
    "pickle": ".pkl",
    "ONNX": ".onnx",
    "database": ".sqlite",
    "bundle": ".lookalike",
}
UPLOADED = (*PICTURES, "zip", "bundle")
# What makes lengths, counts and offsets go wrong.
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
ZIP_BOUNDS = ZipBounds(entries=1_000, file_bytes=2**20, total_bytes=10 * 2**20)


@dataclass
class Tally:
    """What became of the files of one kind."""

    files: int = 0
    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0  # seconds
    megabytes: float = 0.0  # at most, of the process that read them
    faults: list[str] = field(default_factory=list)  # crashes, hangs, other exceptions, leaks

    def note(self, outcome: str, seconds: float, said: str, which: str) -> None:
        """Count one file."""
        self.files += 1
        self.slowest = max(self.slowest, seconds)
        if outcome == "accepted":
            self.accepted += 1
        elif outcome == "refused":
            self.refused += 1
        if outcome not in ("accepted", "refused"):
            self.faults.append(f"{which}: {outcome}: {said}")
        elif seconds > SECONDS:
            self.faults.append(f"{which}: took {seconds:.1f} s")
        if tells(said):
            self.faults.append(f"{which}: gives away: {said}")


def tells(sentence: str) -> bool:
    """Whether a sentence says what is nobody's business."""
    places = ("Traceback", 'File "', "site-packages", tempfile.gettempdir() + "/", str(Path.home()))
    return any(place in sentence for place in places)


# Whole files.


def seeds(folder: Path, embedder: Embedder | None = None) -> dict[str, list[bytes]]:
    """Make a few small valid files of each kind; collections by an embedder, or mean colours."""
    embedder = embedder or mean_colour()
    clouds, grey = noise((40, 30), 1), noise((24, 24), 2).convert("L")
    palette, clear = clouds.quantize(16), clouds.convert("RGBA")
    clear.putalpha(grey.resize(clear.size))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0132] = "2024:07:31 18:02:11"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made: dict[str, list[bytes]] = {
        "JPEG": [
            encode(clouds, "JPEG", exif=exif, icc_profile=icc),
            encode(clouds, "JPEG", progressive=True),
            encode(clouds.convert("CMYK"), "JPEG"),
            encode(grey, "JPEG"),
        ],
        "PNG": [
            encode(clouds, "PNG", exif=exif, icc_profile=icc),
            *(encode(image, "PNG") for image in (palette, clear, grey.convert("I;16"))),
        ],
        "GIF": [
            encode(palette, "GIF"),
            encode(palette, "GIF", save_all=True, append_images=[grey.quantize(8)] * 3),
        ],
        "WEBP": [
            encode(clouds, "WEBP", exif=exif),
            encode(clear, "WEBP", lossless=True),
            encode(clouds, "WEBP", save_all=True, append_images=[clouds.rotate(90)]),
        ],
        "TIFF": [
            encode(clouds, "TIFF", exif=exif),
            *(
                encode(clouds, "TIFF", compression=how)
                for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
            ),
            encode(grey.convert("1"), "TIFF", compression="group4"),
            encode(grey.convert("F"), "TIFF"),
        ],
        "BMP": [encode(image, "BMP") for image in (clouds, palette, grey.convert("1"))],
        "HEIF": [encode(clouds.resize((64, 64)), "HEIF", exif=exif), encode(clear, "HEIF")],
        "AVIF": [encode(clouds, "AVIF", exif=exif), encode(clear, "AVIF")],
    }
    inside = {f"cats/{n}.png": made["PNG"][n] for n in range(3)}
    for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(folder / "seed.zip", "w", how) as archive:
            for name, data in inside.items():
                archive.writestr(name, data)
            archive.writestr("captions.csv", "filename,label\ncats/0.png,a\n")
        made.setdefault("zip", []).append((folder / "seed.zip").read_bytes())
    features = np.random.default_rng(0).random((20, 3), np.float32)
    card = mean_colour().card
    made["pickle"] = [fit_pca(features, card, 2), fit_pca(features, card, 3, 0.5)]
    made["ONNX"] = [save_tiny_model(folder / "seed.onnx").read_bytes()]
    photos = save_hues(folder / "photos", {f"k/{hue}.png": hue for hue in range(0, 360, 60)})
    with Collection.create(folder / "seed", "seed", photos, embedder) as collection:
        for _ in index_folder(collection, photos, embedder, find_changes(collection, photos)):
            pass
        pack(collection, folder / "seed.lookalike", photos=True)
        collection.copy_to(folder / "copy", "")
    made["database"] = [(folder / "copy" / name).read_bytes() for name in (DATABASE, THUMBNAILS)]
    made["bundle"] = [(folder / "seed.lookalike").read_bytes()]
    return made


# Harm.


def harmed(made: dict[str, list[bytes]], kind: str, number: int, seed: int) -> bytes:
    """Return the file of this number of a kind, the same for the same seed."""
    random = np.random.default_rng([seed, list(SUFFIX).index(kind), number])
    whole = made[kind][number % len(made[kind])]
    everything = [whole for wholes in made.values() for whole in wholes]
    if kind in ("zip", "bundle") and number % 2:
        return _harmed_inside(whole, everything, random)
    return _harmed(whole, everything, random)


def _harmed_inside(whole: bytes, everything: list[bytes], random: np.random.Generator) -> bytes:
    """Harm one member of a zip, and pack it anew, so that its checksum finds nothing wrong."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(buffer, "w") as new:
        chosen = int(random.integers(len(old.infolist())))
        for place, entry in enumerate(old.infolist()):
            data = old.read(entry)
            if place == chosen:
                data = _harmed(data, everything, random)
            # A name alone would be given the time of the clock, and two runs other bytes.
            new.writestr(zipfile.ZipInfo(entry.filename), data)
    return buffer.getvalue()


def _harmed(whole: bytes, everything: list[bytes], random: np.random.Generator) -> bytes:
    data = bytearray(whole)
    for _ in range(int(random.integers(1, 4))):
        other = everything[int(random.integers(len(everything)))]
        change = CHANGES[int(random.integers(len(CHANGES)))]
        data = change(data, other, random)
    return bytes(data)


def _flip(data: bytearray, _: bytes, random: np.random.Generator) -> bytearray:
    for place in random.integers(0, 8 * len(data), int(random.integers(1, 33))) if data else ():
        data[place // 8] ^= 1 << (place % 8)
    return data


def _cut(data: bytearray, _: bytes, random: np.random.Generator) -> bytearray:
    return data[: int(random.integers(0, len(data) + 1))]


def _splice(data: bytearray, other: bytes, random: np.random.Generator) -> bytearray:
    return data[: _place(data, random)] + other[_place(other, random) :]


def _length(data: bytearray, _: bytes, random: np.random.Generator) -> bytearray:
    """Overwrite what may be a length, near the beginning as often as anywhere."""
    width = int(random.choice([1, 2, 4, 8]))
    within = min(len(data), 256) if random.integers(2) else len(data)
    value = int(random.choice(EXTREMES)) & (256**width - 1)
    order = "big" if random.integers(2) else "little"
    place = int(random.integers(0, within + 1))
    data[place : place + width] = value.to_bytes(width, order)  # type: ignore[arg-type]
    return data


def _header(data: bytearray, other: bytes, random: np.random.Generator) -> bytearray:
    n = int(random.integers(1, 65))
    data[:n] = other[:n]
    return data


def _insert(data: bytearray, _: bytes, random: np.random.Generator) -> bytearray:
    place, n = _place(data, random), int(random.integers(1, 300))
    data[place:place] = random.bytes(n) if random.integers(2) else bytes(n)
    return data


def _remove(data: bytearray, _: bytes, random: np.random.Generator) -> bytearray:
    place = _place(data, random)
    del data[place : place + int(random.integers(1, 300))]
    return data


def _repeat(data: bytearray, _: bytes, random: np.random.Generator) -> bytearray:
    start, n = _place(data, random), int(random.integers(1, 2_000))
    place = _place(data, random)
    data[place:place] = bytes(data[start : start + n]) * int(random.integers(1, 40))
    return data


def _place(data: bytes | bytearray, random: np.random.Generator) -> int:
    return int(random.integers(0, len(data) + 1))


Change = Callable[[bytearray, bytes, np.random.Generator], bytearray]
CHANGES: tuple[Change, ...] = (
    *(_flip, _flip, _cut, _splice, _length, _length, _header, _insert, _remove, _repeat),
)


# Reading, in a child process.


def read(kind: str, data: bytes, number: int, made: dict[str, list[bytes]], folder: Path) -> None:
    """Do with a file what the app does with one of its kind."""
    path = folder / f"file{SUFFIX[kind]}"
    if kind in PICTURES:
        picture = open_picture(data, 640, settings.MAX_UPLOAD_PIXELS)
        preprocess(picture.image, SQUASH_8)
        thumbnail(picture.image, 320)
        return
    if kind == "database":
        _read_collection(folder / "collection", data, number, made["database"])
        return
    path.write_bytes(data)
    embedder = mean_colour()
    if kind == "zip":
        unpack(path, folder / "unpacked", ZIP_BOUNDS)
    elif kind == "pickle":
        load_pca(path, embedder.card)
    elif kind == "ONNX":
        side = np.zeros((2, 32, 32, 3), np.uint8)
        extractor = OnnxExtractor(path, threads=1, gpu=False)
        Embedder(extractor).describe_pictures(side)
    else:
        where = unpack_bundle(path, folder, embedder)
        with Collection(where) as collection:
            _search(collection, embedder)


def _read_collection(folder: Path, data: bytes, number: int, whole: list[bytes]) -> None:
    folder.mkdir()
    files = list(whole)
    files[number % len(whole)] = data
    for name, content in zip((DATABASE, THUMBNAILS), files, strict=True):
        (folder / name).write_bytes(content)
    with Collection(folder) as collection:
        _search(collection, mean_colour())


def _search(collection: Collection, embedder: Embedder) -> None:
    searcher = Searcher(collection, embedder, "key")
    collection.listing.count()
    collection.listing.problems()
    collection.listing.distinct_labels()
    aspects = embedder.describe_pictures(np.zeros((1, 8, 8, 3), np.uint8))
    for match in search([searcher], aspects, Request(24)).matches:
        # Whether it is a picture was looked at when it was made; nothing else is asked of it.
        searcher.thumbnail(match.picture)


def _child(kind: str, numbers: range, seed: int, folder: Path, parent: Connection) -> None:
    """Read files one after the other, and tell of each before and after."""
    warnings.simplefilter("ignore")  # Pillow's, of what it reads all the same
    made = seeds(folder / "seeds")
    for number in numbers:
        data = harmed(made, kind, number, seed)
        work = folder / "work"
        work.mkdir()
        parent.send(("begin", number))
        started = time.perf_counter()
        outcome, said = "accepted", ""
        try:
            read(kind, data, number, made, work)
        except LookalikeError as error:
            outcome, said = "refused", str(error)
        except Exception as error:
            outcome, said = type(error).__name__, str(error)[:300]
        parent.send((outcome, time.perf_counter() - started, said, peak_megabytes()))
        shutil.rmtree(work, ignore_errors=True)
    parent.send(("end",))


def read_all(kind: str, count: int, seed: int) -> Tally:
    """Read so many harmed files of a kind; a crash or a hang costs only its file."""
    tally, next_ = Tally(), 0
    context = multiprocessing.get_context("spawn")
    while next_ < count:
        with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
            (Path(folder) / "seeds").mkdir()
            ours, theirs = context.Pipe(duplex=False)
            arguments = (kind, range(next_, count), seed, Path(folder), theirs)
            child = context.Process(target=_child, args=arguments, daemon=True)
            child.start()
            theirs.close()
            next_ = _follow(kind, ours, tally, next_)
            child.kill()
            child.join()
            if next_ < count and child.exitcode not in (0, -KILLED):
                tally.faults[-1] += f" (exit {child.exitcode})"
            ours.close()
            child.close()
    if tally.megabytes > MEGABYTES:
        tally.faults.append(f"{tally.megabytes:.0f} MB")
    return tally


def _follow(kind: str, child: Connection, tally: Tally, next_: int) -> int:
    """Count what a child tells until it has ended; return the number to go on with."""
    number: int | None = None
    while True:
        # Importing and making seeds takes a while as well.
        if not child.poll(3 * SECONDS if number is not None else 120):
            tally.note("hang", 3 * SECONDS, "", f"{kind} {number}")
            return (number if number is not None else next_) + 1
        try:
            told = child.recv()
        except EOFError:
            tally.note("crash", 0, "", f"{kind} {number}")
            return (number if number is not None else next_) + 1
        if told[0] == "end":
            return sys.maxsize
        if told[0] == "begin":
            number = told[1]
            continue
        outcome, seconds, said, megabytes = told
        tally.note(outcome, seconds, said, f"{kind} {number}")
        tally.megabytes = max(tally.megabytes, megabytes)
        next_, number = (number or 0) + 1, None


# Through a running app.


def send_all(count: int, seed: int, kinds: tuple[str, ...] = UPLOADED) -> dict[str, Tally]:
    """Upload so many harmed files of each kind to a running app, and search with or build them."""
    tallies = {kind: Tally() for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="fuzz") as name:
        folder = Path(name)
        (folder / "seeds").mkdir()
        (folder / "home").mkdir()
        model = save_tiny_model(folder / "seeds" / "app.onnx")
        # Bundles of the app's own model, or all would be refused for their model alone.
        made = seeds(folder / "seeds", Embedder(OnnxExtractor(model, gpu=False)))
        photos = save_hues(folder / "colours", {f"{hue}.png": hue for hue in range(0, 360, 60)})
        with serving(model, photos, folder / "home", public=False) as served:
            visitor = Visitor(served.address)
            for kind, tally in tallies.items():
                for number in range(count):
                    data = harmed(made, kind, number, seed)
                    started = time.perf_counter()
                    outcome, said = _send(visitor, kind, data)
                    seconds = time.perf_counter() - started
                    tally.note(outcome, seconds, said, f"{kind} {number} uploaded")
                if kind in PICTURES:
                    files = {
                        f"{number}{SUFFIX[kind]}": harmed(made, kind, number, seed)
                        for number in range(count)
                    }
                    _build(visitor, files, tally, kind)
                tally.megabytes = _peak_of(served)
                if tally.megabytes > MEGABYTES:
                    tally.faults.append(f"{kind}: the app has {tally.megabytes:.0f} MB")
            if not visitor.search(visitor.send(made["PNG"][0]))["success"]:
                tallies[kinds[-1]].faults.append("afterwards the app does not search any more")
            visitor.close()
            if "Traceback" in served.log:
                tallies[kinds[-1]].faults.append(served.log[served.log.index("Traceback") :][:3000])
    return tallies


def _send(visitor: Visitor, kind: str, data: bytes) -> tuple[str, str]:
    if kind in PICTURES:
        sent = visitor.send(data, f"file{SUFFIX[kind]}")
        answer = visitor.search(sent)
        if answer["success"]:
            return "accepted", json.dumps(answer["output"]["data"])
        return "refused" if answer["output"]["error"] else "no sentence", _all(answer)
    said = visitor.hand_over({f"file{SUFFIX[kind]}": data})
    done = next(message for message in said if message["msg"] == "process_completed")
    if not done["success"]:
        return "no sentence", _all(said)
    page = done["output"]["data"][0]
    made = [key for key in _keys(page) if key != "colours"]
    for key in made:
        visitor.finish(key)
        visitor.outcome("on_act", [None], {"act": "delete", "key": key})
    if not made and not any(m["msg"] == "log" for m in said) and "lk-say" not in page:
        return "no sentence", _all(said)
    return "accepted" if made else "refused", _all(said)


def _build(visitor: Visitor, files: dict[str, bytes], tally: Tally, kind: str) -> None:
    """Make a collection of files that are all harmed; each is searchable or named with why."""
    started = time.perf_counter()
    page = visitor.add_pictures(files)["output"]["data"][0]
    key = next(key for key in _keys(page) if key != "colours")
    visitor.finish(key)
    seconds = time.perf_counter() - started
    problems = visitor.http.get(f"/problems/{key}.csv").text.count("\r\n") - 1
    records = visitor.outcome("search", [visitor.send(a_whole_picture()), 200, key])
    found = len(records["output"]["data"][0]) if records["success"] else -1
    if found < 0 or (found < 200 and found + problems < len(files)):
        tally.faults.append(f"{kind}: of {len(files)} built {found} + {problems} are left")
    if seconds > SECONDS * len(files):
        tally.faults.append(f"{kind}: building took {seconds:.0f} s")
    visitor.outcome("on_act", [None], {"act": "delete-for-good", "key": key})


def a_whole_picture() -> bytes:
    """Return a picture that is whole."""
    return encode(noise((40, 30), 1), "PNG")


def _keys(page: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r'data-act="search" data-key="([^"]+)"', page)))


def _all(answer: Any) -> str:
    return " ".join(strings_of(answer))


def _peak_of(served: Served) -> float:
    """Return the most memory that a process has had, in MB; 0 where that cannot be asked."""
    with suppress(OSError):
        for line in Path(f"/proc/{served.process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


# The command.


def main(argv: list[str] | None = None) -> int:
    """Print a table by kind; return 1 when anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3_900, help="files, over all kinds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=list(SUFFIX), help="only these")
    parser.add_argument("--no-app", action="store_true", help="only read, upload nothing")
    arguments = parser.parse_args(argv)
    kinds = arguments.kind or list(SUFFIX)
    each = -(-arguments.count // len(kinds))
    faults: list[str] = []
    for name, tally in _run(kinds, each, arguments.seed, not arguments.no_app):
        print(
            f"| {name} | {tally.files:,} | {tally.accepted:,} | {tally.refused:,} "
            f"| {len(tally.faults)} | {tally.slowest:.2f} | {tally.megabytes:.0f} |",
            flush=True,
        )
        faults += tally.faults
    print(*faults, sep="\n", file=sys.stderr)
    return 1 if faults else 0


def _run(kinds: list[str], each: int, seed: int, app: bool) -> Iterator[tuple[str, Tally]]:
    print("| kind | files | answered | refused | wrong | slowest (s) | memory (MB) |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for kind in kinds:
        yield kind, read_all(kind, each, seed)
    uploaded = tuple(kind for kind in kinds if kind in UPLOADED) if app else ()
    if uploaded:
        for kind, tally in send_all(each, seed, uploaded).items():
            yield f"{kind}, uploaded", tally


if __name__ == "__main__":
    sys.exit(main())
