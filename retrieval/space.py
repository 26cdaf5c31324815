"""What a Space of Hugging Face is made of: the folder that is uploaded, and whether it fits."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from retrieval.bundle import pack
from retrieval.collection import Collection
from retrieval.errors import LookalikeError, explain_os_error

# The Hub's limits, of a Space without a contract. It also keeps what was there before.
MAX_BYTES = 2**30
MAX_ENTRIES = 10_000
# From here on the Hub wants a file in its storage for large ones (LFS, Xet) instead of in git.
LARGE_BYTES = 10 * 10**6
LARGE_KINDS = ("onnx", "pkl", "sqlite", "lookalike", "jpg")
PUBLISHED = Path("assets", "published.lookalike")
CODE = (".py", ".css", ".js")


@dataclass(frozen=True)
class Part:
    """Something that is uploaded, in words for people."""

    what: str
    files: int
    bytes: int


def build_space(
    folder: Path, project: Path, name: str, models: Iterable[Path], collection: Collection | None
) -> list[Part]:
    """Put together in an empty folder all that a Space called `name` needs, and nothing else.

    Of the pictures go only the thumbnails, which hold no place and no camera; names, labels,
    captions, sizes and dates go with them.

    Args:
        project: this project's folder.
        name: USER/NAME.
        models: files of the project that the app needs to compare pictures.
        collection: what the Space shows; None for the pictures that ship with the app.

    Raises:
        LookalikeError: when the disk is full.
    """
    try:
        code = [project / "app.py", project / "requirements.txt", project / "assets/screenshot.jpg"]
        code += (path for path in (project / "retrieval").rglob("*") if path.suffix in CODE)
        parts = [_copy("the app", project, folder, code)]
        what = "the network that compares pictures, and what belongs to it"
        parts.append(_copy(what, project, folder, models))
        if collection is None:
            starter = project / "assets" / "starter"
            shown = [starter / "LICENSE", *starter.glob("collection/*.sqlite")]
            shown += starter.glob("pictures/**/*.jpg")
            parts.append(_copy("the pictures that ship with the app", project, folder, shown))
        else:
            pack(collection, folder / PUBLISHED, problems=False)
            count, title = collection.listing.count()[0], collection.name
            size = (folder / PUBLISHED).stat().st_size
            parts.append(Part(f"{count:,} pictures of {title}, in small", 1, size))
        attributes = (f"*.{kind} filter=lfs diff=lfs merge=lfs -text" for kind in LARGE_KINDS)
        (folder / ".gitattributes").write_text("\n".join((*attributes, "")), encoding="utf-8")
        readme = (project / "README.md").read_text(encoding="utf-8")
        (folder / "README.md").write_text(_card(readme, name, collection), encoding="utf-8")
    except OSError as error:
        raise explain_os_error(error, error.filename or folder) from error
    return parts


def check_limits(folder: Path, most_bytes: int = MAX_BYTES, most: int = MAX_ENTRIES) -> int:
    """Return how many files of a folder go to the Hub's storage for large ones.

    Raises:
        LookalikeError: when the Hub would refuse the folder.
    """
    paths = list(folder.rglob("*"))
    sizes = [path.stat().st_size for path in paths if path.is_file()]
    if sum(sizes) > most_bytes:
        raise LookalikeError(
            f"The Space would be {sum(sizes) / 10**6:,.0f} MB, and Hugging Face takes "
            f"{most_bytes / 10**6:,.0f} MB. Publish a collection of fewer pictures."
        )
    fullest, entries = Counter(path.parent for path in paths).most_common(1)[0]
    if entries >= most:
        raise LookalikeError(
            f"The folder {fullest.name} would hold {entries:,} entries, and Hugging Face takes "
            f"fewer than {most:,}. Publish a collection of fewer pictures."
        )
    return sum(size > LARGE_BYTES for size in sizes)


def _copy(what: str, project: Path, folder: Path, files: Iterable[Path]) -> Part:
    count = size = 0
    for file in sorted(files):
        target = folder / file.relative_to(project)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        count += 1
        size += target.stat().st_size
    return Part(what, count, size)


def _card(readme: str, name: str, collection: Collection | None) -> str:
    """Return the README of a Space: the project's front matter, made its own, and a few words."""
    fields = dict(line.split(": ", 1) for line in readme.split("---\n", 2)[1].splitlines())
    licences = readme.split("\n## Licences\n", 1)[1]
    address = f"https://huggingface.co/spaces/{name}"
    fields["thumbnail"] = f"{address}/resolve/main/assets/screenshot.jpg"
    about = "Drop in a picture and see the ones that look most like it."
    if collection is not None:
        count, title = collection.listing.count()[0], collection.name
        fields["title"] = json.dumps(title, ensure_ascii=False)
        fields["short_description"] = f"Drop in a picture, see the most similar of {count:,}"
        # Whose pictures they are, this program cannot know. A Space that was cloned has none of it.
        fields.pop("license", None)
        licences = re.sub(r"(?s)\nThe pictures in .*?\.\s+", "\n", licences, count=1)
        about = f"Drop in a picture and see which of {count:,} look most like it."
    front = "\n".join(f"{key}: {value}" for key, value in fields.items())
    return (
        f"---\n{front}\n---\n\n{about}\n\n"
        "Made with Lookalike. It runs elsewhere too: clone this repository and run `python app.py`."
        "\n\nTo change the collections from the page, its owner sets the secret "
        f"`LOOKALIKE_PASSWORD`, of 16 letters or more, in the [settings]({address}/settings). What "
        "is added there lasts until the Space starts again; to stay, it is published again."
        f"\n\n## Licences\n{licences}"
    )
