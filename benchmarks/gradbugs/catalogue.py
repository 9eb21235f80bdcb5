"""All bugs, module by module."""

from __future__ import annotations

import importlib

from benchmarks.gradbugs.bug import Bug

MODULES = (
    "torch_attention", "torch_losses", "torch_norms", "torch_linear", "torch_recurrent", "torch_images",
    "torch_indexing", "conditions_cotangents", "conditions_layouts", "conditions_memory", "conditions_tiles",
    "conditions_indices", "jax_functions", "jax_indexing", "jax_kernels",
    "jax_linear_algebra",
)  # fmt: skip


def all_bugs() -> list[Bug]:
    """The bugs of all modules."""
    return [bug for name in MODULES for bug in importlib.import_module(f"benchmarks.gradbugs.{name}").BUGS]
