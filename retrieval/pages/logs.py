"""What libraries write of strangers' requests, and the owner's terminal is spared."""

import logging

# How the library of MCP begins what it writes of each request that is none, by its logger: dozens
# of lines, to which whoever asks adds as many as they like. The asker is answered all the same.
JUNK = {"": "Failed to validate ", "mcp.server.lowlevel.server": "Received exception from stream: "}


class _Resets(logging.Filter):
    """Passes over what asyncio says on Windows of each browser that ends a connection abruptly."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is of anything else."""
        error = record.exc_info[1] if record.exc_info else None
        is_reset = isinstance(error, ConnectionResetError | ConnectionAbortedError)
        return not (is_reset and "_call_connection_lost" in record.getMessage())


class _Junk(logging.Filter):
    """Passes over what begins with certain words."""

    def __init__(self, beginning: str) -> None:
        super().__init__()
        self._beginning = beginning

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is of anything else."""
        return not record.getMessage().startswith(self._beginning)


RESETS = _Resets()
_FILTERS = {"asyncio": RESETS, **{name: _Junk(beginning) for name, beginning in JUNK.items()}}


def spare_the_terminal() -> None:
    """Have nothing written of what strangers do that is no fault here; bugs are still told."""
    for name, spared in _FILTERS.items():
        logging.getLogger(name or None).addFilter(spared)
