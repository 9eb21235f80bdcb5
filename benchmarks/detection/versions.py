"""The versions of everything that a result depends on."""

from __future__ import annotations

import importlib.metadata
import platform

PACKAGES = ("gradagree", "torch", "jax", "jaxlib", "autograd", "numpy", "scipy", "ml_dtypes", "python-flint")


def versions() -> dict[str, str]:
    """By package, Python and the machine's kind among them."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }
