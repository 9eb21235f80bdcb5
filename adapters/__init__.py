"""Adapters of frameworks: one file for each framework.

An adapter imports its framework when it is created, so that a missing, large or broken framework does
not affect users of another.
"""

from gradagree.adapters import layer_libraries as _layer_libraries  # noqa: F401 (registers their names)
from gradagree.adapters.adapter import Adapter as Adapter
from gradagree.adapters.for_jax import ForJax as ForJax
from gradagree.adapters.for_torch import ForTorch as ForTorch
from gradagree.adapters.probes import probe as probe
from gradagree.adapters.problem import (
    Answer as Answer,
    Problem as Problem,
    Unsupported as Unsupported,
    directions as directions,
    example_weight as example_weight,
)
from gradagree.adapters.training import training_steps as training_steps
