"""A vjp that is written by hand and the vjp of the traced value: two admissible derivations of the same gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradagree.errors import UsageError
from gradagree.functions.enclosures import Expected, enclose, expect
from gradagree.functions.own_operations import with_own
from gradagree.reference import Activation, ErrorFunction, Operation
from gradagree.reference.graph import Application, Graph, Value
from gradagree.reference.operations.primitive import Primitive


def written_graph(reference: Any, inputs: Sequence[np.ndarray], taped: Graph) -> Graph | None:
    """An operation as a graph of one step with its hand-written vjp; None where it has none.

    Args:
        reference: What the user gave as reference.
        inputs: One array for each input, as float64.
        taped: The graph of the operation's value.
    """
    reference = reference() if isinstance(reference, type) and issubclass(reference, Operation) else reference
    known = isinstance(reference, Activation | ErrorFunction) and not reference.is_taped
    if not known or len(inputs) != (1 if isinstance(reference, Activation) else 2) or len(taped.outputs) != 1:
        return None

    def vjp(g: Any, _: Any, *operands: Any) -> list[Any]:
        if isinstance(reference, Activation):
            return [reference.vjp(operands[0], g)]
        by_outputs = np.expand_dims(g, (-2, -1)) * reference.vjp(*operands)
        return [by_outputs, *taped.vjp(taped.evaluate(operands), [g])[1:]]

    step = Application(Primitive(reference.name, reference.value, vjp), tuple(map(Value, range(len(inputs)))), {},
                       Value(len(inputs)))  # fmt: skip
    return Graph(taped.inputs, [step], [step.output], taped.shapes)


def check_written(
    written: Graph, taped: Graph, inputs: Sequence[np.ndarray], cotangents: Sequence[Any], names: Sequence[str]
) -> None:
    """Raises UsageError where a hand-written vjp is certainly not that of the value."""
    stores = ["float64"] * (1 + len(inputs))
    both = (enclose(graph, inputs, cotangents, "stored", "float64", stores)[1] for graph in (written, taped))
    for name, x, y in zip(names, *both, strict=True):
        if x is None or y is None:
            continue
        apart = np.abs(x.value - y.value) > x.radius + y.radius
        if apart.any():
            at = tuple(int(i) for i in np.argwhere(apart)[0])
            raise UsageError(
                f"the vjp of the reference {written.applications[0].operation.name} is not that of its value: its "
                f"gradient of {name} at {list(at)} is {x.value[at]:.9g}, that of its value {y.value[at]:.9g}; "
                "correct it or leave it out"
            )


def expect_both(
    written: Graph, taped: Graph, inputs: Sequence[np.ndarray], cotangents: Sequence[Any], rung: str, dtype: str,
    stores: Sequence[str],
) -> tuple[list[Expected], list[Expected | None]]:  # fmt: skip
    """As `expect` of the taped graph, with gradients by either derivation."""
    values, gradients = expect(taped, inputs, cotangents, rung, dtype, stores)
    others = expect(written, inputs, cotangents, rung, dtype, stores)[1]
    return values, [with_own(x, y, True) for x, y in zip(gradients, others, strict=True)]
