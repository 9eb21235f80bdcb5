"""Whether the parts of a case fit each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gradagree import drawing
from gradagree.arithmetics.model import FORMATS
from gradagree.casetext import shorten
from gradagree.errors import UsageError, nearest
from gradagree.shapes import box_outputs, target_shape

if TYPE_CHECKING:
    from gradagree.cases import Case

__all__ = ["validate"]

MOST_NUMBERS = 2 * 10**8


def validate(case: Case) -> None:
    """Raises UsageError, naming the part that does not fit and what would."""
    weights = len(case.widths) - 1
    if not weights <= len(case.activations) <= weights + 1:
        raise UsageError(
            f"{weights} weight matrices need {weights} activations, or one more for an output activation; "
            f"there are {len(case.activations)}"
        )
    if len(case.biases) != weights:
        raise UsageError(f"{weights} weight matrices need as many yes or no for biases; there are {len(case.biases)}")
    if any(width < 1 for width in case.widths) or case.batch < 1:
        raise UsageError(f"widths {case.widths} and {case.batch} examples: each must be at least 1")
    if isinstance(case.seed, int) and not 0 <= case.seed < 10**18:
        raise UsageError(f"seed {case.seed}: give a whole number from 0, of at most 18 digits")
    if isinstance(case.seed, str) and not re.fullmatch("[0-9a-f]{12}", case.seed):
        raise UsageError(f"{shorten(case.seed)!r} is no hash of arrays: twelve hexadecimal digits")
    _check_shapes(case)
    if case.dtype not in FORMATS:
        raise UsageError(f"unknown dtype {case.dtype!r}; {nearest(case.dtype, FORMATS)}")
    drawing.check_regime(case)


def _check_shapes(case: Case) -> None:
    box_outputs(case.widths, case.activations)
    target_shape(case.error, case.batch, case.outputs)
    numbers = case.size + case.batch * sum(case.widths)
    if numbers > MOST_NUMBERS:
        raise UsageError(f"{numbers:,} numbers are more than {MOST_NUMBERS:,}: choose smaller widths or fewer examples")
