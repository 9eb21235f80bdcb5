"""Correct programs: repaired functions and plain ones, in other dtypes, with other numbers and memory layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.gradbugs.bug import DTYPES, Bug

VARIANTS = 10
"""Correct programs for each bug."""


@dataclass(frozen=True)
class Variant:
    """One correct program.

    Args:
        bug: The bug whose repaired function or reference it is.
        dtype: Dtype of the arrays.
        seed: Seed of the numbers.
        form: ``"repaired"``, or ``"plain"``: the reference as a program of its own, differentiated by the framework.
        layout: ``"contiguous"``, ``"transposed"`` or ``"strided"``: how the arrays lie in memory.
    """

    bug: Bug
    dtype: str
    seed: int
    form: str = "repaired"
    layout: str = "contiguous"

    @property
    def function(self) -> Callable[..., Any]:
        return self.bug.right if self.form == "repaired" or self.bug.reference is None else self.bug.reference

    def arrays(self) -> list[Any]:
        """The arguments in their layout."""
        found = self.bug.arrays(self.dtype, self.seed)
        return [laid_out(x, self.layout) for x in found] if self.bug.framework == "torch" else found

    def __str__(self) -> str:
        return f"{self.bug.name} ({self.form}, {self.dtype}, {self.layout}, numbers {self.seed})"


def variants(bug: Bug) -> Iterator[Variant]:
    """The correct programs of one bug: in each of its dtypes repaired and plain, and two with other layouts."""
    dtypes = [dtype for dtype in DTYPES if dtype in bug.dtypes]
    plain = "plain" if has_plain_form(bug) else "repaired"
    for k in range(VARIANTS - 2):
        yield Variant(bug, dtypes[k % len(dtypes)], k // len(dtypes), "repaired" if k < len(DTYPES) else plain)
    yield Variant(bug, dtypes[0], VARIANTS, layout="transposed")
    yield Variant(bug, dtypes[-1], VARIANTS + 1, layout="strided")


def has_plain_form(bug: Bug) -> bool:
    """True if the reference is a program that the bug's framework can differentiate."""
    from benchmarks.gradbugs.tools import values_and_gradients

    if bug.reference is None:
        return False
    try:
        found = values_and_gradients(bug, bug.reference, bug.arrays(bug.dtypes[0]))
    except Exception:  # noqa: BLE001 (a reference in NumPy)
        return False
    return all(x is not None for x in found)


def laid_out(x: Any, layout: str) -> Any:
    """An array of torch with the same numbers in another memory layout."""
    if layout == "contiguous" or not hasattr(x, "untyped_storage") or x.ndim == 0:
        return x
    if layout == "transposed":
        return x.mT.contiguous().mT if x.ndim > 1 else x
    import torch

    return torch.stack([x, x], -1)[..., 0]
