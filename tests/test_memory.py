"""What large pictures have taken goes back to the system, and what small ones have does not."""

import subprocess
import sys

import pytest

from retrieval.settings import PROJECT

OPEN_LARGE = """
import io, os, threading
from PIL import Image
from retrieval.images import open_picture
from tests.memory import resident_megabytes

buffer = io.BytesIO()
Image.new("RGB", (7000, 7000), "teal").save(buffer, "PNG", compress_level=1)
before = resident_megabytes(os.getpid())
for _ in range(2):
    threads = [
        threading.Thread(target=open_picture, args=(buffer.getvalue(), 320)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(resident_megabytes(os.getpid()) - before)
"""

TAKE_SMALLER = """
import resource
import numpy as np
import retrieval.images

for turn in range(21):
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for megabytes in (1, 4, 6):
        buffer = np.ones(megabytes * 2**20, np.uint8)
        del buffer
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="others give back by themselves")


def said_by(program: str) -> float:
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return float(answer.stdout)


def test_the_memory_of_large_pictures_goes_back() -> None:
    assert said_by(OPEN_LARGE) < 60  # of 392 MB that two of them have


def test_what_smaller_buffers_have_taken_serves_the_next_ones() -> None:
    assert said_by(TAKE_SMALLER) < 1_000  # pages of 4 KB, of 56,320 that were asked for
