"""What NumPy's arrays are pickled with, read without running anything that a pickle asks for.

A pickle is a program. The unpicklers of this project look every name up in a table of stand-ins,
and what is not in it is refused; these are the stand-ins for plain arrays of numbers.
"""

import io
import pickle
import pickletools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


class StoredType:
    """Stands in for `numpy.dtype`: plain numbers, nothing else."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.dtype = np.dtype(_text(code))
        if self.dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"an array of {self.dtype}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order: Any = _text(state[1])
        self.dtype = self.dtype.newbyteorder(order)


def _text(value: str | bytes) -> str:
    """Return a text, which in Python 2 was bytes."""
    return value.decode("ascii") if isinstance(value, bytes) else value


class StoredArray:
    """Stands in for `numpy.ndarray` and for the function that pickles make one with.

    NumPy's own would take any bytes for an array of objects, that is of addresses, and so hand a
    stranger this process's memory.
    """

    values: npt.NDArray[Any]

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, data = state
        self.fill(data, kind, shape, "F" if by_columns else "C")

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        return np.array(self.values, dtype)

    def fill(self, data: bytes, kind: StoredType, shape: Any, order: Any = "C") -> None:
        """Take numbers of that kind from bytes."""
        self.values = np.frombuffer(data, kind.dtype).reshape(shape, order=order)


class StoredBuffer(StoredArray):
    """Stands in for the other function that pickles make an array with (protocol 5)."""

    def __init__(self, data: bytes, kind: StoredType, shape: Any, order: Any) -> None:
        self.fill(data, kind, shape, order)


class StoredScalar(StoredArray):
    """Stands in for the function that pickles make a single number with."""

    def __init__(self, kind: StoredType, data: bytes) -> None:
        self.fill(data, kind, ())


ARRAYS: Mapping[tuple[str, str], type] = {
    ("numpy", "ndarray"): StoredArray,
    ("numpy", "dtype"): StoredType,
    # NumPy 1 and NumPy 2.
    ("numpy.core.multiarray", "_reconstruct"): StoredArray,
    ("numpy._core.multiarray", "_reconstruct"): StoredArray,
    ("numpy.core.multiarray", "scalar"): StoredScalar,
    ("numpy._core.multiarray", "scalar"): StoredScalar,
    ("numpy.core.numeric", "_frombuffer"): StoredBuffer,
    ("numpy._core.numeric", "_frombuffer"): StoredBuffer,
}


NUMBERING = ("PUT", "BINPUT", "LONG_BINPUT")  # what gives a number to what is to come again


class ArrayUnpickler(pickle.Unpickler):
    """Knows what arrays of numbers are pickled with, and nothing else."""

    STAND_INS = ARRAYS

    def __init__(self, data: bytes, encoding: str = "ASCII") -> None:
        """Prepare to read a pickle.

        Raises:
            pickle.UnpicklingError: when it would take far more memory than it has bytes.
            ValueError: when it is cut short or none.
        """
        _check_size(data)
        super().__init__(io.BytesIO(data), encoding=encoding)

    def find_class(self, module: str, name: str) -> type:
        """Return the stand-in for a name that a pickle asks for, or refuse it."""
        stand_in = self.STAND_INS.get((module, name))
        if stand_in is None:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in this file")
        return stand_in


def _check_size(data: bytes) -> None:
    """Go through a pickle without making anything of it.

    What is to come again has a number, and Python makes a list as long as the largest: 64 GB for a
    pickle of nine bytes. Honest ones count up from 0. A length that is not there, for which it
    would make room as well, ends it here.
    """
    for operation, argument, _ in pickletools.genops(data):
        if operation.name in NUMBERING and not 0 <= int(argument or 0) <= len(data):
            raise pickle.UnpicklingError(f"number {argument} of {len(data)} bytes")
