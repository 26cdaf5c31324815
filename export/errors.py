"""What ends a command of `export` that is neither done nor at fault."""

from retrieval.errors import LookalikeError


class StoppedError(LookalikeError):
    """Somebody has stopped it; the same command goes on from there."""
