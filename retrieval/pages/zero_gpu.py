"""ZeroGPU, the free hardware of Spaces: it wants a function that is marked for its GPU."""

import importlib
from contextlib import suppress


def mark_a_function() -> None:
    """Mark one small function for the GPU, where the package `spaces` can be imported.

    ZeroGPU reports at the launch that marked functions are there, and is believed to stop a Space
    that has none. It lends its GPU to torch alone; ONNX Runtime stays on the CPU, in this process,
    so the function is never called, and no visitor's share of the GPU is used up.
    """
    with suppress(ImportError):
        # Not before Gradio, whose launch it takes over.
        importlib.import_module("spaces").GPU(_needs_no_gpu)


def _needs_no_gpu() -> None:
    """Do nothing, as all of the search runs on the CPU."""
