"""NumPy forms of PyTorch's ATen operations."""

from gradagree.adapters.aten import (
    elementwise as elementwise,
    layers as layers,
    reductions as reductions,
    shapes as shapes,
)
from gradagree.adapters.aten.table import ATEN as ATEN
