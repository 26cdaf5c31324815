"""The pictures that browsers have searched with of late, for pages that are loaded anew.

A page keeps its own for the back button (`retrieval.pages.asking`), and goes with them when it is
loaded anew: by whoever presses F5, and by phones, which drop pages that nobody looks at.
"""

import threading
import time

from retrieval.pages.asking import KEPT_UPLOADS, Part

KEPT_SECONDS = 3 * 3600.0  # as long as a visitor's collection
# Of all browsers together; one upload takes up to some 2 MB, a photo of a phone 0.5.
MOST_BYTES = 64 * 2**20


class RecentUploads:
    """Uploads by the browser that has sent them; safe to use from several threads."""

    def __init__(self, seconds: float = KEPT_SECONDS, most_bytes: int = MOST_BYTES) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        # By browser and token, with time.monotonic() of the last use; the latest come last.
        self._kept: dict[tuple[str, str], tuple[float, Part]] = {}
        self._lock = threading.Lock()

    def keep(self, visitor: str, upload: Part) -> None:
        """Keep an upload for its browser; "" is none, whose uploads nobody else may get."""
        if not visitor:
            return
        with self._lock:
            self._kept.pop((visitor, upload.token), None)
            self._kept[visitor, upload.token] = time.monotonic(), upload
            own = [key for key in self._kept if key[0] == visitor]
            for key in own[:-KEPT_UPLOADS]:
                del self._kept[key]
            self._forget_old()
            room = self._most_bytes - sum(part.bytes for _, part in self._kept.values())
            for key in list(self._kept):
                if room >= 0:
                    break
                room += self._kept.pop(key)[1].bytes

    def find(self, visitor: str, token: str) -> Part | None:
        """Return an upload of a browser; None where it has sent none of late under this token."""
        with self._lock:
            self._forget_old()
            found = self._kept.pop((visitor, token), None)
            if found is None:
                return None
            self._kept[visitor, token] = time.monotonic(), found[1]
            return found[1]

    def _forget_old(self) -> None:
        now = time.monotonic()
        for key, (when, _) in list(self._kept.items()):
            if now - when > self._seconds:
                del self._kept[key]
