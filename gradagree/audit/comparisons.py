"""Comparisons of NumPy, unittest and pytest."""

from __future__ import annotations

import sys
import unittest
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from gradagree.audit.session import Audit, Pairs, Quad

NUMPY_TESTING: dict[str, Callable[[Mapping[str, Any]], tuple[float, float]]] = {
    "assert_allclose": lambda args: (args["atol"], args["rtol"]),
    "assert_array_almost_equal": lambda args: (1.5 * 10.0 ** -args["decimal"], 0.0),
    "assert_almost_equal": lambda args: (1.5 * 10.0 ** -args["decimal"], 0.0),
    "assert_approx_equal": lambda args: (0.0, 10.0 ** (1 - args["significant"])),
    "assert_array_equal": lambda args: (0.0, 0.0),
    "assert_equal": lambda args: (0.0, 0.0),
}
"""Absolute and relative tolerance of each function of ``numpy.testing``."""


def install_numpy(numpy: Any, audit: Audit) -> None:
    """Watch the comparisons of the module numpy."""
    for name in ("allclose", "isclose"):
        audit.comparison(numpy, name, f"numpy.{name}", _sides(audit, lambda args: (args["atol"], args["rtol"])))
    audit.comparison(numpy, "array_equal", "numpy.array_equal", _sides(audit, lambda args: (0.0, 0.0)))


def install_numpy_testing(testing: Any, audit: Audit) -> None:
    """Watch the comparisons of ``numpy.testing``."""
    for name, tolerances in NUMPY_TESTING.items():
        audit.comparison(testing, name, f"numpy.testing.{name}", _sides(audit, tolerances))

    def ulps(args: Mapping[str, Any]) -> tuple[float, float]:
        actual, expected = list(args.values())[:2]
        dtype = np.result_type(actual, expected)
        return 0.0, float(args.get("maxulp", args.get("nulp", 1)) * np.finfo(dtype).eps)

    for name in ("assert_array_max_ulp", "assert_array_almost_equal_nulp"):
        audit.comparison(testing, name, f"numpy.testing.{name}", _sides(audit, ulps))


def _sides(audit: Audit, tolerances: Callable[[Mapping[str, Any]], tuple[float, float]]) -> Pairs:
    """The pairs of a comparison of its first two arguments."""

    def pairs(args: Mapping[str, Any]) -> Iterator[Quad]:
        actual, expected = list(args.values())[:2]
        yield from ((a, e, *tolerances(args)) for a, e in _pairs(audit, actual, expected))

    return pairs


def _pairs(audit: Audit, actual: Any, expected: Any) -> list[tuple[Any, Any]]:
    """Both sides as they are, or leaf by leaf if an array of another kind or a gradient is inside a list."""
    if any(isinstance(x, list | tuple | dict) for x in (actual, expected)):
        leaves = list(audit.leaf_pairs(actual, expected))
        if any(audit.arrays.kind(x) is not None for pair in leaves for x in pair):
            return leaves
    return [(actual, expected)]


def install_unittest(audit: Audit) -> None:
    """Watch the comparisons of ``unittest.TestCase``."""

    def almost(args: Mapping[str, Any]) -> Iterator[Quad]:
        places = 7 if args["places"] is None else args["places"]
        atol = args["delta"] if args["delta"] is not None else 0.5 * 10.0**-places
        yield args["first"], args["second"], atol, 0.0

    def exact(args: Mapping[str, Any]) -> Iterator[Quad]:
        yield from ((a, e, 0.0, 0.0) for a, e in _pairs(audit, args["first"], args["second"]))

    case = unittest.TestCase
    audit.comparison(case, "assertAlmostEqual", "assertAlmostEqual", almost)
    audit.comparison(case, "assertEqual", "assertEqual", exact)
    for name, sign in (
        ("assertLess", "<"), ("assertLessEqual", "<="), ("assertGreater", ">"), ("assertGreaterEqual", ">="),
    ):  # fmt: skip
        _watch_order(audit, case, name, sign)


def _watch_order(audit: Audit, case: Any, name: str, sign: str) -> None:
    from gradagree.audit.handwritten import ordered

    def after(_: Any, args: Any, __: Any) -> list[Any]:
        ordered(audit, args[1], sign, args[2], True)
        return []

    audit.source(case, name, name, after)


def install_approx(audit: Audit) -> None:
    """Watch ``==`` with ``pytest.approx``."""
    import pytest

    home = sys.modules[type(pytest.approx(1.0)).__module__]
    for name in ("ApproxScalar", "ApproxNumpy", "ApproxSequenceLike", "ApproxMapping"):
        kind = getattr(home, name, None)
        if kind is not None and "__eq__" in vars(kind):
            audit.comparison(kind, "__eq__", "pytest.approx", lambda args: _approx(audit, args))


def _approx(audit: Audit, args: Mapping[str, Any]) -> Iterator[Quad]:
    """The pairs of a comparison with approx: the tolerance is the larger of both."""
    approx, actual = args["self"], args["actual"]
    relative = 1e-6 if approx.rel is None else float(approx.rel)
    absolute = (1e-12 if approx.rel is None or approx.abs is None else 0.0) if approx.abs is None else float(approx.abs)
    if approx.rel is None and approx.abs is not None:
        relative = 0.0
    for one, expected in _pairs(audit, actual, approx.expected):
        read = audit.arrays.numbers(expected)
        if read is not None:
            yield one, expected, np.maximum(absolute, relative * np.abs(read[0])), 0.0
