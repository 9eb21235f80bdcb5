"""Which function of a framework a spelling calls: its own, or a formula of several."""

from __future__ import annotations

import inspect
import re
from typing import Any

NAME = re.compile(r"\b(?:torch|jax|optax|jnp|special)(?:\.\w+)+")
PLUMBING = ("asarray", "as_tensor", "torch.tensor", "jax.numpy.array", "split", "jax.numpy.sum", "jnp.asarray")
SHORT = {"jnp": "jax.numpy", "special": "jax.scipy.special"}

DOCUMENTED = {
    ("torch", "bce", "value"): "documented: the logarithm is clamped at -100",
}
"""Where a framework says itself that it gives something else."""


def called(function: Any, library: str) -> tuple[str, bool]:
    """What the spelling calls, and whether it is one function of the library's own."""
    method = getattr(type(function), library, None)
    if method is None:
        return "", False
    text = inspect.getsource(method).partition("\n")[2]
    names = [full(name) for name in NAME.findall(text) if not name.endswith(PLUMBING) and name.count(".") > 0]
    names = list(dict.fromkeys(name for name in names if not name.endswith((".dtype", ".as_tensor"))))
    if len(names) == 1:
        arithmetic = re.search(r"[-+*/]\s*\(?[\w.]*\b[pot]\b|\b[pot]\b\s*[-+*/]", text)
        own = ".nn." in names[0] or library == "optax" or not arithmetic
        return names[0], own
    return ("a formula of " + ", ".join(names) if names else "a formula"), library == "optax"


def full(name: str) -> str:
    head, _, rest = name.partition(".")
    return f"{SHORT.get(head, head)}.{rest}"
