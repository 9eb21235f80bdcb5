"""Array types on which the reference runs unchanged: rounded, variance, dual and ball arithmetic."""

from gradagree.arithmetic import (
    ball_rules as ball_rules,
    complex_numbers as complex_numbers,
    contractions as contractions,
    derived as derived,
    elimination as elimination,
    fourier as fourier,
    incomplete as incomplete,
    rounded_library as rounded_library,
    rounded_rules as rounded_rules,
    structural as structural,
    tape as tape,
    three_valued as three_valued,
    variance_rules as variance_rules,
)
from gradagree.arithmetic.ball import Ball as Ball
from gradagree.arithmetic.dual import Dual as Dual
from gradagree.arithmetic.duck import NoRule as NoRule
from gradagree.arithmetic.rounded import Rounded as Rounded
