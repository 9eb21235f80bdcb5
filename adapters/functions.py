"""A user's function as a call of its framework: named arrays in, arrays out, whatever containers it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from gradagree.adapters.operations import ModelObserver
from gradagree.adapters.program import Program
from gradagree.errors import UsageError, nearest


class UndefinedDerivative(UsageError):
    """A function has no derivative for these cotangents, as its framework says."""


@dataclass
class Call:
    """A function with its arguments, as a function of a list of arrays.

    Args:
        function: Takes one array for each name and returns a list of arrays.
        names: Names of the arrays: ``args[0]``, ``weight``, ``params['w']``.
        arrays: The framework's own arrays.
        wrt: Positions of the arrays whose gradients are checked.
        results: Names of the outputs, after the first call: ``output``, or ``output[0]``, ...
        constant: Positions of the outputs, after a call of `vjp`, that the framework declares to have no derivative,
            while others have one.
        random: True, after `FunctionAdapter.outputs`, if the function draws random numbers.
        state: Makes a context in which the function begins with the same state as in every other, such as the buffers
            of a module, and after which that state is as before.
        compiled: Compiled programs by function, for an adapter that compiles.
    """

    function: Callable[[Sequence[Any]], list[Any]]
    names: list[str]
    arrays: list[Any]
    wrt: list[int]
    results: list[str]
    constant: list[int] = field(default_factory=list)
    random: bool = False
    state: Callable[[], AbstractContextManager[Any]] = nullcontext
    compiled: dict[Any, Any] = field(default_factory=dict)


def gradient_call(
    call: Call, cotangents: Sequence[Any], kept: Sequence[int], function: Callable[[Sequence[Any]], list[Any]]
) -> Call:
    """The call of `FunctionAdapter.gradient`; kept are the places of the cotangents that are not None."""
    names = [f"cotangent of {call.results[k]}" for k in kept]
    places = range(len(call.arrays), len(call.arrays) + len(kept))
    results = [f"gradient of {call.names[k]}" for k in call.wrt]
    arrays = [*call.arrays, *(cotangents[k] for k in kept)]
    return Call(function, [*call.names, *names], arrays, [*call.wrt, *places], results, state=call.state)


def choose(known: dict[str, int], wrt: Any) -> list[int]:
    """The positions of the arrays that ``wrt`` names: numbers of arguments, names of arrays or of containers of them.

    Raises:
        UsageError: A name is not among the known ones; the message has the nearest.
    """
    found = []
    for name in [wrt] if isinstance(wrt, int | str) else wrt:
        key = f"args[{name}]" if isinstance(name, int) else name
        inside = [k for other, k in known.items() if other == key or other.startswith((f"{key}[", f"{key}."))]
        if not inside:
            raise UsageError(f"wrt={name!r} is no floating-point argument; {nearest(key, known)}")
        found += inside
    return found


class FunctionAdapter(Protocol):
    """What checking a user's function needs of a framework."""

    name: str
    strided: bool
    """True if arrays have memory layouts, and uninitialized memory can be filled."""

    def owns(self, function: Any, args: Any) -> bool:
        """True if the function or one of its arguments belongs to the framework."""

    def prepare(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], wrt: Any) -> Call:
        """The call; raises UsageError if no gradient can be checked."""

    def rebuild(self, args: Sequence[Any], kwargs: dict[str, Any], arrays: Sequence[Any]) -> tuple[Any, Any]:
        """(args, kwargs) with other arrays, in the order of the call's, in place of the framework's."""

    def is_module(self, function: Any) -> bool:
        """True if the function brings arrays of its own, such as the parameters of a module."""

    def conjugated(self, x: Any) -> Any:
        """A cotangent as the framework's users write it, in the convention of `vjp`."""

    def dtype(self, x: Any) -> str:
        """The dtype of an array, as ``float32`` or ``bool``."""

    def to_numpy(self, x: Any) -> np.ndarray:
        """An array on the host: float64 or complex128 for inexact numbers, otherwise with its own dtype."""

    def on_host(self, x: Any) -> np.ndarray:
        """An array on the host, without a copy where NumPy has its dtype; otherwise as `to_numpy`."""

    def array(self, x: np.ndarray, like: Any) -> Any:
        """An array of the dtype and on the device of another one."""

    def constant(self, x: np.ndarray) -> Any:
        """An array of the framework with the same dtype."""

    def in_dtype(self, thing: Any, dtype: str | None) -> Any:
        """A function, or arguments in any containers, with NumPy's arrays as the framework's, and floats in a dtype.

        A module is copied. Without a dtype, all numbers keep theirs.
        """

    def store(self, x: Any) -> tuple[np.ndarray, dict[str, Any]] | None:
        """(numbers, whatever else JSON must keep) of a plain array on the host; None for anything else."""

    def restore(self, numbers: np.ndarray, about: dict[str, Any]) -> Any:
        """The array that was stored."""

    def settings(self) -> list[str]:
        """The lines of Python that make the framework compute as it does now, if that is not its default."""

    def version(self) -> str:
        """The version of the framework."""

    def device(self, x: Any) -> str:
        """The device that holds an array, such as ``cpu`` or the name of a GPU."""

    def precision(self) -> str:
        """The framework's setting for the precision of matrix products."""

    def copy(self, x: Any) -> Any:
        """An array with the same numbers in memory of its own."""

    def write(self, x: Any, numbers: Any) -> None:
        """Write the numbers of an array of the same shape into an array, if the framework's can be written to."""

    def same(self, a: Any, b: Any) -> bool:
        """True if two arrays of one shape hold the same numbers; NaN equals NaN."""

    def layouts(self, x: Any) -> dict[str, Callable[[], Any]]:
        """What makes an array with the same numbers in other memory layouts, by name; empty for only one layout."""

    def expanded(self, x: Any) -> Any:
        """An array of the same shape whose first axis has stride 0; None where there is none."""

    def expanded_ones(self, like: Any) -> Any:
        """Ones in the shape of an array, with stride 0 if the framework has strides."""

    def uninitialized_as_nan(self) -> AbstractContextManager[Any]:
        """A context in which uninitialized memory holds NaN, if the framework can do that."""

    def precise(self) -> AbstractContextManager[Any]:
        """A context in which the framework keeps float64."""

    def vjp(self, call: Call, cotangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """(outputs, gradients with respect to call.wrt) in reverse mode; None for a gradient that is undefined.

        The cotangent and the gradient of a complex number x + i y are dL/dx + i dL/dy, in every framework.
        """

    def vjps(self, call: Call, many: Sequence[Sequence[Any]]) -> tuple[list[Any], list[list[Any]]]:
        """As `vjp`, for several lists of cotangents: backward passes of one forward pass, one after the other."""

    def jvp(self, call: Call, tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """(outputs, tangents of the outputs) in forward mode, for one tangent for each of call.wrt."""

    def gradient(self, call: Call, cotangents: Sequence[Any]) -> Call:
        """The gradients with respect to call.wrt as a function of the call's arrays and then of the cotangents.

        Cotangents that are None are left out.
        """

    def has_no_forward_mode(self, error: BaseException) -> bool:
        """True for the error of a function without a forward mode."""

    def outputs(self, call: Call) -> list[Any]:
        """The outputs without a derivative."""

    def trace(self, call: Call) -> Program:
        """The steps of the function; raises UsageError if it cannot be traced."""

    def replay(self, program: Program, call: Call, cotangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """(values, cotangents) of all steps of a traced program, by the framework's own operations."""

    def watch(
        self, function: Any, call: Call, cotangents: Callable[[list[Any]], Sequence[Any]], observer: ModelObserver
    ) -> int:
        """Run a call and its backward pass once, and tell the observer of every operation.

        cotangents gives those of the outputs. Returns the number of operations with a backward pass. Raises UsageError
        where the framework has no such check.
        """

    def backward_passes(self, call: Call) -> list[tuple[str, str]]:
        """(name, file and line) of each backward pass that the user wrote and that the call uses."""
