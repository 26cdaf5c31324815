"""From upload to a painted gallery, in Chromium: `python -m tests.bench_page`.

A phone's photo of 12 megapixels is uploaded to the real app, which searches 10,000 pictures (random
vectors, small thumbnails). The clock runs in the page itself: from the moment the file is chosen
until the first screen of results is there with its pictures decoded, and painted.
"""

import argparse
import base64
import json
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from retrieval import settings
from retrieval.embedding import open_embedder
from tests.bench_collection import make
from tests.browser import open_browser, running_app
from tests.made import encode, noise

PICTURES = 10_000
PHOTO = (4032, 3024)

# Chosen -> painted, in milliseconds. The address of the results names the upload, so the results
# of an earlier one are not taken for these.
CLOCK = """
() => new Promise((done) => {
  const grid = () => document.querySelector('#results [data-address]')?.dataset.address ?? '';
  const before = grid();
  const started = performance.now();
  const look = async () => {
    const tiles = [...document.querySelectorAll('#results .lk-tile img')].slice(0, 12);
    const fresh = grid() !== before && document.querySelector('#results .lk-score');
    if (!fresh || tiles.length < 12) return requestAnimationFrame(look);
    await Promise.all(tiles.map((image) => image.decode().catch(() => {})));
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - started)));
  };
  const field = document.querySelector('#query input[type=file]');
  field.files = window.photo;
  field.dispatchEvent(new Event('change', { bubbles: true }));
  look();
})
"""
KEEP = """
async (data) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], 'IMG_2034.JPG', { type: 'image/jpeg' }));
  window.photo = transfer.files;
}
"""


def main(argv: list[str] | None = None) -> int:
    """Print the median and the slowest of some uploads."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_page", description=__doc__)
    parser.add_argument("--uploads", type=int, default=15)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        pca = settings.BUNDLED_PCA
        embedder = open_embedder(settings.BUNDLED_MODEL, pca, texture=settings.texture_path(pca))
        make(home / "collections" / "large", arguments.pictures, embedder)
        with running_app(home) as address, open_browser() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address + "?in=large")
            page.wait_for_selector("#results .lk-tile", timeout=60_000)
            times = [_upload(page, seed) for seed in range(arguments.uploads)]
    times = times[1:]  # the first one also warms the browser
    result = {
        "pictures": arguments.pictures,
        "megapixels": round(PHOTO[0] * PHOTO[1] / 1e6, 1),
        "median_ms": round(statistics.median(times)),
        "slowest_ms": round(max(times)),
        "uploads": len(times),
    }
    print(json.dumps(result))
    return 0


def _upload(page: Page, seed: int) -> float:
    """Upload a photo of its own; return the milliseconds until its results are painted."""
    photo = encode(noise(PHOTO, seed, coarse=200), "JPEG", quality=88)
    page.evaluate(KEEP, base64.b64encode(photo).decode())
    return float(page.evaluate(CLOCK))


if __name__ == "__main__":
    raise SystemExit(main())
