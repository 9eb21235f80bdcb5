"""Which other function of the catalogue a framework computes, where a value differs from the requested one.

Two frameworks' defaults may define different functions under one name: the two forms of GELU, softplus with and without
a threshold, means and sums. Where another function of the catalogue explains every entry, it is named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetic.model import Model
from gradagree.cases.case import Arrays, Case
from gradagree.checker.allowances import equivalent_activations
from gradagree.checker.comparison import Comparison, Expect, compare
from gradagree.checker.dense import DenseCheck
from gradagree.checker.loss import LossCheck
from gradagree.checker.reverse import node_check
from gradagree.checker.verdict import Verdict
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.parameters import ContractError, choices

Function = TypeVar("Function", Activation, ErrorFunction)
NUMBERS = (0.0, 0.01, 0.1, 0.125, 0.2, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
"""Values that parameters often have; their negatives too."""
MOST = 3
"""The largest number of functions that are named; more would not explain the value."""


def explained(
    case: Case, arrays: Arrays, answer: Answer, comparisons: Sequence[Comparison], model: Model
) -> dict[str, Any]:
    """A record's reason, ``gelu: the value is that of gelu_tanh``, where a value differs and others explain it."""
    found = next((c for c in comparisons if c.verdict is Verdict.VALUE_DIFFERS), None)
    if found is None:
        return {}
    (node,) = (node for node in case.nodes(arrays) if node.name == found.quantity.node)
    with np.errstate(all="ignore"):
        check = node_check(node, answer, model)
        other = _other_loss(check, found) if isinstance(check, LossCheck) else _other_activation(check, found)
    return {"reason": f"{case.function(node.name)}: {other}"} if other else {}


def _other_activation(check: DenseCheck, found: Comparison) -> str:
    activation, p = check.box.activation, check.plain_p
    observed = check.answer.values[check.node.output]

    def plain(other: Activation) -> Any:
        return dataclasses.replace(check.box, activation=other).weigh(p)

    def expect(other: Activation) -> Expect:
        return check.with_activation(other).expected_value

    n = p.shape[1]
    same = equivalent_activations(activation)
    others = (a for a in neighbours(activation) if a.width(n) == activation.width(n) and a not in same)
    return _named(others, found, observed, plain, expect)


def _other_loss(check: LossCheck, found: Comparison) -> str:
    error, o, t, observed = check.error, check.plain_o, check.plain_targets, np.asarray(check.answer.E)

    def plain(other: ErrorFunction) -> Any:
        return check.weight * other.value(o, t)

    def expect(other: ErrorFunction) -> Expect:
        return check.with_loss(other).expected_value

    kinds = (e for e in neighbours(error) if e.targets == error.targets)
    others = (e for e in kinds if e.width(o.shape[1]) == error.width(o.shape[1]))
    return _named(others, found, observed, plain, expect) or _multiple(found, o.shape, observed, expect(error))


def _named(
    others: Iterator[Function], found: Comparison, observed: np.ndarray, plain: Callable[[Function], Any],
    expect: Callable[[Function], Expect],
) -> str:  # fmt: skip
    """The functions that explain all entries, among those closer to the worst entry than the requested one."""
    explaining = []
    for other in others:
        try:
            near = abs(np.asarray(plain(other))[found.index] - found.observed) < abs(found.expected - found.observed)
            if near and compare(found.quantity, observed, expect(other)).verdict in RIGHT:
                explaining.append(str(other))
        except Exception:  # noqa: BLE001  (a function that does not take these numbers explains nothing)
            continue
    return f"the value is that of {' or '.join(explaining)}" if 0 < len(explaining) <= MOST else ""


RIGHT = (Verdict.AGREE, Verdict.INACCURATE)


def _multiple(found: Comparison, shape: tuple[int, ...], observed: np.ndarray, expect: Expect) -> str:
    """The factor by which the loss differs, as for sums and means over other axes; empty if it is none of these."""
    examples, outputs = shape
    counts = {2: "", examples * outputs: "entries", outputs: "outputs", examples: "examples"}
    for count, what in counts.items():
        there_are = f", and there are {count} {what}" if what else ""
        if count > 1 and compare(found.quantity, observed * float(count), expect).verdict in RIGHT:
            why = f"{there_are}: a mean is taken for a sum" if what else ""
            return f"the value is 1/{count} of what it should be{why}"
        if count > 1 and compare(found.quantity, observed / float(count), expect).verdict in RIGHT:
            why = f"{there_are}: a sum is taken for a mean" if what else ""
            return f"the value is {count} times what it should be{why}"
    return ""


def neighbours(function: Function) -> Iterator[Function]:
    """The function with one parameter changed, and all others of the catalogue."""
    kind = type(function)
    for field in dataclasses.fields(function):
        for value in _values(function, field):
            try:
                yield dataclasses.replace(function, **{field.name: value})
            except ContractError:
                continue
    for other in function.catalogue.values():
        if other is not kind:
            yield other()


def _values(function: Any, field: Any) -> Iterator[Any]:
    """Other values of a parameter."""
    kind: Any = type(function)
    now, default = getattr(function, field.name), field.default
    if isinstance(default, bool):
        found: tuple[Any, ...] = (True, False)
    elif isinstance(default, int):
        found = (now - 1, now + 1)
    elif isinstance(default, float):
        found = (default, *NUMBERS, *(-x for x in NUMBERS[1:]))
    else:
        found = choices(kind).get(field.name, ())
    return (value for value in dict.fromkeys(found) if value != now)
