"""What activations and error functions are: registration, parameters, and the canonical text of a function."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import inspect
import math
import re
import sys
import typing
import warnings
from collections.abc import Set
from typing import Any, ClassVar, Literal, Self, dataclass_transform

import numpy as np

from gradagree.errors import nearest

Reduction = Literal["mean", "sum", "none"]
"""Over the errors of all entries, or examples; "none" is contracted with fixed weights."""
PLAIN = (bool, int, float, str)
MOST_NAMES = 12
"""So many names are told in a message."""
TARGETS = ("real", "bits", "signs", "classes", "simplex", "positive")
"""Kinds of targets: any number; 0 or 1; -1 or 1; the number of the right class; probabilities; numbers above 0."""
DOMAINS = ("real", "positive", "unit", "simplex", "log_simplex")
"""Any number; above 0; between 0 and 1; probabilities along the last axis; their logarithms."""
spelling_names: set[str] = set()
"""Names of frameworks and of their libraries, which methods may bear; each adapter adds its own."""


class ContractError(TypeError):
    """A class does not keep the contract of an activation or error function."""


class Weight(float):
    """A parameter with a gradient, shared by all entries: ``a: Weight = Weight(0.25)``."""


class Weights(tuple[float, ...]):
    """Parameters with gradients, one for each number of an example: ``a: Weights = Weights((0.25, 0.5))``."""

    __slots__ = ()


@functools.lru_cache(maxsize=4096)
def made(kind: type[Operation], text: str) -> Any:
    """The function with the parameters of a text; the same text gives the same one, for functions do not change."""
    return kind(**parameters(kind, text))


def parameters(made: type[Operation], text: str) -> dict[str, Any]:
    """``a=1,b=2.5,weight=(0.5,2.0)`` as keyword arguments of the types of the fields' defaults."""
    fields = {field.name: field for field in dataclasses.fields(made)}  # type: ignore[arg-type]
    given: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in re.split(r",(?![^(]*\))", text))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in fields:
            raise ContractError(f"{made.name} has no parameter {key!r}; it has: {', '.join(fields) or 'none'}")
        many = value.startswith("(") and value.endswith(")")
        texts = filter(None, value.strip("()").split(",")) if many else [value]
        numbers = [_read(made, key, one.strip(), 0.0 if many else fields[key].default) for one in texts]
        given[key] = tuple(numbers) if many else numbers[0]
    return given


def _read(made: type[Operation], key: str, text: str, default: Any) -> Any:
    truths = {"True": True, "False": False}
    default = 0.0 if isinstance(default, tuple) else default
    try:
        value = truths[text] if isinstance(default, bool) else type(default)(text)
    except (ValueError, KeyError):
        raise ContractError(f"{made.name}: {key}={text!r} is no {type(default).__name__.lower()}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ContractError(f"{made.name}: {key}={text} is not finite")
    return value


def checked(made: type[Operation], field: dataclasses.Field[Any], value: Any) -> Any:
    """A parameter's value with the type of its default; a tuple, where there may be one, of float.

    Raises ContractError for a value that is none of the choices, and for a tuple in place of a number.
    """
    kind: Any = type(field.default)
    if issubclass(kind, tuple) or "tuple" in str(field.type):
        many = isinstance(value, tuple | list) or getattr(value, "ndim", 0) == 1
        if issubclass(kind, tuple) and not many:
            raise ContractError(f"{made.name}: {field.name} is one number for each entry: ({value},...)")
        return (kind if kind is Weights else tuple)(float(x) for x in value) if many else float(value)
    if isinstance(value, tuple | list):
        raise ContractError(f"{made.name}: {field.name} is one {kind.__name__.lower()}, not {len(value)} of them")
    allowed = choices(typing.cast("Any", made)).get(field.name)
    if allowed and value not in allowed:
        raise ContractError(f"{made.name}: {field.name}={value!r} is none of {', '.join(map(str, allowed))}")
    return kind(value) if kind in PLAIN or kind is Weight else value


@functools.cache
def choices(made: Any) -> dict[str, tuple[Any, ...]]:
    """The values of each parameter whose type is a Literal."""
    try:
        hints = typing.get_type_hints(made)
    except NameError:
        return {}
    return {name: typing.get_args(hint) for name, hint in hints.items() if typing.get_origin(hint) is Literal}


def text_of(value: Any) -> str:
    """A parameter's value, without spaces."""
    return f"({','.join(map(str, value))})" if isinstance(value, tuple) else str(value)


def check_name(cls: type[Operation]) -> None:
    taken = cls.catalogue.get(cls.name)
    if not re.fullmatch(r"[A-Za-z_]\w*", cls.name):
        raise ContractError(f"{cls.__name__}: the name {cls.name!r} must be letters, digits and underscores")
    if taken is not None and not made_again(taken, cls):
        raise ContractError(
            f"{cls.__name__}: the name {cls.name!r} is taken by {taken.__module__}.{taken.__name__}; "
            f'set another with name = "..."'
        )


def made_again(taken: type, cls: type) -> bool:
    """Whether it is the same class: of a notebook that was changed, or of a file that goes by two module names."""
    if taken.__module__ == cls.__module__:
        return cls.__module__ == "__main__"
    files = [getattr(sys.modules.get(kind.__module__), "__file__", None) for kind in (taken, cls)]
    return files[0] is not None and files[0] == files[1] and taken.__qualname__ == cls.__qualname__


def _is_implementation(name: str, method: Any) -> bool:
    """True for an implementation in a framework, such as ``torch(p, torch)``: a parameter has the method's own name."""
    return inspect.isfunction(method) and name in inspect.signature(method).parameters


def check_methods(cls: type[Operation], known: Set[str]) -> None:
    """Every public method and attribute is a part of the contract; the required ones are there."""
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
    along_last_axis = getattr(cls, "vjp", None) is not getattr(base, "vjp", None)
    for name in sorted(cls.required - ({"derivative"} if along_last_axis else set())):
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
        if isinstance(vars(cls).get(name), Weight | Weights) and not hasattr(cls, f"by_{name}"):
            raise ContractError(f"{cls.__name__} has a weight {name!r} but no method 'by_{name}': add its dA/d{name}")


def _an(kind: str) -> str:
    return ("an " if kind[0] in "aeiou" else "a ") + kind


def _rename_pull(cls: Any) -> None:
    """A class may define or call `vjp` by its former name, `pull`."""
    if "vjp" not in cls.optional:
        return
    if "pull" in vars(cls):
        warnings.warn(f"{cls.__name__}.pull is now called vjp: rename it", DeprecationWarning, stacklevel=3)
        cls.vjp = vars(cls)["pull"]
        del cls.pull
    if "vjp" in vars(cls):
        cls.pull = vars(cls)["vjp"]


@dataclass_transform(frozen_default=True)
class Operation:
    """A function of one or more arrays, with its vjp, its parameters and a canonical text.

    Activation and ErrorFunction are its kinds. A subclass of a kind is registered in the kind's ``catalogue`` by its
    name, and becomes a frozen dataclass whose fields are its parameters.
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

    def value(self, *args: Any, **kwargs: Any) -> Any:
        """The value at the given inputs."""
        raise NotImplementedError

    def vjp(self, *args: Any, **kwargs: Any) -> Any:
        """The cotangent of the first input, at the given inputs and cotangent of the value."""
        raise NotImplementedError

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
            raise ContractError(f"unknown {cls.kind} {match[1]!r}; {nearest(match[1], cls.catalogue, MOST_NAMES)}")
        return made(kind, match[2] or "")


class Activation(Operation):
    """a = A(p), entry by entry, with its derivative and its spelling in each framework.

    A subclass gives ``value(p)`` and ``derivative(p)`` in NumPy (any shape; p and the answer have the same one), its
    parameters as fields with defaults, and one method for each framework, named after it: ``torch(p, torch)``,
    ``jax(p, jax)``. Where A' jumps, ``kinks`` lists the points. ``second(p)`` may give A''.

    One that works along the last axis gives ``vjp(p, delta_a)`` in place of ``derivative``, and, where it does not
    keep the number of entries, ``width(n)``: how many come out of n, or None where n are not allowed.

    A field of type `Weight` is a weight of the activation itself, shared by all entries: ``a: Weight = Weight(0.25)``;
    of `Weights`, one for each number of an example, whose activation gives ``vjp``. It has ``by_a(p)``: dA/da. A
    spelling finds the framework's own array, without axes or of one, in ``self.a``.

    ``domain`` says which p the formula is for, ``range`` what it gives (each one of `DOMAINS`).
    """

    catalogue: ClassVar[dict[str, type[Activation]]] = {}
    kind = "activation"
    required = frozenset({"value", "derivative"})
    optional = frozenset({"vjp", "second", "kinks", "width", "domain", "range"})
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

    def vjp(self, p: Any, delta_a: Any) -> Any:
        """delta_p = A'(p) delta_a; for one along the last axis, delta_p_i = sum_j dA_j/dp_i delta_a_j."""
        return self.derivative(p) * delta_a

    pull = vjp

    @functools.cached_property
    def along_last_axis(self) -> bool:
        """Whether it has a vjp of its own."""
        return type(self).vjp is not Activation.vjp

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


class ErrorFunction(Operation):
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

    def vjp(self, o: Any, t: Any) -> Any:
        """dE/do: the cotangent of E is 1."""
        return self.sensitivity(o, t)

    def kink(self, o: Any, t: Any) -> Any:
        """True where the slope of E jumps; by default nowhere."""
        return o != o

    def across(self, o: Any, t: Any) -> Any:
        """A direction in which every kink is crossed; by default all outputs grow."""
        return np.ones_like(o)
