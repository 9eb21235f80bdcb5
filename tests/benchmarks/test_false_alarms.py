"""The campaigns in which nothing correct may be accused."""

from __future__ import annotations

from benchmarks.false_alarms import catalogue, everywhere
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.regimes import REGIMES
from gradagree.reference import Activation, ErrorFunction


def test_that_the_catalogue_is_every_function() -> None:
    cases = list(catalogue(1))
    assert {case.error.name for case in cases} == {*ErrorFunction.catalogue}
    assert {a.name for case in cases for a in case.activations} >= {*Activation.catalogue}


def test_that_an_architecture_is_in_every_dtype_and_regime_with_other_numbers_in_each_draw() -> None:
    (first, *_) = catalogue(1)
    cases = list(everywhere([first], 2))
    assert len(cases) == 2 * len(FORMATS) * len(REGIMES) == len({case.spec for case in cases})
