"""What libraries write of strangers' requests, and the owner's terminal is spared."""

import logging

from retrieval.terminal import printable

# How libraries begin what they write of each request that is none, by their loggers: up to dozens
# of lines, to which whoever asks adds as many as they like. The asker is answered all the same.
JUNK = {
    "": ("Failed to validate ",),
    "mcp.server.lowlevel.server": ("Received exception from stream: ", "Tool '"),
    "mcp.server.transport_security": ("Invalid Content-Type", "Missing Content-Type"),
    "python_multipart.multipart": ("Expected boundary character",),
    "uvicorn.error": (
        "Unsupported upgrade request",
        "No supported WebSocket library",
        "Invalid HTTP request",
    ),
}


class _Resets(logging.Filter):
    """Passes over what asyncio says on Windows of each browser that ends a connection abruptly."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is of anything else."""
        error = record.exc_info[1] if record.exc_info else None
        is_reset = isinstance(error, ConnectionResetError | ConnectionAbortedError)
        return not (is_reset and "_call_connection_lost" in record.getMessage())


class _Junk(logging.Filter):
    """Passes over what begins with certain words."""

    def __init__(self, beginnings: tuple[str, ...]) -> None:
        super().__init__()
        self._beginnings = beginnings

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is of anything else."""
        return not record.getMessage().startswith(self._beginnings)


class _Printable(logging.LogRecord):
    """What is written down, on one line and without signs that would set the terminal up.

    Libraries write what strangers call things as it came: a line's end would begin one that reads
    like ours.
    """

    def getMessage(self) -> str:
        """Return what is said."""
        return printable(super().getMessage())


RESETS = _Resets()
_FILTERS = {"asyncio": RESETS, **{name: _Junk(beginnings) for name, beginnings in JUNK.items()}}


def spare_the_terminal() -> None:
    """Have nothing written of what strangers do that is no fault here; bugs are still told."""
    logging.setLogRecordFactory(_Printable)
    for name, spared in _FILTERS.items():
        logging.getLogger(name or None).addFilter(spared)
