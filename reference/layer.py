"""The base class of layers: operations of arrays and parameters, with a vjp written by hand."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from gradagree.reference.contract import Operation
from gradagree.reference.taped import taped_vjp_of_all


class Layer(Operation):
    """A layer y = f(x, parameters): its value and vjp in NumPy, and its implementation in each framework.

    A subclass defines:

    - ``value(x, w, b)``, with one argument for each array, in NumPy functions only, so that it also runs on error
      bounds and intervals. It returns an array, or a tuple of arrays.
    - ``vjp(g, x, w, b)``, the cotangents of all arrays from that of the value (a tuple of cotangents where the value is
      a tuple), in the shapes of the arrays; None for integers, booleans and what has no derivative. It may be left out:
      then it is that of value, by the tape.
    - ``example(rng)``: arrays to check it on, as a dict in the order of the arguments of value. Arrays that a layer can
      do without are left out.
    - its settings, as fields with defaults: ``stride: int = 1``; ``settings`` has texts of other choices to check.
    - one method for each framework, named after it: ``torch(x, w, b, *, torch)``, ``jax(x, w, b, *, jax)``; also for a
      library of layers, flax or equinox, if its own module is to be checked: ``equinox(x, w, b, *, equinox)``.
    - ``constants``, the names of floating arrays without a derivative, such as running statistics.
    - ``other_value(x, w, b)``, the same by another formula in use with larger rounding errors, such as y = a x + b of a
      norm, if there is one: a correct program may use either.

    Example:
        >>> import numpy as np
        >>> from gradagree.reference import Layer
        >>> class Scale(Layer):
        ...     '''y = w x.'''
        ...     def value(self, x, w):
        ...         return w * x
        ...     def vjp(self, g, x, w):
        ...         return w * g, np.sum(g * x, axis=0)
        ...     def example(self, rng):
        ...         return {"x": rng.standard_normal((2, 3)), "w": rng.standard_normal(3)}
        ...     def torch(self, x, w, *, torch):
        ...         return w * x
        >>> Scale().vjp(np.ones((1, 2)), np.array([[1.0, 2.0]]), np.array([3.0, 4.0]))
        (array([[3., 4.]]), array([1., 2.]))
        >>> from gradagree import check
        >>> check(Scale, frameworks="torch").verdict.value
        'agree'
    """

    catalogue: ClassVar[dict[str, type[Layer]]] = {}
    kind = "layer"
    required = frozenset({"value", "example"})
    optional = frozenset({"vjp", "constants", "settings", "other_value"})
    aliases: ClassVar[dict[str, str]] = {"linear": "dense"}
    constants: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ()

    def value(self, *arrays: Any) -> Any:
        """The value of the layer.

        Args:
            arrays: Inputs and parameters, in the order of `array_names`; optional ones at the end may be left out.

        Returns:
            The value, an array or a tuple of arrays.
        """
        raise NotImplementedError

    def vjp(self, g: Any, *arrays: Any) -> Sequence[Any]:
        """The vector-Jacobian product; by default that of value, by the tape.

        Args:
            g: Cotangent of the value, in its shape; a tuple where the value is one.
            arrays: As for `value`.

        Returns:
            The cotangent of each array, in its shape; None for one without a derivative.
        """
        return taped_vjp_of_all(self.value, arrays, g)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Arrays to check the layer on.

        Args:
            rng: Generator of the numbers.

        Returns:
            Arrays by name, in the order of the arguments of `value`.
        """
        raise NotImplementedError

    def other_value(self, *arrays: Any) -> Any:
        """The value by another formula in use; by default there is none.

        Args:
            arrays: As for `value`.

        Returns:
            The value; None where there is no other formula for these arrays.
        """
        return None

    @functools.cached_property
    def array_names(self) -> tuple[str, ...]:
        """The names of the arrays: the arguments of `value`."""
        return tuple(inspect.signature(self.value).parameters)

    def with_gradient(self, arrays: dict[str, Any]) -> list[str]:
        """The names of those arrays that have a derivative: floating-point ones that are no `constants`.

        Args:
            arrays: Arrays by name.

        Returns:
            Names in the order of the arrays.
        """
        return [name for name, x in arrays.items() if np.asarray(x).dtype.kind == "f" and name not in self.constants]

    def variants(self) -> list[Layer]:
        """The layer with its defaults and with each of its other `settings`."""
        texts = [self.name, *(f"{self.name}({text})" for text in type(self).settings)]
        return [type(self).named(text) for text in texts]
