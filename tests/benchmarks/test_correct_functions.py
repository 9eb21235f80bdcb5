"""The corpus of correct functions: its size, and that a false alarm in it is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from benchmarks.correct_functions import as_in_narrower, false_alarms, of_function, records_of_check
from benchmarks.functions import evidence
from benchmarks.functions.explained import EXPLAINED
from gradagree import Activation

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
ROOT = Path(__file__).parents[2]
COUNT = """
import json, warnings
warnings.simplefilter("ignore")
from benchmarks.correct_functions import MODULES, functions_of
found = {kind.name: (kind.kind, [x for x in ("torch", "jax") if hasattr(kind, x)])
         for module in MODULES for kind in functions_of(module)}
print(json.dumps(found))
"""


class Off(Activation):
    """A(p) = p^2, where torch has another factor."""

    def value(self, p: Any) -> Any:
        return p**2

    def derivative(self, p: Any) -> Any:
        return 2 * p

    def torch(self, p: Any, torch: Any) -> Any:
        return p**2 * 1.01


class Refused(Off):
    """A(p) = p^2, with another derivative."""

    def derivative(self, p: Any) -> Any:
        return 2.5 * p


class GeluByHand(Activation):
    """A(p) = p Phi(p), whose derivative loses its digits in the tail."""

    def value(self, p: Any) -> Any:
        return p * ndtr(p)

    def derivative(self, p: Any) -> Any:
        return ndtr(p) + p * np.exp(-(p**2) / 2) / np.sqrt(2 * np.pi)

    def torch(self, p: Any, torch: Any) -> Any:
        return p * 0.5 * (1 + torch.erf(p / 2**0.5))


class HardMishByHand(Activation):
    """A(p) = p/2 min(2, max(0, p + 2)), whose backward pass multiplies by p/2 before it multiplies by 0."""

    kinks = (-2.0,)

    def value(self, p: Any) -> Any:
        return 0.5 * p * np.clip(p + 2, 0, 2)

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, 1.0, np.where(p > -2, p + 1, 0.0))

    def torch(self, p: Any, torch: Any) -> Any:
        return 0.5 * p * (p + 2).clamp(min=0, max=2)


class ExponentialByHand(Activation):
    """A(p) = exp(-p), whose derivative is taken as that of cosh p - sinh p."""

    def value(self, p: Any) -> Any:
        return np.exp(-p)

    def derivative(self, p: Any) -> Any:
        return -np.exp(-p)

    def torch(self, p: Any, torch: Any) -> Any:
        difference = torch.cosh(p) - torch.sinh(p)
        return torch.exp(-p.detach()) + (difference - difference.detach())


KINDS = (Off, Refused, GeluByHand, HardMishByHand, ExponentialByHand)
for kind in KINDS:
    kind.catalogue.pop(kind.name)


@pytest.fixture(autouse=True)
def own_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """These classes are in the catalogue during a test only."""
    for kind in KINDS:
        monkeypatch.setitem(kind.catalogue, kind.name, kind)


def test_that_the_corpus_has_enough_functions_in_both_frameworks() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    done = subprocess.run([sys.executable, "-c", COUNT], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    kinds = [kind for kind, _ in found.values()]
    assert kinds.count("activation") >= 60
    assert kinds.count("error function") >= 40
    for framework in ("torch", "jax"):
        assert sum(framework in spelled for _, spelled in found.values()) >= len(found) / 2
    assert {one.function for one in EXPLAINED} <= set(found)


def test_that_an_accusation_without_explanation_and_a_refusal_are_false_alarms() -> None:
    pytest.importorskip("torch")
    found = {kind.name: of_function(kind) for kind in (Off, Refused)}
    assert "value-differs" in {one["verdict"] for one in found["off"]["accusations"]}
    assert "does not match value" in found["refused"]["refused"]
    assert false_alarms({"check": found, "run": {}}) == ["off", "refused"]


def test_that_float64_shows_what_a_narrower_dtype_loses() -> None:
    pytest.importorskip("torch")
    lost, overflows = (
        [evidence.explanation(record) or "" for record in records_of_check(kind) if record.verdict.fails]
        for kind in (GeluByHand, HardMishByHand)
    )
    assert any(text.startswith("every digit is lost in float32: in float64") for text in lost)
    assert any(text.startswith("an intermediate overflows float16: in float64") for text in overflows)
    wrong = [record for record in records_of_check(Off) if record.verdict.fails]
    assert wrong
    assert not any(evidence.explanation(record) for record in wrong)


def test_that_inputs_moved_by_one_rounding_show_what_float64_loses() -> None:
    pytest.importorskip("torch")
    found, wrong = (
        [evidence.explanation(r) or "" for r in records_of_check(kind) if r.verdict.fails and r.dtype == "float64"]
        for kind in (ExponentialByHand, Off)
    )
    assert any(text.startswith("every digit is lost: moving the inputs by one rounding") for text in found)
    assert wrong
    assert not any(wrong)


def test_that_float64_is_explained_by_a_narrower_dtype_of_the_same_program_only() -> None:
    one = {
        "function": "f", "framework": "torch", "verdict": "disagree", "dtype": "float32", "explanation": "lost",
        "reason": "no correct digit: the relative error is 1",
    }  # fmt: skip
    wide = one | {"dtype": "float64", "explanation": None}
    other = wide | {"framework": "jax"}
    assert [x["explanation"] for x in as_in_narrower([one, wide, other])] == ["lost", "as in float32", None]


def test_that_an_explanation_holds_for_its_framework_verdict_and_inputs_only() -> None:
    one = next(one for one in EXPLAINED if one.function == "serf")
    assert one.explains("serf", "jax", "nonfinite", "extreme")
    assert not one.explains("serf", "torch", "nonfinite", "extreme")
    assert not one.explains("serf", "jax", "disagree", "extreme")
    assert not one.explains("serf", "jax", "nonfinite", "ordinary")
