"""Gradients that are entirely zero: they check nothing, unless a derivative is zero everywhere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradagree.adapters import Answer
from gradagree.cases.case import Arrays, Case
from gradagree.checker.answers import gradients
from gradagree.reference import ErrorBox, backpropagate
from gradagree.reference.graph import LOSS, Node
from gradagree.reference.samples import to_domain

SEED = 20
SPREADS = (0.25, 2.0, 8.0)
"""Standard deviations of the sample inputs."""


class ZeroGradient(NamedTuple):
    """The operation at which the cotangents become zero, and whether its derivative is zero everywhere.

    The operation is None if the reference's gradient is not zero.
    """

    node: Node | None
    everywhere: bool = False

    def reason(self, case: Case) -> str:
        """``every gradient is 0, as hardtanh passes on no cotangent at these inputs: nothing is checked``."""
        if self.node is None:
            return "every gradient is 0 in this dtype: nothing is checked"
        function = case.function(self.node.name)
        if self.everywhere:
            return f"every gradient is 0, as the derivative of {function} is 0 everywhere"
        return f"every gradient is 0, as {function} passes on no cotangent at these inputs: nothing is checked"


def zero_gradient(case: Case, arrays: Arrays, answer: Answer) -> ZeroGradient | None:
    """Why the derivatives by the inputs and all parameters are zero; None if one of them is not.

    Derivatives by the operands of the loss check no operation but the loss.
    """
    apart = (LOSS, *case.operand_names)
    if any(np.any(x) for name, x in gradients(answer).items() if name not in apart) or any(answer.along):
        return None
    with np.errstate(all="ignore"):
        found = backpropagate(case.network(arrays), arrays.inputs)
        each = zip(case.nodes(arrays), found.sensitivities, strict=True)
        zeros = [node for node, cotangent in each if not np.any(cotangent)]
        if not zeros:
            return ZeroGradient(None)
        return ZeroGradient(zeros[-1], is_zero_everywhere(zeros[-1], case.value_shapes[zeros[-1].input]))


def is_zero_everywhere(node: Node, shape: tuple[int, int]) -> bool:
    """True if the derivative of a node's function is zero at all sample inputs of this shape."""
    random = np.random.Generator(np.random.PCG64(SEED))
    operation = node.operation
    for spread in SPREADS:
        x = spread * random.standard_normal(shape)
        if isinstance(operation, ErrorBox):
            cotangent = operation.pull(to_domain(operation.error.domain, x))
        else:
            p = to_domain(operation.activation.domain, x)
            a = operation.activation.value(p)
            cotangent = operation.activation.vjp(p, random.standard_normal(np.shape(a)))
        if np.any(cotangent):
            return False
    return True
