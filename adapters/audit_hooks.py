"""Which modules the audit of existing tests patches, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LIBRARIES = ("numpy", "torch", "jax", "chex", "equinox", "autograd", "pennylane")
"""Libraries whose versions the results name."""


def hooks() -> dict[str, Callable[[Any, Any], None]]:
    """The function that patches each module, by its name."""
    from gradagree.adapters import jax_audit, torch_audit

    return {
        "torch": torch_audit.install,
        "torch.testing": torch_audit.install_testing,
        "torch.testing._internal.common_utils": torch_audit.install_common_utils,
        "jax": jax_audit.install,
        "jax.numpy": jax_audit.install_numpy,
        "jax.test_util": jax_audit.install_test_util,
        "chex": jax_audit.install_chex,
        "equinox": jax_audit.install_equinox,
        "autograd": jax_audit.install_autograd,
        "autograd.test_util": jax_audit.install_autograd_tests,
        "pennylane": jax_audit.install_pennylane,
    }
