"""What large pictures have taken goes back to the system."""

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


@pytest.mark.skipif(sys.platform != "linux", reason="others give back by themselves")
def test_the_memory_of_large_pictures_goes_back() -> None:
    command = [sys.executable, "-c", OPEN_LARGE]
    answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert float(answer.stdout) < 60  # of 392 MB that two of them have
