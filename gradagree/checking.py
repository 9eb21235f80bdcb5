"""The former import path of `gradagree.api`."""

from gradagree.api import Disagreement as Disagreement, check as check
