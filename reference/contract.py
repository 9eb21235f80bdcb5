"""What an activation and an error function are made of, and the names they go by.

A subclass is its own registration: it becomes a frozen dataclass (its parameters are its fields), is found by its
name, and is refused at once when a method is misspelled, missing or takes a name that is in use.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import re
from typing import Any, ClassVar, Self, dataclass_transform

import numpy as np

from gradagree.reference.contract_checks import (
    DOMAINS,
    TARGETS,
    ContractError,
    check_methods,
    check_name,
    check_parameters,
    nearest,
)
from gradagree.reference.parameters import Weight, Weights, checked, made, text_of

__all__ = ["DOMAINS", "TARGETS", "Activation", "ContractError", "ErrorFunction", "Weight", "Weights", "spelling_names"]

spelling_names: set[str] = {"torch", "jax", "optax"}
"""Methods that hold a spelling in a framework, or a library of jax; each adapter adds its name."""


@dataclass_transform(frozen_default=True)
class _Function:
    """The common part: registration, parameters, canonical text."""

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
        if cls.__name__.startswith("_"):
            dataclasses.dataclass(frozen=True)(cls)
            return
        if "name" not in cls.__dict__:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        check_name(cls)
        check_methods(cls, cls.required | cls.optional | spelling_names)
        check_parameters(cls)
        dataclasses.dataclass(frozen=True)(cls)
        cls.catalogue[cls.name] = cls

    def __post_init__(self) -> None:
        """Parameters take the type of their default, so that equal ones have one text. Raises ContractError."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, field.name, checked(type(self), field, getattr(self, field.name)))

    def __str__(self) -> str:
        """Canonical text without parameters at their defaults: ``tanh``, ``leaky_relu(negative_slope=0.25)``."""
        changed = [
            f"{field.name}={text_of(getattr(self, field.name))}"
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
            if getattr(self, field.name) != field.default
        ]
        return self.name + (f"({','.join(changed)})" if changed else "")

    def width(self, n: int) -> int | None:
        """How many numbers belong to n of them; None where n do not fit. A tuple has one number for each of the n."""
        given = [getattr(self, field.name) for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        return None if any(isinstance(x, tuple) and len(x) not in (0, n) for x in given) else n

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(cls) or "").split("\n")[0]

    @classmethod
    def named(cls, text: str) -> Self:
        """The function that a canonical text stands for: ``tanh``, ``leaky_relu(negative_slope=0.25)``.

        Raises ContractError, naming the nearest function, for an unknown name, and for parameters that do not fit.
        """
        match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
        if match is None:
            raise ContractError(f"{text!r} is no {cls.kind}: write NAME or NAME(parameter=number)")
        kind = cls.catalogue.get(match[1]) or cls.catalogue.get(cls.aliases.get(match[1], ""))
        if kind is None:
            raise ContractError(f"unknown {cls.kind} {match[1]!r}{nearest(match[1], cls.catalogue)}")
        return made(kind, match[2] or "")


class Activation(_Function):
    """a = A(p), entry by entry, with its derivative and its spelling in each framework.

    A subclass gives ``value(p)`` and ``derivative(p)`` in NumPy (any shape; p and the answer have the same one), its
    parameters as fields with defaults, and one method for each framework, named after it: ``torch(p, torch)``,
    ``jax(p, jax)``. Where A' jumps, ``kinks`` lists the points. ``second(p)`` may give A''.

    One that works along the last axis gives ``pull(p, delta_a)`` in place of ``derivative``, and, where it does not
    keep the number of entries, ``width(n)``: how many come out of n, or None where n are not allowed.

    A field of type `Weight` is a weight of the activation itself, shared by all entries: ``a: Weight = Weight(0.25)``;
    of `Weights`, one for each number of an example, whose activation gives ``pull``. It has ``by_a(p)``: dA/da. A
    spelling finds the framework's own array, without axes or of one, in ``self.a``.

    ``domain`` says which p the formula is for, ``range`` what it gives (each one of `DOMAINS`).
    """

    catalogue: ClassVar[dict[str, type[Activation]]] = {}
    kind = "activation"
    required = frozenset({"value", "derivative"})
    optional = frozenset({"pull", "second", "kinks", "width", "domain", "range"})
    aliases: ClassVar[dict[str, str]] = {"identity": "id", "linear": "id", "swish": "silu"}
    domain: ClassVar[str] = "real"
    range: ClassVar[str] = "real"

    @property
    def kinks(self) -> tuple[float, ...]:
        """The points where A' jumps; a class attribute, or a property where they depend on the parameters."""
        return ()

    def value(self, p: Any) -> Any:
        """A(p)."""
        raise NotImplementedError

    def derivative(self, p: Any) -> Any:
        """A'(p)."""
        raise NotImplementedError

    def pull(self, p: Any, delta_a: Any) -> Any:
        """delta_p = A'(p) delta_a; for one along the last axis, delta_p_i = sum_j dA_j/dp_i delta_a_j."""
        return self.derivative(p) * delta_a

    @functools.cached_property
    def along_last_axis(self) -> bool:
        """Whether it has a rule of its own for pull."""
        return type(self).pull is not Activation.pull

    @functools.cached_property
    def own_weights(self) -> tuple[str, ...]:
        """The names of its fields of type `Weight` or `Weights`."""
        return tuple(f.name for f in dataclasses.fields(self) if isinstance(f.default, Weight | Weights))

    def shared_along(self, name: str) -> tuple[int, ...]:
        """The axes of p along which the weight of that name is the same."""
        return (-2,) if isinstance(getattr(type(self), name), Weights) else (-2, -1)

    def by(self, name: str, p: Any) -> Any:
        """The derivative of A(p) by the weight of that name."""
        return getattr(self, f"by_{name}")(p)

    def holding(self, **weights: Any) -> Self:
        """A copy that computes with these arrays in place of its own weights' numbers."""
        held = copy.copy(self)
        for name, array in weights.items():
            object.__setattr__(held, name, array)
        return held


class ErrorFunction(_Function):
    """E = E(o, t), with the sensitivity of the error box.

    A subclass gives ``value(o, t)``, summed over the last two axes (examples, outputs), and ``sensitivity(o, t)``, of
    the shape of o. ``targets`` says what t holds (one of `TARGETS`), ``domain`` what o must be (one of `DOMAINS`), and
    ``width(n)`` how many targets an example with n outputs has, or None where n outputs are not allowed.

    Where the slope jumps, ``kink(o, t)`` is true (``kinks(o, t)`` may name several kinds); ``across(o, t)`` leads off.
    """

    catalogue: ClassVar[dict[str, type[ErrorFunction]]] = {}
    kind = "error function"
    required = frozenset({"value", "sensitivity"})
    optional = frozenset({"kink", "kinks", "across", "targets", "domain", "width"})
    aliases: ClassVar[dict[str, str]] = {"sum_of_squares": "sse", "softmax_cross_entropy": "cross_entropy"}
    targets: ClassVar[str] = "real"
    domain: ClassVar[str] = "real"

    def value(self, o: Any, t: Any) -> Any:
        """E(o, t), a number for each network."""
        raise NotImplementedError

    def sensitivity(self, o: Any, t: Any) -> Any:
        """dE/do."""
        raise NotImplementedError

    def kink(self, o: Any, t: Any) -> Any:
        """True where the slope of E jumps; by default nowhere."""
        return o != o

    def across(self, o: Any, t: Any) -> Any:
        """A direction in which every kink is crossed; by default all outputs grow."""
        return np.ones_like(o)
