"""The modules of flax and equinox agree with the layers of the same formula, and a wrong one is found."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from gradagree import Layer, check
from gradagree.adapters import layer_libraries
from gradagree.adapters.layer_libraries import EQUINOX, FLAX, LIBRARIES, is_found, library_function
from gradagree.api import Disagreement
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.functions.layers import frameworks_of, layer_report
from gradagree.reference import layers  # noqa: F401 (registers the layers)

pytest.importorskip("jax")
CASES = [
    (library, layer)
    for library, known in (("flax", FLAX), ("equinox", EQUINOX))
    if importlib.util.find_spec(library)
    for name in known
    for layer in Layer.named(name).variants()
    if known[name].allows(layer)
]


def test_that_equinox_is_checked() -> None:
    """It is a requirement of the tests."""
    assert sum(library == "equinox" for library, _ in CASES) > 30


@pytest.mark.parametrize(("library", "layer"), CASES, ids=[f"{library}-{layer}" for library, layer in CASES])
def test_that_a_module_agrees(library: str, layer: Layer) -> None:
    report = layer_report(layer, library, dtypes="float32", layouts=False, repeat=1)
    assert {record.verdict for record in report.records} == {Verdict.AGREE}
    assert {record.framework for record in report.records} == {library}


def test_that_every_name_is_a_layer() -> None:
    assert {*FLAX, *EQUINOX} <= set(Layer.catalogue)


def test_that_a_library_without_such_a_setting_is_left_out() -> None:
    assert library_function("equinox", Layer.named("gru(both=True)")) is None
    assert "equinox" not in frameworks_of(Layer.named("gru(both=True)"), None)
    assert "equinox" in frameworks_of(Layer.named("gru"), None)


class EquinoxScale(Layer):
    """y = w x, by a module that loses the gradient of its weight in one place."""

    right: bool = False

    def value(self, x: Any, w: Any) -> Any:
        return w * x

    def vjp(self, g: Any, x: Any, w: Any) -> Any:
        return w * g, np.sum(g * x, axis=0)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 3)), "w": rng.standard_normal(3)}

    def equinox(self, x: Any, w: Any, *, equinox: Any) -> Any:
        import jax

        class Module(equinox.Module):  # type: ignore[misc]
            weight: Any

            def __call__(self, x: Any) -> Any:
                return x * self.weight

        kept = w if self.right else w.at[1].set(jax.lax.stop_gradient(w[1]))
        return jax.vmap(Module(kept))(x)


def test_that_a_wrong_module_is_found_with_its_array() -> None:
    with pytest.raises(Disagreement) as raised:
        check(EquinoxScale, frameworks="equinox", dtypes="float32")
    wrong = [record for record in raised.value.records if record.verdict.fails]
    assert {(record.framework, record.name, record.entry) for record in wrong} == {("equinox", "w", (1,))}
    assert check(EquinoxScale(right=True), frameworks="equinox", dtypes="float32").verdict is Verdict.AGREE


def test_that_a_layer_without_a_module_in_the_library_is_refused() -> None:
    with pytest.raises(UsageError, match="residual has no module of equinox: define the method 'equinox'"):
        check(Layer.named("residual"), frameworks="equinox")


def test_that_a_library_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_libraries.importlib.util, "find_spec", lambda name: None)
    assert not any(map(is_found, LIBRARIES))
    with pytest.raises(UsageError, match="flax is not installed; install it to check its modules"):
        check(Layer.named("dense"), frameworks="flax")
    with pytest.raises(UsageError, match="frameworks='flask'"):
        check(Layer.named("dense"), frameworks="flask")
