"""OpenVINO, where it is installed, in place of ONNX Runtime's session for models in 8 bits.

It is not among the requirements: 200 MB for 1.05 to 1.15 times the pictures a second on a Zen 4,
and more on Intel's newer processors (README, "Fast"). Models in floats are not given to it: where
the processor can, it rounds them to 16 bits, and they are to be computed as torch does.
"""

import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def is_wanted() -> bool:
    """Say whether OpenVINO is installed and not switched off by `LOOKALIKE_OPENVINO=0`."""
    switched_off = os.environ.get("LOOKALIKE_OPENVINO") == "0"
    return not switched_off and importlib.util.find_spec("openvino") is not None


class OpenVinoSession:
    """Runs a model as `onnxruntime.InferenceSession.run` does; safe to use from several threads."""

    def __init__(self, path: Path, threads: int, calls: int = 1) -> None:
        """Compile the model at `path` for the processor.

        Args:
            calls: from how many threads it will be called at once; each has its share of `threads`.
        """
        # It tells Google that it is imported, with an identity of this machine that it keeps in the
        # home folder. Where the package that does so cannot be imported, it reports nothing.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        runtime = importlib.import_module("openvino")
        hint = "LATENCY" if calls == 1 else "THROUGHPUT"
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": calls,
            "PERFORMANCE_HINT": hint,
        }
        self._compiled: Any = runtime.Core().compile_model(str(path), "CPU", options)
        self._of_thread = threading.local()

    def run(
        self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[np.uint8]]
    ) -> list[npt.NDArray[np.float32]]:
        """Return the outputs with these names, each an array of its own."""
        # A request holds the results of one run, so each thread has its own.
        request = getattr(self._of_thread, "request", None)
        if request is None:
            request = self._of_thread.request = self._compiled.create_infer_request()
        results = request.infer(dict(inputs))
        return [np.array(results[name]) for name in outputs]
