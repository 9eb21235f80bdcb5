"""The common mistake that a wrong gradient of one operation of a model looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradagree.adapters.operations import ModelOperation, PassedGradient
from gradagree.functions.cotangents import another_cotangent, wrong_share
from gradagree.functions.enclosures import Expected
from gradagree.functions.explain import describe, sharper
from gradagree.functions.mistakes import MOST_ENTRIES, of_a_change, of_factors, recognise
from gradagree.functions.model_operations import expectation, graph_of, wide


def mistake_of(
    operation: ModelOperation, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None],
    one: PassedGradient, rungs: Callable[[str], Sequence[str]],
) -> str:  # fmt: skip
    """What a wrong gradient is, as a clause; empty if no common mistake gives it, or if the arrays are large.

    Args:
        operation: The operation that passed it back.
        inputs: The framework's operands.
        cotangents: Those of its outputs.
        one: The wrong gradient.
        rungs: Gives the admissible arithmetics for a dtype.
    """
    if one.observed is None or len(one.operands) > 1 or max(x.size for x in inputs) > MOST_ENTRIES:
        return ""
    graph, argument, observed = graph_of(operation, inputs), one.operands[0], wide(one.observed)
    numbers, seeds = [*map(wide, inputs)], [None if g is None else wide(g) for g in cotangents]
    ladder = expectation(operation, graph, inputs, cotangents, rungs)
    gradients = [known[1] for known in ladder.accurate_first() if known[1][argument] is not None]
    levels: list[Expected] = [sharper(known[argument]) for known in gradients]
    if not levels:
        return ""
    others = {operation.arguments[k]: sharper(g) for k, g in enumerate(gradients[0]) if g is not None and k != argument}
    reference = graph, numbers, seeds, argument
    mistake = recognise(observed, levels[0], others, numbers)
    mistake = mistake or another_cotangent(observed, levels[0], *reference)
    mistake = mistake or of_a_change(observed, levels, *reference)
    mistake = mistake or wrong_share(observed, levels[0], *reference)
    mistake = mistake or of_factors(observed, levels, *reference)
    return describe(mistake)
