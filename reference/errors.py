"""All losses of `gradagree.reference.losses`, under their former module name."""

from gradagree.reference.losses import *  # noqa: F403
from gradagree.reference.losses import __all__ as __all__
