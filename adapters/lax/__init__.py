"""NumPy forms of JAX's primitives, by name; they run on every array type that NumPy dispatches to."""

from gradagree.adapters.lax import (
    complex_numbers as complex_numbers,
    elementwise as elementwise,
    fourier as fourier,
    linear as linear,
    moves as moves,
    reductions as reductions,
    spectra as spectra,
    windows as windows,
)
from gradagree.adapters.lax.table import NOT_COVERED as NOT_COVERED, numpy_form as numpy_form
