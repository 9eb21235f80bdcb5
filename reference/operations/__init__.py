"""Operations of array programs: NumPy functions, each with a vjp (vector-Jacobian product) written by hand."""

from gradagree.reference.operations import (
    casts as casts,
    complex_numbers as complex_numbers,
    composites as composites,
    cumulative as cumulative,
    elementwise as elementwise,
    fourier as fourier,
    incomplete as incomplete,
    linalg as linalg,
    linear as linear,
    moves as moves,
    ordering as ordering,
    reductions as reductions,
    scatter as scatter,
    spectral as spectral,
    windows as windows,
)
from gradagree.reference.operations.primitive import PRIMITIVES as PRIMITIVES, Primitive as Primitive
