"""Arrays on which the reference runs unchanged: rounded, dual and ball numbers."""

from gradagree.arithmetics import ball_functions as ball_functions
from gradagree.arithmetics import contractions as contractions
from gradagree.arithmetics import derived as derived
from gradagree.arithmetics import rounded_choices as rounded_choices
from gradagree.arithmetics import rounded_functions as rounded_functions
from gradagree.arithmetics import rounded_reductions as rounded_reductions
from gradagree.arithmetics import structure as structure
from gradagree.arithmetics import trilean_functions as trilean_functions
from gradagree.arithmetics import variance_functions as variance_functions
from gradagree.arithmetics import variance_library as variance_library
from gradagree.arithmetics.ball import Ball as Ball
from gradagree.arithmetics.dual import Dual as Dual
from gradagree.arithmetics.duck import NoRule as NoRule
from gradagree.arithmetics.rounded import Rounded as Rounded
