"""Matrix products; einsum, tensordot and the other contractions are written in terms of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.operations.primitive import register, sum_to


def matmul(g: Any, y: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """g b^T and a^T g, for matrices and stacks of them."""
    by_a = sum_to(np.matmul(g, np.swapaxes(b, -1, -2)), np.shape(a))
    by_b = sum_to(np.matmul(np.swapaxes(a, -1, -2), g), np.shape(b))
    return by_a, by_b


register(np.matmul, matmul)
