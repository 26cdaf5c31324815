"""Render the starter collection with Blender's Python module, a kind or a single picture at a time.

python assets/starter/render.py --list
python assets/starter/render.py --missing
python assets/starter/render.py --kind lake --seed 3 --samples 16 --size 192x144 --output DIR
python assets/starter/render.py --kind lake --sheet lake.png
"""

import argparse
import importlib
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCENES = HERE / "scenes"
PICTURES = HERE / "pictures"
# Pictures that did not turn out well, and the seeds of those that are there instead: a thing cut by
# the frame, a pattern that shimmers, a summit that is lost in the haze.
INSTEAD = {
    "chess": {11: 16},
    "glass_marbles": {6: 16},
    "green_hills": {10: 16},
    "snowy_mountains": {14: 16},
}


def kinds() -> list[str]:
    """Give the names of the scene modules that build pictures."""
    return sorted(
        path.stem
        for path in SCENES.glob("*.py")
        if "\ndef build(seed: int) -> None:" in path.read_text("utf-8")
    )


def seeds_of(kind: str, count: int) -> list[int]:
    """Give the seeds of a kind's pictures."""
    return [INSTEAD.get(kind, {}).get(seed, seed) for seed in range(1, count + 1)]


def picture(folder: Path, kind: str, seed: int) -> Path:
    """Give the file of a kind's picture."""
    return folder / kind / f"{kind}-{seed:02d}.jpg"


def render(kind: str, seed: int, target: Path, samples: int, size: tuple[int, int]) -> None:
    """Build one scene and write its picture, whole or not at all."""
    import bpy
    import stage

    stage.reset(samples, size)
    importlib.import_module(kind).build(seed)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=".jpg", prefix=".", dir=target.parent)
    os.close(handle)
    try:
        scene = bpy.context.scene
        scene.render.filepath = name
        scene.cycles.seed = seed
        bpy.ops.render.render(write_still=True)
        if os.path.getsize(name) == 0:
            raise RuntimeError(f"Blender wrote nothing for {kind} {seed}.")
        os.chmod(name, 0o644)
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


def sheet(folder: Path, pictures: list[tuple[str, int]], target: Path) -> None:
    """Join pictures into a contact sheet, four in a row, each with its kind and number."""
    from PIL import Image, ImageDraw

    files = [(kind, seed, picture(folder, kind, seed)) for kind, seed in pictures]
    found = [entry for entry in files if entry[2].exists()]
    for kind, seed, file in files:
        if not file.exists():
            print(f"{kind} {seed:02d}: no picture yet, left out of the sheet.", file=sys.stderr)
    if not found:
        raise SystemExit("There are no pictures for this sheet; render them first.")
    with Image.open(found[0][2]) as first:
        width, height = first.size
    rows = -(-len(found) // 4)
    page = Image.new("RGB", (4 * (width + 4), rows * (height + 4)), "white")
    draw = ImageDraw.Draw(page)
    for index, (kind, seed, file) in enumerate(found):
        x, y = index % 4 * (width + 4), index // 4 * (height + 4)
        with Image.open(file) as image:
            page.paste(image.resize((width, height)), (x, y))
        label = f"{kind} {seed}"
        draw.rectangle((x, y, x + 7 * len(label) + 4, y + 13), fill="white")
        draw.text((x + 3, y + 1), label, fill="black")
    target.parent.mkdir(parents=True, exist_ok=True)
    page.save(target)
    print(f"{target}: {len(found)} pictures")


def dimensions(text: str) -> tuple[int, int]:
    """Read a size such as 512x384."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a size such as 512x384") from None
    if width < 1 or height < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a size such as 512x384")
    return width, height


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kind", action="append", nargs="+", metavar="K", help="only these kinds")
    parser.add_argument(
        "--seed",
        action="append",
        nargs="+",
        type=int,
        metavar="N",
        help="only these pictures (default: all that there are to be)",
    )
    parser.add_argument("--count", type=int, default=15, help="pictures of each kind")
    parser.add_argument("--samples", type=int, default=48, help="Cycles samples")
    parser.add_argument("--size", type=dimensions, default=(512, 384), help="such as 512x384")
    parser.add_argument("--output", type=Path, default=PICTURES, help="folder for the pictures")
    parser.add_argument("--missing", action="store_true", help="render only the absent files")
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="make a contact sheet of the pictures there are, render nothing",
    )
    parser.add_argument("--list", action="store_true", help="print the kinds")
    return parser.parse_args()


def main() -> None:
    """Do what the command line asks."""
    options = arguments()
    known = kinds()
    if options.list:
        print("\n".join(known))
        return
    names = [name for group in options.kind or [known] for name in group]
    for name in names:
        if name not in known:
            raise SystemExit(f"There is no kind {name}; the kinds are {', '.join(known)}.")
    asked = [n for group in options.seed or [] for n in group]
    pictures = [(name, seed) for name in names for seed in asked or seeds_of(name, options.count)]
    if options.sheet:
        sheet(options.output, pictures, options.sheet)
        return
    try:
        import bpy  # noqa: F401
    except ImportError as error:
        raise SystemExit(
            "This needs Blender's Python module: with Python 3.11, run "
            f"`pip install bpy==5.0.1` ({error})."
        ) from None
    warnings.simplefilter("ignore", DeprecationWarning)
    sys.path.insert(0, str(SCENES))
    for name, seed in pictures:
        target = picture(options.output, name, seed)
        if options.missing and target.exists():
            print(f"{name} {seed:02d}: there already", flush=True)
            continue
        begun = time.monotonic()
        render(name, seed, target, options.samples, options.size)
        print(f"{name} {seed:02d}: {time.monotonic() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    main()
