"""How often a visitor may ask: so many times a minute, in any rhythm."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable


class Pace:
    """A token bucket for each visitor: full at first, and refilled evenly; safe in threads."""

    def __init__(
        self, per_minute: int, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Give each visitor a full bucket to begin with.

        Args:
            per_minute: requests; as many may come at once.
            most: visitors that are remembered; those unseen for longest start with a full bucket.
        """
        self._size = float(per_minute)
        self._most = most
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when
        self._lock = threading.Lock()

    def seconds_to_wait(self, visitor: str) -> float:
        """Count a request, and return 0; or when it is one too many, after how long to ask again.

        What is refused is not counted, so whoever waits as told gets in.
        """
        now = self._clock()
        with self._lock:
            tokens, then = self._buckets.pop(visitor, (self._size, now))
            tokens = min(self._size, tokens + (now - then) * self._size / 60)
            refused = tokens < 1
            self._buckets[visitor] = (tokens if refused else tokens - 1, now)
            while len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        return (1 - tokens) * 60 / self._size if refused else 0.0
