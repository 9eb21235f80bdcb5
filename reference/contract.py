"""Base classes of activations and losses: registration, parameters, and the canonical text of a function."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import inspect
import re
import sys
import warnings
from collections.abc import Set
from typing import Any, ClassVar, Self, dataclass_transform

import numpy as np

from gradagree.errors import nearest
from gradagree.reference.parameters import ContractError, Weight, Weights, convert, instantiate, text_of
from gradagree.reference.taped import mixes_entries, taped_vjp

MAX_SUGGESTIONS = 12
"""The largest number of known names that an error message lists."""
TARGETS = ("real", "bits", "signs", "classes", "simplex", "positive")
"""Kinds of targets: any number; 0 or 1; -1 or 1; the number of the right class; probabilities; numbers above 0."""
DOMAINS = ("real", "positive", "unit", "simplex", "log_simplex")
"""Domains: any number; above 0; between 0 and 1; probabilities along the last axis; their logarithms."""
implementation_names: set[str] = set()
"""Names of frameworks and their libraries, allowed as method names; each adapter adds its own."""


def check_name(cls: type[Operation]) -> None:
    taken = cls.catalogue.get(cls.name)
    if not re.fullmatch(r"[A-Za-z_]\w*", cls.name):
        raise ContractError(f"{cls.__name__}: the name {cls.name!r} must be letters, digits and underscores")
    if taken is not None and not is_redefinition(taken, cls):
        raise ContractError(
            f"{cls.__name__}: the name {cls.name!r} is taken by {taken.__module__}.{taken.__name__}; "
            f'set another with name = "..."'
        )


def is_redefinition(taken: type, cls: type) -> bool:
    """True if a class is defined again: in an edited notebook, or in a file imported under two module names."""
    if taken.__module__ == cls.__module__:
        return cls.__module__ == "__main__"
    files = [getattr(sys.modules.get(kind.__module__), "__file__", None) for kind in (taken, cls)]
    return files[0] is not None and files[0] == files[1] and taken.__qualname__ == cls.__qualname__


def _is_implementation(name: str, method: Any) -> bool:
    """True for an implementation in a framework, such as ``torch(p, torch)``: a parameter has the method's own name."""
    return inspect.isfunction(method) and name in inspect.signature(method).parameters


def check_methods(cls: type[Operation], known: Set[str]) -> None:
    """Raise ContractError if a public method or attribute is unknown, or a required one is missing."""
    for name in vars(cls):
        if (
            name.startswith("_")
            or name in known
            or name == "name"
            or (name == "pull" and "vjp" in known)
            or _is_implementation(name, vars(cls)[name])
            or name in inspect.get_annotations(cls)
        ):
            continue
        if name.startswith("by_") and isinstance(getattr(cls, name[3:], None), Weight | Weights):
            continue
        near = difflib.get_close_matches(name, sorted(known), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))};"
        raise ContractError(
            f"{cls.__name__}.{name} is no part of {_an(cls.kind)}; {hint} (helpers start with an underscore)"
        )
    base = next(kind for kind in cls.__mro__ if "catalogue" in vars(kind))
    for name in sorted(cls.required):
        if getattr(cls, name) is getattr(base, name):
            raise ContractError(f"{cls.__name__} has no method {name!r}: add `def {name}(self, ...)`")
    for name, choices in (("targets", TARGETS), ("domain", DOMAINS), ("range", DOMAINS)):
        if getattr(cls, name, "real") not in choices:
            raise ContractError(
                f"{cls.__name__}.{name} is {getattr(cls, name)!r}; it must be one of {', '.join(choices)}"
            )


def check_parameters(cls: type[Operation]) -> None:
    for name, kind in inspect.get_annotations(cls).items():
        if name not in vars(cls) and "ClassVar" not in str(kind):
            raise ContractError(f"{cls.__name__}.{name} needs a default value: `{name}: float = 1.0`")
        own = isinstance(vars(cls).get(name), Weight | Weights) and issubclass(cls, Activation)
        if own and not hasattr(cls, f"by_{name}"):
            raise ContractError(f"{cls.__name__} has a weight {name!r} but no method 'by_{name}': add its dA/d{name}")


def _an(kind: str) -> str:
    return ("an " if kind[0] in "aeiou" else "a ") + kind


def _rename_pull(cls: Any) -> None:
    """Let a class define or call `vjp` by its former name, `pull`."""
    if "vjp" not in cls.optional or not hasattr(cls, "pull"):
        return
    if "pull" in vars(cls):
        warnings.warn(f"{cls.__name__}.pull is now called vjp: rename it", DeprecationWarning, stacklevel=3)
        cls.vjp = vars(cls)["pull"]
        del cls.pull
    if "vjp" in vars(cls):
        cls.pull = vars(cls)["vjp"]


@dataclass_transform(frozen_default=True)
class Operation:
    """A function of one or more arrays, with its vjp (vector-Jacobian product), its parameters and a canonical text.

    `Activation` and `ErrorFunction` are its kinds; subclass one of them. A subclass is registered in the ``catalogue``
    of its kind by its ``name`` (by default the class name in snake case), and becomes a frozen dataclass whose fields
    are the parameters. It is refused with a `ContractError` if a method is misspelled or missing, if a parameter has no
    default, or if the name is taken.

    Example:
        >>> from gradagree.reference.activations import LeakyRelu
        >>> LeakyRelu(negative_slope=0.25)
        LeakyRelu(negative_slope=0.25)
        >>> str(LeakyRelu(negative_slope=0.25))
        'leaky_relu(negative_slope=0.25)'
    """

    catalogue: ClassVar[dict[str, Any]]
    kind: ClassVar[str]
    required: ClassVar[frozenset[str]]
    optional: ClassVar[frozenset[str]]
    aliases: ClassVar[dict[str, str]]
    name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "catalogue" in cls.__dict__:
            return
        _rename_pull(cls)
        if cls.__name__.startswith("_"):
            dataclasses.dataclass(frozen=True)(cls)
            return
        if "name" not in cls.__dict__:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        check_name(cls)
        check_methods(cls, cls.required | cls.optional | implementation_names)
        check_parameters(cls)
        dataclasses.dataclass(frozen=True)(cls)
        cls.catalogue[cls.name] = cls

    def __post_init__(self) -> None:
        """Convert parameters to the type of their default, so that equal values have one text. Raises ContractError."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, field.name, convert(type(self), field, getattr(self, field.name)))

    def __str__(self) -> str:
        """Canonical text without parameters at their defaults: ``tanh``, ``leaky_relu(negative_slope=0.25)``."""
        changed = [
            f"{field.name}={text_of(getattr(self, field.name))}"
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
            if getattr(self, field.name) != field.default
        ]
        return self.name + (f"({','.join(changed)})" if changed else "")

    def value(self, *args: Any, **kwargs: Any) -> Any:
        """The value at the given inputs.

        Args:
            args: Input arrays: ``p`` for an activation, ``o`` and ``t`` for an error function.
            kwargs: None so far.

        Returns:
            The value, an array of the same kind.
        """
        raise NotImplementedError

    def vjp(self, *args: Any, **kwargs: Any) -> Any:
        """The vector-Jacobian product: the cotangent of the first input.

        Args:
            args: The inputs and, for an activation, the cotangent of the value. The cotangent of a loss is 1.
            kwargs: None so far.

        Returns:
            The cotangent of the first input, in its shape.
        """
        raise NotImplementedError

    def width(self, n: int) -> int | None:
        """The number of outputs of an activation, or of targets of an error function, for n inputs.

        Args:
            n: Length of the last axis of the first input.

        Returns:
            The length of the last axis of the value (of the targets); by default n. None if n is not allowed, as where
            a parameter is a tuple with one number for each entry, and there are not n of them.
        """
        given = [getattr(self, field.name) for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        return None if any(isinstance(x, tuple) and len(x) not in (0, n) for x in given) else n

    @functools.cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of the parameters with a gradient: the fields of type `Weight` or `Weights`."""
        return tuple(f.name for f in dataclasses.fields(self) if isinstance(f.default, Weight | Weights))  # type: ignore[arg-type]

    @property
    def is_taped(self) -> bool:
        """True if the class leaves its derivative out, so that it is that of value, by the tape."""
        base: Any = next(kind for kind in type(self).__mro__ if "catalogue" in vars(kind))
        names = {"derivative", "sensitivity", "vjp"} & set(vars(base))
        return all(getattr(type(self), name) is getattr(base, name) for name in names)

    def holding(self, **weights: Any) -> Self:
        """A copy that computes with the given arrays in place of its parameters' numbers.

        Args:
            weights: Arrays by the name of the parameter (fields of type `Weight` or `Weights`).

        Returns:
            The copy; its canonical text is undefined.
        """
        held = copy.copy(self)
        for name, array in weights.items():
            object.__setattr__(held, name, array)
        return held

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring, which is the formula."""
        return (inspect.getdoc(cls) or "").split("\n")[0]

    @classmethod
    def named(cls, text: str) -> Self:
        """Create the function that a canonical text describes.

        Args:
            text: A name, with parameters in parentheses where they are not at their defaults.

        Returns:
            An instance of the registered class.

        Raises:
            ContractError: The name is unknown (the message has the nearest one), or a parameter does not fit.

        Example:
            >>> from gradagree import Activation
            >>> Activation.named("leaky_relu(negative_slope=0.25)")
            LeakyRelu(negative_slope=0.25)
        """
        match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
        if match is None:
            raise ContractError(f"{text!r} is no {cls.kind}: write NAME or NAME(parameter=number)")
        kind = cls.catalogue.get(match[1]) or cls.catalogue.get(cls.aliases.get(match[1], ""))
        if kind is None:
            raise ContractError(f"unknown {cls.kind} {match[1]!r}; {nearest(match[1], cls.catalogue, MAX_SUGGESTIONS)}")
        return instantiate(kind, match[2] or "")


class Activation(Operation):
    """An activation a = A(p): its value and derivative in NumPy, and its implementation in each framework.

    A subclass defines:

    - ``value(p)`` in NumPy, for p of any shape. The formula also runs on error bounds and intervals, so it uses NumPy
      functions only, and no ``if`` on entries of p. ``derivative(p)``, in the shape of p, may be left out: the
      derivative is then that of value (records say ``derivative: taped``).
    - its parameters, as fields with defaults: ``alpha: float = 1.0``.
    - one method for each framework, named after it: ``torch(p, torch)``, ``jax(p, jax)``.
    - ``kinks``, the points where the derivative jumps; by default none. ``second(p)`` may give the second derivative.

    An activation along the last axis (softmax) may define ``vjp(p, delta_a)`` in place of ``derivative``, and defines
    ``width(n)`` if it changes the length of that axis.

    A parameter with a gradient of its own is a field of type `Weight` (one number for all entries) or `Weights` (one
    for each number of an example; such an activation defines ``vjp``). For ``a: Weight = Weight(0.25)`` the subclass
    also defines ``by_a(p)``, which is dA/da; an implementation finds the framework's array in ``self.a``.

    ``domain`` says for which p the formula holds, ``range`` where the values lie (each one of ``real``, ``positive``,
    ``unit``, ``simplex`` and ``log_simplex``).

    Example:
        >>> import numpy as np
        >>> from gradagree import Activation, check
        >>> class Cube(Activation):
        ...     '''A(p) = p^3.'''
        ...     def value(self, p):
        ...         return p**3
        ...     def derivative(self, p):
        ...         return 3 * p**2
        ...     def torch(self, p, torch):
        ...         return p**3
        >>> Cube().vjp(np.array([[1.0, 2.0]]), np.array([[1.0, 0.5]])).tolist()
        [[3.0, 6.0]]
        >>> any(record.verdict.fails for record in check(Cube, frameworks="torch", modes="backward"))
        False
    """

    catalogue: ClassVar[dict[str, type[Activation]]] = {}
    kind = "activation"
    required = frozenset({"value"})
    optional = frozenset({"derivative", "vjp", "second", "kinks", "width", "domain", "range"})
    aliases: ClassVar[dict[str, str]] = {"identity": "id", "linear": "id", "swish": "silu"}
    domain: ClassVar[str] = "real"
    range: ClassVar[str] = "real"

    @property
    def kinks(self) -> tuple[float, ...]:
        """The points where A' jumps; a class attribute, or a property where they depend on the parameters."""
        return ()

    def value(self, p: Any) -> Any:
        """A(p).

        Args:
            p: Input, an array of any shape; the examples of one along the last axis are its rows.

        Returns:
            The value, in the shape of p; for one along the last axis, that axis has `width` entries.
        """
        raise NotImplementedError

    def derivative(self, p: Any) -> Any:
        """A'(p), the derivative of each entry of the value by its own entry of p; by default that of value.

        Args:
            p: Input, an array of any shape.

        Returns:
            The derivative, in the shape of p.
        """
        return taped_vjp(self.value, p)

    def vjp(self, p: Any, delta_a: Any) -> Any:
        """The vector-Jacobian product: delta_p_i = sum_j dA_j/dp_i delta_a_j.

        By default delta_p = A'(p) delta_a, entry by entry, or the vjp of value along the last axis. A class may define
        it by its former name, ``pull``, which is deprecated.

        Args:
            p: Input, of shape (..., examples, n).
            delta_a: Cotangent of the value, in the shape of the value.

        Returns:
            The cotangent of p, in the shape of p.
        """
        return taped_vjp(self.value, p, delta_a) if self.along_last_axis else self.derivative(p) * delta_a

    pull = vjp

    @functools.cached_property
    def along_last_axis(self) -> bool:
        """True if the activation works along the last axis: defines its `vjp`, or leaves it out and mixes entries."""
        return type(self).vjp is not Activation.vjp or (self.is_taped and mixes_entries(self.value, self.width))

    @property
    def own_weights(self) -> tuple[str, ...]:
        """The former name of `parameter_names`."""
        return self.parameter_names

    def shared_along(self, name: str) -> tuple[int, ...]:
        """The axes of p that share one value of a parameter.

        Args:
            name: Name of a field of type `Weight` or `Weights`.

        Returns:
            (-2, -1), examples and entries, for a `Weight`; (-2,), examples only, for `Weights`.
        """
        return (-2,) if isinstance(getattr(type(self), name), Weights) else (-2, -1)

    def by(self, name: str, p: Any) -> Any:
        """The derivative of A(p) by a parameter.

        Args:
            name: Name of a field of type `Weight` or `Weights`.
            p: Input, an array of any shape.

        Returns:
            dA/dname, in the shape of p.
        """
        return getattr(self, f"by_{name}")(p)


class ErrorFunction(Operation):
    """A loss E = E(o, t): its value and gradient in NumPy, and its implementation in each framework.

    A subclass defines:

    - ``value(o, t)``, reduced over the last two axes (examples, outputs), of NumPy functions only, as that of an
      `Activation`. ``sensitivity(o, t)``, which is dE/do in the shape of o, may be left out: it is then that of value.
    - its parameters, as fields with defaults: ``delta: float = 1.0``.
    - one method for each framework, named after it: ``torch(o, t, torch)``, ``jax(o, t, jax)``.
    - ``targets``, what t holds: ``real`` (the default), ``bits``, ``signs``, ``classes``, ``simplex``, ``positive``.
    - ``domain``, what o must be, as for an `Activation`.
    - ``width(n)``, how many targets an example with n outputs has, or None if n outputs are not allowed.
    - where the gradient jumps: ``kink(o, t)``, true at kinks (``kinks(o, t)`` may name several kinds), and
      ``across(o, t)``, a direction that crosses them.

    The derivatives with respect to the targets, unless they are class numbers, follow from ``value`` and are checked
    too (``dt`` in records), where formula and implementation are the same function of all numbers t. A parameter with
    a gradient of its own, such as a weight for each class, is a field of type `Weight` or `Weights`; its array is in
    ``self``, and its derivative follows from ``value`` too. An implementation without such a derivative returns zeros
    or None for that operand, which is then not checked.

    Example:
        >>> import numpy as np
        >>> from gradagree import ErrorFunction, check
        >>> class SumOfFourths(ErrorFunction):
        ...     '''E = sum_i (o_i - t_i)^4.'''
        ...     def value(self, o, t):
        ...         return np.sum((o - t) ** 4, axis=(-2, -1))
        ...     def sensitivity(self, o, t):
        ...         return 4 * (o - t) ** 3
        ...     def torch(self, o, t, torch):
        ...         return torch.sum((o - t) ** 4)
        >>> SumOfFourths().vjp(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0]])).tolist()
        [[4.0, 32.0]]
        >>> any(record.verdict.fails for record in check(SumOfFourths, frameworks="torch", modes="backward"))
        False
    """

    catalogue: ClassVar[dict[str, type[ErrorFunction]]] = {}
    kind = "error function"
    required = frozenset({"value"})
    optional = frozenset({"sensitivity", "kink", "kinks", "across", "targets", "domain", "width"})
    aliases: ClassVar[dict[str, str]] = {"sum_of_squares": "sse", "softmax_cross_entropy": "cross_entropy"}
    targets: ClassVar[str] = "real"
    domain: ClassVar[str] = "real"

    def value(self, o: Any, t: Any) -> Any:
        """E(o, t), reduced over the last two axes.

        Args:
            o: Outputs, of shape (..., examples, outputs).
            t: Targets, of shape (..., examples, width), or (..., examples) where they are class numbers.

        Returns:
            The loss, of shape (...).
        """
        raise NotImplementedError

    def sensitivity(self, o: Any, t: Any) -> Any:
        """dE/do, the gradient of the loss by the outputs; by default that of value.

        Args:
            o: Outputs, of shape (..., examples, outputs).
            t: Targets, as for `value`.

        Returns:
            The gradient, in the shape of o.
        """
        return taped_vjp(lambda o: self.value(o, t), o)

    def vjp(self, o: Any, t: Any) -> Any:
        """dE/do: the vector-Jacobian product at cotangent 1.

        Args:
            o: Outputs, of shape (..., examples, outputs).
            t: Targets, as for `value`.

        Returns:
            The cotangent of o, in the shape of o.
        """
        return self.sensitivity(o, t)

    def kink(self, o: Any, t: Any) -> Any:
        """Where the gradient of E jumps; by default nowhere.

        Args:
            o: Outputs, of shape (..., examples, outputs).
            t: Targets, as for `value`.

        Returns:
            Booleans in the shape of o.
        """
        return o != o

    def across(self, o: Any, t: Any) -> Any:
        """A direction that crosses every kink; by default all outputs grow.

        Args:
            o: Outputs, of shape (..., examples, outputs).
            t: Targets, as for `value`.

        Returns:
            The direction, in the shape of o.
        """
        return np.ones_like(o)
