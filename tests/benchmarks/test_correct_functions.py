"""The corpus of correct functions: its size, and that a false alarm in it is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.correct_functions import false_alarms, of_function
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


for kind in (Off, Refused):
    kind.catalogue.pop(kind.name)


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


def test_that_an_explanation_holds_for_its_framework_verdict_and_inputs_only() -> None:
    one = next(one for one in EXPLAINED if one.function == "serf")
    assert one.explains("serf", "jax", "nonfinite", "extreme")
    assert not one.explains("serf", "torch", "nonfinite", "extreme")
    assert not one.explains("serf", "jax", "disagree", "extreme")
    assert not one.explains("serf", "jax", "nonfinite", "ordinary")
