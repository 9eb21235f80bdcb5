"""Losses are differentiated by their targets, where targets are numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree import survey
from gradagree.reference import Activation, ErrorFunction
from gradagree.surveys import targets
from gradagree.surveys.classify import REGIONS, region_indices
from gradagree.surveys.exact import compute_exact_values
from gradagree.surveys.formulas import with_sum_reduction
from gradagree.surveys.subject import Subject
from gradagree.surveys.targets import (
    PROBABILITIES,
    WEIGHTS,
    has_target_derivative,
    subjects_by_target,
    subjects_by_weight,
)

PLANTED = """
from gradagree.reference.losses.reduction import _EntryByEntry

class HalfBlind(_EntryByEntry):
    '''E = mean of (o - t)^2, whose derivative by the target is lost in the frameworks.'''

    def _term(self, o, t):
        return (o - t) ** 2

    def _derivative(self, o, t):
        return 2 * (o - t)

    def torch(self, o, t, torch):
        return self._reduce((o - t FAULT_IN_TORCH + 0 * t) ** 2, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce((o - FAULT_IN_JAX(t)) ** 2, jax.numpy.asarray)
"""


@pytest.mark.parametrize(("framework", "mode"), [("torch", "backward"), ("jax", "jit")])
@pytest.mark.parametrize("faulty", [True, False])
def test_that_a_lost_derivative_by_the_target_is_found(
    framework: str, mode: str, faulty: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(framework)
    monkeypatch.setenv("GRADAGREE_CACHE", "off")
    monkeypatch.setattr(ErrorFunction, "catalogue", dict(ErrorFunction.catalogue))
    text = PLANTED.replace(" FAULT_IN_TORCH", ".detach()" if faulty else "")
    text = text.replace("FAULT_IN_JAX", "jax.lax.stop_gradient" if faulty else "")
    (tmp_path / "half_blind.py").write_text(text, encoding="utf-8")
    found = survey(frameworks=framework, modes=mode, dtypes="float32", ext=[str(tmp_path / "half_blind.py")]).findings
    ordinary = [one for one in found if one.region == "ordinary" and one.kind in ("early zero", "no correct digit")]
    assert [one.example.get("by") for one in ordinary] == ["target"] * faulty
    for one in ordinary:
        (t,), (o,) = one.example["input"], one.example["target"]
        assert one.example["true"] == 2 * (t - o)
        exec(one.reproducer, {})
        with pytest.raises(AssertionError):
            exec(one.reproducer.replace(".detach()", "").replace("jax.lax.stop_gradient", ""), {})


@pytest.mark.parametrize("name", ["mse", "huber", "smooth_l1", "log_cosh", "absolute"])
def test_that_the_exact_derivative_of_a_difference_by_the_target_is_the_negative_of_that_by_the_output(
    name: str,
) -> None:
    function = ErrorFunction.named(name)
    (subject,) = subjects_by_target(function, "float16", 1)
    assert subject.targets is not None
    apart = np.flatnonzero(np.abs(subject.points - subject.targets)[:, 0] > 2.0**-5)[::37]
    some = subject.at(apart)
    exact = compute_exact_values(some, "slope")
    known = exact.known > 0
    by_output = function._derivative(some.targets, some.points)  # type: ignore[attr-defined]
    assert known.any()
    assert exact.high[known] == pytest.approx(-np.broadcast_to(by_output, known.shape)[known], rel=2.0**-30)


def test_that_targets_that_are_labels_or_at_the_end_of_their_domain_have_no_derivative() -> None:
    for one in (*Activation.catalogue.values(), *ErrorFunction.catalogue.values()):
        if getattr(one, "targets", "") not in ("real", "positive") and one.name not in PROBABILITIES:
            assert list(subjects_by_target(one(), "float16", 1)) == []
    (positive,) = subjects_by_target(ErrorFunction.named("generalized_kl"), "float16", 1)
    assert (positive.points > 0).all()


BY_TARGET = sorted(
    name
    for name, kind in ErrorFunction.catalogue.items()
    if kind.__module__.startswith("gradagree.reference") and has_target_derivative(kind())
)


@pytest.mark.parametrize("name", BY_TARGET)
def test_that_exact_derivatives_by_targets_are_those_of_differences(name: str) -> None:
    for subject in subjects_by_target(ErrorFunction.named(name), "float64", 8):
        _compare_with_differences(subject, subject.function)


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_that_exact_derivatives_by_weights_are_those_of_differences(name: str) -> None:
    subjects = list(subjects_by_weight(ErrorFunction.named(name), "float64", 8))
    assert [one.by for one in subjects] == list(WEIGHTS[name])
    for subject in subjects:
        assert subject.inputs == subject.by
        _compare_with_differences(subject, subject.function)


def _compare_with_differences(subject: Subject, function: Any) -> None:
    """Compare exact derivatives with differences, at numbers of ordinary size that are not beside a jump."""
    assert subject.targets is not None
    numbers = np.concatenate([subject.points, subject.targets], axis=1)
    usual = (np.abs(numbers) <= 8).all(axis=1) & ((numbers == 0) | (np.abs(numbers) >= 2.0**-6)).all(axis=1)
    some = subject.at(np.flatnonzero(usual)[:: max(1, usual.sum() // 24)])
    exact = compute_exact_values(some, "slope")
    shape = some.points.shape
    step = 2.0**-20
    for j in range(shape[1]):
        unit = np.where(np.arange(shape[1]) == j, step, 0.0)
        moved = [_loss(some, function, some.points + sign * unit) for sign in (1, -1, 0)]
        above, below = moved[0] - moved[2], moved[2] - moved[1]
        smooth = np.isfinite(above + below) & (np.abs(above - below) <= 2.0**-10 * np.abs(above + below) + 2.0**-30)
        found = exact.high.reshape(shape)[:, j]
        known = smooth & (exact.known.reshape(shape)[:, j] > 0)
        assert known.any() or not smooth.any()
        assert found[known] == pytest.approx((above + below)[known] / (2 * step), rel=2.0**-8, abs=2.0**-12)


def _loss(subject: Subject, function: Any, x: np.ndarray) -> np.ndarray:
    """The loss of each point."""
    function = with_sum_reduction(function)
    o, t, w = subject.targets, x, np.ones_like(x)
    assert o is not None
    if subject.labels is not None:
        t, w = subject.labels, x
    with np.errstate(all="ignore"):
        if function.name == "bce":
            return np.asarray((-(t * np.log(o) + (1 - t) * np.log1p(-o)) * w).sum(axis=1))
        if subject.by == "pos_weight":
            terms = [w * t * np.logaddexp(0, -o) + (1 - t) * np.logaddexp(0, o)]
        else:
            held = [
                function.holding(**({subject.by: w[i]} if subject.labels is not None else {})) for i in range(len(x))
            ]
            terms = [[float(one.value(o[i : i + 1], t[i : i + 1])) for i, one in enumerate(held)]]
    return np.asarray(terms[0]).reshape(len(x), -1).sum(axis=1)


@pytest.mark.parametrize("faulty", [True, False])
@pytest.mark.parametrize(("framework", "mode"), [("torch", "backward"), ("jax", "jit")])
def test_that_a_lost_derivative_by_a_weight_is_found(
    framework: str, mode: str, faulty: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(framework)
    monkeypatch.setenv("GRADAGREE_CACHE", "off")
    monkeypatch.setattr(ErrorFunction, "catalogue", dict(ErrorFunction.catalogue))
    monkeypatch.setattr(targets, "WEIGHTS", {"half_blind": ("weight",)})
    text = PLANTED.replace(" FAULT_IN_TORCH", "").replace("FAULT_IN_JAX", "")
    text = text.replace("    def _term", "    weight: float = 1.0\n\n    def _term")
    text = text.replace("return (o - t) ** 2", "return np.asarray(self.weight) * (o - t) ** 2")
    text = text.replace("return 2 * (o - t)", "return np.asarray(self.weight) * 2 * (o - t)")
    text = text.replace("from gradagree", "import numpy as np\nfrom gradagree", 1)
    torch_weight = "(lambda w: wDETACHED + 0 * w)(torch.as_tensor(self.weight, dtype=o.dtype))"
    text = text.replace("self._reduce((o - t + 0 * t) ** 2", f"self._reduce({torch_weight} * (o - t) ** 2")
    jax_weight = "STOPPED(jax.numpy.asarray(self.weight, o.dtype))"
    text = text.replace("self._reduce((o - (t)) ** 2", f"self._reduce({jax_weight} * (o - t) ** 2")
    text = text.replace("DETACHED", ".detach()" if faulty else "")
    text = text.replace("STOPPED", "jax.lax.stop_gradient" if faulty else "")
    (tmp_path / "half_blind.py").write_text(text, encoding="utf-8")
    found = survey(frameworks=framework, modes=mode, dtypes="float32", ext=[str(tmp_path / "half_blind.py")]).findings
    ordinary = [one for one in found if one.region == "ordinary" and one.kind in ("early zero", "no correct digit")]
    assert [one.example.get("by") for one in ordinary] == ["weight"] * faulty
    for one in ordinary:
        (t,), (o,) = one.example["labels"], one.example["target"]
        assert one.example["true"] == (t - o) ** 2
        exec(one.reproducer, {})
        with pytest.raises(AssertionError):
            exec(one.reproducer.replace(".detach()", "").replace("jax.lax.stop_gradient", ""), {})


def test_that_a_huge_output_is_in_the_region_of_huge_numbers() -> None:
    (subject,) = subjects_by_target(ErrorFunction.named("half_squared"), "float32", 8)
    assert subject.targets is not None
    huge = (np.abs(subject.targets) >= 2.0**126)[:, 0] & (np.abs(subject.points) <= 1)[:, 0]
    assert huge.any()
    assert {REGIONS[k] for k in region_indices(subject.at(huge).sized, "float32")} == {"huge"}
