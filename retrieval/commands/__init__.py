"""The commands of `python -m retrieval`: `add` describes one, `run` does it."""
