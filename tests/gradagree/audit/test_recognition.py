"""Which comparisons of a test suite are recognised as comparisons of gradients, and which are not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gradagree.audit.results import AuditResults

Suite = Callable[..., tuple[AuditResults, subprocess.CompletedProcess[str]]]
HERE = Path(__file__).parent
SUITES = {name: (HERE / f"suite_of_{name}.txt").read_text(encoding="utf-8") for name in ("torch", "jax")}
EXPECTED = {
    (suite, number): re.findall(r"[^,\s][^,]*", line.partition("# audit: ")[2])
    for suite, text in SUITES.items()
    for number, line in enumerate(text.splitlines(), 1)
    if "# audit: " in line
}
"""The functions, or none, that the audit must have recorded at each marked line."""


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest, audited: Suite) -> tuple[str, AuditResults, str]:
    pytest.importorskip(request.param)
    results, done = audited(SUITES[request.param], "-q")
    return request.param, results, done.stdout


def test_that_each_form_is_recognised_at_its_line_and_nothing_else(suite: tuple[str, AuditResults, str]) -> None:
    name, results, _ = suite
    found: dict[tuple[str, int], list[str]] = {}
    for record in results.records:
        found.setdefault((name, record.line), []).append(record.function)
    expected = {key: words for key, words in EXPECTED.items() if key[0] == name and words != ["nothing"]}
    assert {key: sorted(words) for key, words in found.items()} == {key: sorted(w) for key, w in expected.items()}


def test_that_the_suite_passes_and_the_audit_does_not_fail(suite: tuple[str, AuditResults, str]) -> None:
    _, results, output = suite
    assert results.failures == {}
    assert {60} >= {r.calls for r in results.records if "check_grads" in r.function and r.calls > 6}  # 30 in two modes
    assert "failed" not in output.replace("0 failed", "")
    assert results.tests == output.count(" passed") * results.tests


STAND_INS = {
    "chex": """
import numpy as np
from jax import tree_util
from jax.test_util import check_grads

def assert_trees_all_close(*trees, rtol=1e-6, atol=0.0):
    for tree in trees[1:]:
        for a, b in zip(tree_util.tree_leaves(trees[0]), tree_util.tree_leaves(tree)):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)

def assert_trees_all_equal(*trees):
    assert_trees_all_close(*trees, rtol=0)

def assert_numerical_grads(f, f_args, order, atol=0.01, **options):
    check_grads(f, f_args, order, atol=atol, **options)
""",
    "equinox": """
from jax import tree_util
import jax.numpy as jnp

def tree_equal(*trees, typematch=False, rtol=0.0, atol=0.0):
    pairs = zip(*map(tree_util.tree_leaves, trees))
    return all(bool(jnp.allclose(a, b, rtol=rtol, atol=atol)) for a, b in pairs)
""",
    "expecttest": """
import unittest

class TestCase(unittest.TestCase):
    longMessage = True
""",
    "pennylane": "from autograd import grad, jacobian",
}
"""Libraries that may be missing here, with the functions that the audit looks for."""
USERS = """
import autograd.numpy as anp
import chex
import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pennylane
import torch
from torch.testing._internal.common_utils import TestCase

X = jnp.linspace(0.1, 2.0, 7)

def test_chex():
    g = jax.grad(lambda tree: jnp.sum(jnp.sin(tree["a"])) + jnp.sum(tree["b"][0] ** 3))({"a": X, "b": (X,)})
    chex.assert_trees_all_close(g, {"a": jnp.cos(X), "b": (3 * X**2,)}, atol=1e-5)
    chex.assert_trees_all_equal(g, g)
    chex.assert_trees_all_equal(X, X)
    assert equinox.tree_equal([g["a"]], [jnp.cos(X)], rtol=1e-5)
    chex.assert_numerical_grads(lambda x: jnp.sum(jnp.sin(x)), (X,), 1)

def test_pennylane():
    assert np.allclose(pennylane.grad(lambda x: anp.sin(x))(1.1), np.cos(1.1))

class TestTorch(TestCase):
    def test_equal(self):
        x = torch.linspace(0.1, 2.0, 7, requires_grad=True)
        x.sin().sum().backward()
        self.assertEqual(x.grad, x.detach().cos())
        self.assertEqual(x.grad, x.detach().cos(), atol=1e-3, rtol=0)
        self.assertEqual(x, x)
"""


@pytest.mark.filterwarnings("ignore")
def test_that_the_checks_of_other_libraries_are_recognised_once(audited: Suite) -> None:
    for name in ("jax", "autograd", "torch"):
        pytest.importorskip(name)
    results, done = audited(USERS, "-q", **STAND_INS)
    found = sorted((record.line, record.function) for record in results.records)
    assert (done.returncode, results.failures) == (0, {}), done.stdout
    assert [function for _, function in found] == [
        "chex.assert_trees_all_close", "chex.assert_trees_all_equal", "equinox.tree_equal",
        "chex.assert_numerical_grads", "numpy.allclose", "TestCase.assertEqual", "TestCase.assertEqual",
    ]  # fmt: skip
    assert {record.atol for record in results.records if record.function == "TestCase.assertEqual"} == {1e-3, 1e-5}


def test_that_there_are_marked_lines_of_both_kinds() -> None:
    assert sum(words == ["nothing"] for words in EXPECTED.values()) >= 8
    assert len(EXPECTED) >= 45
