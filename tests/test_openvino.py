"""OpenVINO in place of ONNX Runtime, where it is installed: the same pictures, sooner."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from retrieval import settings
from retrieval.family import int8_path
from retrieval.model import OnnxExtractor
from retrieval.openvino_session import OpenVinoSession
from retrieval.reduction import to_unit
from tests.made import need, noise

SMALL = int8_path(settings.BUNDLED_MODEL)


@pytest.fixture(scope="module", autouse=True)
def _openvino() -> None:
    need("openvino", "pip install openvino")


@pytest.fixture
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOKALIKE_OPENVINO")


def pictures(n: int, side: int) -> np.ndarray:
    return np.stack([np.asarray(noise((side, side), seed, coarse=8)) for seed in range(n)])


def test_the_model_in_8_bits_is_run_by_it_and_sees_the_same(
    switched_on: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_openvino = OnnxExtractor(SMALL, gpu=False)
    assert by_openvino.provider == "CPU, OpenVINO, int8"
    monkeypatch.setenv("LOOKALIKE_OPENVINO", "0")
    usual = OnnxExtractor(SMALL, gpu=False)
    assert usual.provider == "CPU, int8"
    assert by_openvino.card == usual.card
    assert by_openvino.texture_dimension == usual.texture_dimension
    shown = pictures(6, usual.card.preprocessing.side)
    for theirs, ours in zip(
        by_openvino.extract_with_texture(shown), usual.extract_with_texture(shown), strict=True
    ):
        assert theirs.shape == ours.shape
        cosines = (to_unit(theirs) * to_unit(ours)).sum(axis=1)
        assert cosines.min() > 0.998  # each rounds to 8 bits in its own way
    features, maps = by_openvino.extract_with_map(shown)
    assert np.array_equal(features, by_openvino.extract(shown))
    assert maps.shape == usual.extract_with_map(shown)[1].shape


def test_it_reports_nothing_and_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    program = (
        "import socket, sys\n"
        "from pathlib import Path\n"
        "asked = []\n"
        "socket.getaddrinfo = lambda host, *rest, **named: asked.append(host)\n"
        "from retrieval.openvino_session import OpenVinoSession\n"
        f"OpenVinoSession(Path({str(SMALL)!r}), 1)\n"
        "sys.exit(str(asked) if asked else 0)\n"
    )
    told_otherwise = ("CI", "TF_BUILD", "JENKINS_URL")  # under which it reports nothing anyway
    environment = {key: value for key, value in os.environ.items() if key not in told_otherwise}
    environment |= dict.fromkeys(("HOME", "USERPROFILE"), str(tmp_path))
    subprocess.run(
        [sys.executable, "-c", program], cwd=settings.PROJECT, env=environment, check=True
    )
    assert list(tmp_path.iterdir()) == []


def test_called_from_several_threads_at_once_it_sees_the_same(switched_on: None) -> None:
    extractor = OnnxExtractor(SMALL, gpu=False)
    beside = extractor.side_by_side(2)
    assert beside is not None
    assert beside.provider == extractor.provider
    shown = pictures(4, extractor.card.preprocessing.side)
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(beside.extract, [shown[:2], shown[2:]]))
    cosines = (to_unit(np.concatenate(parts)) * to_unit(extractor.extract(shown))).sum(axis=1)
    assert cosines.min() > 0.9999


def test_a_model_in_floats_is_left_to_onnx_runtime(switched_on: None) -> None:
    assert OnnxExtractor(settings.BUNDLED_MODEL, gpu=False).provider == "CPU"


def test_what_openvino_cannot_run_is_run_by_onnx_runtime(
    switched_on: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: OpenVinoSession, *_: object) -> None:
        raise RuntimeError("this processor is too old")

    monkeypatch.setattr(OpenVinoSession, "__init__", fail)
    assert OnnxExtractor(SMALL, gpu=False).provider == "CPU, int8"


@pytest.mark.skipif(sys.platform == "win32", reason="there this signal ends a program at once")
def test_ctrl_c_while_openvino_is_loaded_is_not_taken_for_a_failure_of_it(
    switched_on: None,
) -> None:
    # In a program of its own: where tests run side by side, this signal ends them all.
    program = """
import os, signal, sys
from pathlib import Path
from retrieval.model import OnnxExtractor
from retrieval.openvino_session import OpenVinoSession

def stopped(self, *_):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:  # as some of its modules do
        raise ImportError("a part of it cannot be loaded") from None

signal.signal(signal.SIGINT, signal.default_int_handler)
OpenVinoSession.__init__ = stopped
try:
    OnnxExtractor(Path(sys.argv[1]), gpu=False)
except KeyboardInterrupt:
    print("ended")
"""
    run = subprocess.run(
        [sys.executable, "-c", program, SMALL],
        cwd=settings.PROJECT,
        capture_output=True,
        text=True,
    )
    assert run.stdout == "ended\n", run.stderr


def test_two_threads_do_not_mix_their_pictures_up(switched_on: None) -> None:
    extractor = OnnxExtractor(SMALL, gpu=False)
    shown = pictures(8, extractor.card.preprocessing.side)
    alone = [extractor.extract(shown[i : i + 1]) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: extractor.extract(shown[i : i + 1]), range(8)))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)
