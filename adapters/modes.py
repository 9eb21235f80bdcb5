"""Modes: the methods of a framework to compute a gradient, one record each.

Everything that depends on a mode (plans, models of arithmetic, surveys, training, figures, generated scripts) reads its
record; there is no other table of modes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Error = Callable[[list[Any], Any], tuple[Any, list[Any]]]
"""From (leaves, targets) to (E, auxiliary arrays)."""
Gradient = Callable[[Error, Sequence[bool]], Callable[[list[Any], Any], Any]]
"""From (error, per_example) to a function from (leaves, targets) to ((E, auxiliary arrays), gradients)."""


@dataclass(frozen=True)
class Mode:
    """One method to compute a gradient.

    Args:
        gradient: ``gradient(error, per_example)(leaves, targets)`` returns ``(E, aux), gradients`` for an
            ``error(leaves, targets)`` that returns ``E, aux``. per_example tells which leaves have one row per example.
        forward: Forward mode: its taps are tangents, and it is checked end to end first.
        fused: A compiler may use a number before it is rounded to be stored.
        per_example: The gradient of each example is stored before they are summed.
        compiles: It traces or compiles anew for every architecture, so it runs on the cases of recurring ones only.
        by_default: It runs without being named.
        slow: A program takes seconds to compile: a survey leaves the mode to its nightly profile.
        source: Its lines in a generated script (`ScriptText`); a mode without them gets no script.
    """

    gradient: Gradient
    forward: bool = False
    fused: bool = False
    per_example: bool = False
    compiles: bool = False
    by_default: bool = True
    slow: bool = False
    source: str = ""

    def __call__(self, *arguments: Any) -> Any:
        return self.gradient(*arguments)


@dataclass(frozen=True)
class PointwiseMode:
    """One method of a survey to compute values or derivatives of a single function.

    Args:
        sums: It differentiates the sum over all points, so that a function with one value for all has a result.
        lengths: The survey evaluates it on vectors of other lengths too, and compares.
        quick: The quick profile evaluates it, and others evaluate it for functions at other parameters too.
        slow: Only the nightly profile evaluates it.
        source: Its lines in a reproducer, which end with ``found``.
    """

    sums: bool = False
    lengths: bool = False
    quick: bool = False
    slow: bool = False
    source: str = ""


@dataclass(frozen=True)
class ScriptText:
    """Source text of generated scripts that all modes of a framework share; ``{dtype}`` stands for the dtype.

    A script of a case defines ``error(*leaves, target)``, which returns E and the value of each node, and ``arrays``:
    the inputs, the weights, the biases, the activations' parameters, and zeros that are added to the values of the
    nodes. The source of a mode ends with ``E``, ``values`` and ``gradients``, in the order of the leaves; ``{each}`` in
    it stands for per_example and ``{scale}`` for the weight of one example.

    A reproducer of a survey defines ``f(x, *t)``; the source of its mode ends with ``found``. ``{k}`` and ``{j}`` in it
    index an output and an input; ``along`` and ``out`` are directions of inputs and outputs. setup follows the imports,
    tensor makes an array of a list, parameter one of a parameter, and scalar a Python number of an entry of ``found``.

    A survey names the framework's functions that an implementation calls: modules maps the names by which
    implementations refer to modules to their full names, and conversions are endings of functions that only convert or
    split arrays.
    """

    settings: str
    leaves: str
    target: str
    target_dtype: str
    setup: str
    tensor: str
    parameter: str
    scalar: str
    ones: str
    unit: str
    detached: str = ""
    requires_gradient: str = ""
    output_ones: str = ""
    output_unit: str = ""
    modules: Mapping[str, str] = field(default_factory=dict)
    conversions: tuple[str, ...] = ()


DEFAULT = Mode(lambda error, per_example: error)
"""The traits of an unknown mode."""
PER_EXAMPLE = frozenset({"vmap"})
"""Names of modes given as plain functions that store the gradient of each example."""


def mode_records(cls: Any) -> dict[str, Mode]:
    """The modes of an adapter class, where a plain function stands for a record.

    It takes the traits of the mode of that name of a base class, or else those that the class names in ``untapped``
    (forward modes), ``compiled`` (fused ones) and ``each_alone`` (per-example ones).
    """
    return {name: mode if isinstance(mode, Mode) else _record(cls, name, mode) for name, mode in cls.modes.items()}


def _record(cls: Any, name: str, gradient: Gradient) -> Mode:
    inherited = [base.modes[name] for base in cls.__mro__[1:] if name in getattr(base, "modes", {})]
    mode = replace(inherited[0], gradient=gradient, source="") if inherited else Mode(gradient)
    traits = {
        trait: name in getattr(cls, names)
        for trait, names in (("forward", "untapped"), ("fused", "compiled"), ("per_example", "each_alone"))
        if hasattr(cls, names)
    }
    if not inherited and "per_example" not in traits:
        traits["per_example"] = name in PER_EXAMPLE
    return replace(mode, **traits)
