"""Array types on which the reference runs unchanged: rounded, variance, dual and ball arithmetic."""

from gradagree.arithmetics import (
    ball_functions as ball_functions,
    contractions as contractions,
    derived as derived,
    rounded_choices as rounded_choices,
    rounded_functions as rounded_functions,
    rounded_reductions as rounded_reductions,
    structure as structure,
    trilean_functions as trilean_functions,
    variance_functions as variance_functions,
    variance_library as variance_library,
)
from gradagree.arithmetics.ball import Ball as Ball
from gradagree.arithmetics.dual import Dual as Dual
from gradagree.arithmetics.refusals import NoRule as NoRule
from gradagree.arithmetics.rounded import Rounded as Rounded
