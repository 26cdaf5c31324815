"""The command `python -m export`: one VGG-16 in, one ONNX file out.

`python -m export train` makes a VGG-16 of our own, `python -m export connect` the fully connected
layers behind it, and `python -m export choose` measures how best to use a trunk; `python -m export
int8` stores an exported network in 8 bits. Each has its own `--help`.
"""

from retrieval.terminal import ending_at_once

with ending_at_once():
    import argparse
    import sys
    import types
    from pathlib import Path

    from export.errors import StoppedError
    from retrieval.errors import LookalikeError, closed_folders_explained
    from retrieval.files import need_place
    from retrieval.paths import require_text
    from retrieval.settings import ASSETS, PYTHON

# What Ctrl+C leaves of each command; the others write only at their end.
STOPPED = {
    "train": "Stopped. The same command goes on from the last checkpoint, where there is one.",
    "connect": "Stopped. What was collected is kept; the same command goes on from there.",
    "choose": "Stopped. What was finished is kept; the same command goes on from there.",
}
NOTHING = "Stopped; nothing was written."


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0, or 1 after printing what went wrong."""
    words = sys.argv[1:] if argv is None else argv
    try:
        with closed_folders_explained():
            if words[:1] in (["train"], ["connect"], ["choose"]):
                _work(words[0], words[1:])
            elif words[:1] == ["int8"]:
                _quantise(words[1:])
            else:
                _export(_parser().parse_args(words))
    except LookalikeError as error:
        print(error, file=sys.stderr)
        # Another command that waits for this one (`&&`) is not to take it for done.
        return 130 if isinstance(error, StoppedError) else 1
    except KeyboardInterrupt:
        print(STOPPED.get(words[0] if words else "", NOTHING), file=sys.stderr)
        return 130
    return 0


def _work(command: str, words: list[str]) -> None:
    """Run what needs torch to work, but not to parse its words."""
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        # A lent GPU has no package for HEIC, and no network to get one. Training reads WebP and
        # JPEG only, so that the app's reader of pictures may load without it, here and only here.
        heif = types.ModuleType("pillow_heif")
        heif.register_heif_opener = lambda: None  # type: ignore[attr-defined]
        sys.modules["pillow_heif"] = heif
    from export import choose, connect, train

    module = {"train": train, "connect": connect, "choose": choose}[command]
    arguments = module.parser().parse_args(words)
    try:
        line = module.run(arguments, lambda text: print(text, file=sys.stderr, flush=True))
    except ImportError as error:
        raise LookalikeError(_missing(error)) from error
    print(line)


def _quantise(words: list[str]) -> None:
    """Run `int8`, which needs no torch."""
    try:
        from export import int8
    except ImportError as error:
        raise LookalikeError(
            f"Quantising needs {error.name}, which is not installed. Install it with: "
            f"{PYTHON} -m pip install -r export/requirements.txt"
        ) from error
    arguments = int8.parser().parse_args(words)
    print(int8.run(arguments, lambda text: print(text, file=sys.stderr, flush=True)))


def _missing(error: ImportError) -> str:
    return (
        f"Exporting needs {error.name}, which is not installed. Install it with: "
        f"{PYTHON} -m pip install -r export/requirements.txt"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    parser.add_argument(
        "--layer",
        choices=("fc1", "fc2", "pool5"),
        default="fc2",
        help="the layer to cut after (default: fc2, 4096 numbers, as in the paper)",
    )
    parser.add_argument(
        "--pool",
        choices=("mean", "gem"),
        help="how pool5 becomes 512 numbers (default: mean); gem also where `export connect` has "
        "made an fc2 for these",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="a state dict in torchvision's names, .pth or .safetensors, in one or several files "
        "(default: ImageNet's, downloaded by torchvision, 528 MB)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the .onnx file to write (default: assets/models/vgg16-LAYER.onnx, or with a pool "
        "vgg16-LAYER-POOL.onnx)",
    )
    parser.add_argument("--name", help="what the page calls the model")
    parser.add_argument(
        "--side", type=int, default=224, help="pixels a side that the network sees (default 224)"
    )
    parser.add_argument(
        "--fit",
        choices=("crop", "squash"),
        default="crop",
        help="cut the square out of the centre, or press the whole picture into it (default: crop)",
    )
    parser.add_argument(
        "--mirror-small",
        type=int,
        default=0,
        metavar="PIXELS",
        help="show pictures of at most so many pixels at half the side, mirrored (default: none)",
    )
    parser.add_argument(
        "--half", action="store_true", help="store the weights in 16 bits, half the size"
    )
    return parser


def _export(arguments: argparse.Namespace) -> None:
    try:
        # Only here, so that `--help` answers at once and a missing torch gets its sentence.
        from torchvision.models import VGG16_Weights

        from export.network import STRIDE, build_network
        from export.onnx_file import write_onnx
        from export.weights import fetch_weights, read_weights
    except ImportError as error:
        raise LookalikeError(_missing(error)) from error
    except RuntimeError as error:  # torchvision does not find its operators in another torch
        raise LookalikeError(
            f"torch and torchvision do not belong together ({error}). Install both again with: "
            f"{PYTHON} -m pip install --force-reinstall -r export/requirements.txt"
        ) from error
    from retrieval.model import ModelCard
    from retrieval.preprocessing import Preprocessing

    if arguments.pool and arguments.layer == "fc1":
        raise LookalikeError("--pool is for pool5 and fc2. Name one of them, or leave out --pool.")
    pooling = arguments.pool or ("mean" if arguments.layer == "pool5" else "")
    side = arguments.side
    if side % STRIDE or not STRIDE <= side <= 1024:
        raise LookalikeError(f"--side must be a multiple of {STRIDE} up to 1024, not {side}.")
    if not 0 <= arguments.mirror_small <= side:
        raise LookalikeError(f"--mirror-small takes from 0 (none) to {side} pixels.")
    if not pooling and side != 224:
        raise LookalikeError(
            "Fully connected layers of the whole map need --side 224. For other sides use --layer "
            "pool5."
        )
    stem = "-".join(filter(None, ["vgg16", arguments.layer, pooling]))
    output = arguments.output or ASSETS / "models" / f"{stem}.onnx"
    require_text(Path(), f"{output}{arguments.name or ''}")
    need_place(output, ".onnx")
    paths = arguments.weights or [fetch_weights(VGG16_Weights.IMAGENET1K_V1.url)]
    weights = read_weights(*paths)
    network = build_network(weights.state, arguments.layer, pooling, arguments.half)
    origin = f"weights of {paths[0].name}" if arguments.weights else "ImageNet"
    crop = arguments.fit == "crop"
    card = ModelCard(
        name=arguments.name or f"VGG-16, {origin}",
        layer=arguments.layer,
        pooling=pooling,
        dimension=network.dimension,
        weights_sha256=weights.sha256,
        preprocessing=Preprocessing(
            side=side,
            fit=arguments.fit,
            interpolation="bilinear",
            resize=side * 256 // 224 if crop else side,
            mirrored=arguments.mirror_small,
        ),
    )
    print(f"Writing {card.name}, {card.layer}, {card.dimension} numbers ...", file=sys.stderr)
    difference = write_onnx(network, card, output, arguments.half)
    size = output.stat().st_size / 2**20
    print(f"{output}: {size:.1f} MB, largest difference from torch {difference:.1e} relative")


if __name__ == "__main__":
    sys.exit(main())
