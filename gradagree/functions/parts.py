"""Complex arrays as pairs of real ones: the reference and the verdicts have one array for each part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.adapters.formats import PARTS
from gradagree.errors import UsageError
from gradagree.reference.operations.complex_numbers import join_parts


class Part(NamedTuple):
    """One real array of a list of arrays: the place of its array, and ``"real"``, ``"imag"`` or nothing."""

    place: int
    name: str

    def of(self, x: Any) -> Any:
        """This part of its array; None of None."""
        return None if x is None else getattr(x, self.name) if self.name else x


class Parts(Sequence[Part]):
    """The real arrays of a list of arrays, each complex one as its real and then its imaginary part.

    Args:
        dtypes: The dtypes of the arrays.

    Example:
        >>> parts = Parts(["float32", "complex64"])
        >>> parts.names(["w", "z"])
        ['w', 'z.real', 'z.imag']
    """

    def __init__(self, dtypes: Sequence[str]) -> None:
        self.complex = [dtype in PARTS for dtype in dtypes]
        both = ("real", "imag")
        self.parts = [Part(k, name) for k, pair in enumerate(self.complex) for name in (both if pair else ("",))]

    def __getitem__(self, k: Any) -> Any:
        return self.parts[k]

    def __len__(self) -> int:
        return len(self.parts)

    def at(self, place: int) -> list[int]:
        """The numbers of the real arrays of one array."""
        return [k for k, part in enumerate(self.parts) if part.place == place]

    def split(self, arrays: Sequence[Any]) -> list[Any]:
        """The real arrays; those of None are None."""
        return [part.of(arrays[part.place]) for part in self.parts]

    def names(self, names: Sequence[str]) -> list[str]:
        """The names of the real arrays: ``z.real``, ``z.imag``."""
        return [name_of(names[part.place], part.name) for part in self.parts]

    def join(self, parts: Sequence[Any]) -> list[Any]:
        """The arrays of real ones of any arithmetic."""
        given: Iterator[Any] = iter(parts)
        return [join_parts(next(given), next(given)) if pair else next(given) for pair in self.complex]


def name_of(name: str, part: str) -> str:
    return f"{name}.{part}" if part else name


def real_dtype(dtype: str) -> str:
    """The dtype of the parts of an array."""
    return PARTS.get(dtype, dtype)


def of_parts(
    function: Callable[..., Any], inputs: Parts, outputs: Parts | None, names: Sequence[str] = ()
) -> Callable[..., list[Any]]:
    """A function of arrays as a function of real arrays that returns real arrays.

    Args:
        function: Takes arrays and returns an array, or a tuple or list of them.
        inputs: The arrays that it takes.
        outputs: The arrays that it should return; without them, as many as it returns.
        names: Names of the outputs, for messages.

    Raises:
        UsageError: An output is complex that should be real.
    """

    def call(*given: Any) -> list[Any]:
        found = function(*inputs.join(given))
        results = list(found) if isinstance(found, tuple | list) else [found]
        if outputs is None or len(results) != len(outputs.complex):
            return results
        for k, (y, pair) in enumerate(zip(results, outputs.complex, strict=True)):
            if not pair and is_complex(y):
                name = names[k] if names else f"output[{k}]"
                raise UsageError(f"{name} is real, but complex in the reference; return its real part there")
        return outputs.split([parts_of(y) if pair else y for y, pair in zip(results, outputs.complex, strict=True)])

    return call


class PartsOfOne(NamedTuple):
    """Both parts of one array."""

    real: Any
    imag: Any


def parts_of(y: Any) -> PartsOfOne:
    return PartsOfOne(np.real(y), np.imag(y))


def is_complex(y: Any) -> bool:
    return getattr(y, "dtype", np.asarray(y).dtype if np.isscalar(y) else np.dtype(float)).kind == "c"


def real_arrays(x: np.ndarray) -> list[np.ndarray]:
    """The parts of one ordinary array."""
    return [x.real, x.imag] if x.dtype.kind == "c" else [x]
