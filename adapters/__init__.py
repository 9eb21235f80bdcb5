"""The frameworks' answers: one file for each framework.

A framework is imported inside its own adapter, and only when that is made: an absent, heavy or broken one must not
matter to those who use another.
"""

from gradagree.adapters.adapter import Adapter as Adapter, training_steps as training_steps
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
