"""Losses are differentiated by their targets, where targets are numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradagree import survey
from gradagree.reference import Activation, ErrorFunction
from gradagree.surveys.exact import compute_exact_values
from gradagree.surveys.targets import subjects_by_target

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
        if getattr(one, "targets", "") not in ("real", "positive"):
            assert list(subjects_by_target(one(), "float16", 1)) == []
    (positive,) = subjects_by_target(ErrorFunction.named("generalized_kl"), "float16", 1)
    assert (positive.points > 0).all()
