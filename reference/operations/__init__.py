"""Operations of array programs: NumPy functions, each with a vjp (vector-Jacobian product) written by hand."""

from gradagree.reference.operations import (
    elementwise as elementwise,
    linear as linear,
    moves as moves,
    reductions as reductions,
)
from gradagree.reference.operations.primitive import PRIMITIVES as PRIMITIVES, Primitive as Primitive
