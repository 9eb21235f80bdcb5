"""Formulas, faults in them, and the classes in which gradagree meets them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.planted_faults.libraries import InJax, InTorch
from gradagree.reference import Activation, ErrorFunction

BOTH = ("torch", "jax")


@dataclass(frozen=True)
class Formula:
    """A function and its derivatives, each with a library (`InTorch` or `InJax`) as first argument.

    value(m, *operands); cotangents(m, g, *operands) has one for each operand, and tangent(m, tangents, *operands) is
    the jvp. The operands are p and the parameters of an activation, or o and t of a loss.
    """

    reference: type[Activation] | type[ErrorFunction]
    value: Callable[..., Any]
    cotangents: Callable[..., Any]
    tangent: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Fault:
    """One fault: the right formula and the wrong one.

    method replaces the formula in a framework: a method of (self, operands, framework). attributes are those of the
    class, for faults in what a user declares; such a fault is found if the class is refused.
    """

    kind: str
    name: str
    right: Formula
    wrong: Formula
    frameworks: tuple[str, ...] = BOTH
    methods: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    by_jvp: bool = False

    def function(self, planted: bool = True) -> Activation | ErrorFunction:
        """The function with the fault, or the same one without it. Its class can be sent to another process."""
        formula = self.wrong if planted else self.right
        name = (
            "_" + "".join(part.capitalize() for part in self.name.replace("-", " ").split()) + "Right" * (not planted)
        )
        made = {framework: _method(formula, framework, self.by_jvp) for framework in self.frameworks}
        extra = {**self.methods, **self.attributes} if planted else {}
        kind = type(name, (formula.reference,), {"__module__": __name__, **made, **extra})
        setattr(sys.modules[__name__], name, kind)
        return kind()


def _method(formula: Formula, framework: str, by_jvp: bool) -> Callable[..., Any]:
    """The implementation of a formula in a framework: a method of the class."""

    def bound(m: Any) -> Callable[..., Any]:
        tangent = formula.tangent
        of_tangent = None if tangent is None else (lambda *operands: tangent(m, *operands))

        def value(*operands: Any) -> Any:
            return formula.value(m, *operands)

        if by_jvp and framework == "jax":
            return m.plant_tangent(value, of_tangent)
        return m.plant(value, lambda *operands: formula.cotangents(m, *operands), of_tangent)

    def in_torch(self: Any, *operands: Any) -> Any:
        *arrays, torch = operands
        return bound(InTorch(torch))(*arrays, *_parameters(self, torch.as_tensor))

    def in_jax(self: Any, *operands: Any) -> Any:
        *arrays, jax = operands
        return bound(InJax(jax))(*arrays, *_parameters(self, jax.numpy.asarray))

    if issubclass(formula.reference, Activation):
        return _named_p(in_torch, in_jax)[framework]
    return _named_o(in_torch, in_jax)[framework]


def _parameters(function: Any, convert: Callable[[Any], Any]) -> list[Any]:
    names = getattr(function, "parameter_names", ())
    return [convert(getattr(function, name)) for name in names]


def _named_p(in_torch: Callable[..., Any], in_jax: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return {
        "torch": lambda self, p, torch: in_torch(self, p, torch),
        "jax": lambda self, p, jax: in_jax(self, p, jax),
    }


def _named_o(in_torch: Callable[..., Any], in_jax: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return {
        "torch": lambda self, o, t, torch: in_torch(self, o, t, torch),
        "jax": lambda self, o, t, jax: in_jax(self, o, t, jax),
    }


def elementwise(reference: type[Activation], value: Any, derivative: Any) -> Formula:
    """The formula of an activation from A(m, p) and A'(m, p)."""
    return Formula(
        reference,
        value,
        lambda m, g, p: (g * derivative(m, p),),
        lambda m, dots, p: dots[0] * derivative(m, p),
    )


def with_cotangent(right: Formula, cotangent: Callable[..., Any]) -> Formula:
    """The formula with cotangent(m, g, d, *operands) for the first operand, where d is the right one."""

    def cotangents(m: Any, g: Any, *operands: Any) -> Any:
        first, *others = right.cotangents(m, g, *operands)
        return cotangent(m, g, first, *operands), *others

    return replace(right, cotangents=cotangents)
