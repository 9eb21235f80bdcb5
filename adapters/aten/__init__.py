"""NumPy forms of PyTorch's ATen operations."""

from gradagree.adapters.aten import (
    attention as attention,
    complex_numbers as complex_numbers,
    convolutions as convolutions,
    elementwise as elementwise,
    fourier as fourier,
    indexing as indexing,
    interpolation as interpolation,
    layers as layers,
    linalg as linalg,
    losses as losses,
    normalisation as normalisation,
    norms as norms,
    pooling as pooling,
    recurrent as recurrent,
    reductions as reductions,
    shapes as shapes,
    sorting as sorting,
    spectral as spectral,
)
from gradagree.adapters.aten.table import ATEN as ATEN, CHOICES as CHOICES
