"""The losses, under the name that they are imported by: `gradagree.reference.losses`."""

from gradagree.reference.losses import *  # noqa: F403
from gradagree.reference.losses import __all__ as __all__
