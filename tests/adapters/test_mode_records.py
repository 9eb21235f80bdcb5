"""A mode is one record; what an adapter gives as a plain function, or in sets of names, becomes one."""

from __future__ import annotations

from typing import Any

import pytest

from gradagree.adapters import Adapter, ForJax, ForTorch
from gradagree.adapters.modes import Mode


@pytest.fixture(autouse=True)
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapters that are made here are gone afterwards."""
    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))


def gradient(error: Any, per_example: Any) -> Any:
    """Reverse mode."""
    return error, per_example


def adapter(base: type[Adapter] = Adapter, **attributes: Any) -> type[Adapter]:
    return type("ForMine", (base,), {"name": "mine_of_the_test", "install": "", **attributes})


def test_that_a_plain_function_becomes_a_record_with_the_traits_that_its_adapter_names() -> None:
    names = dict.fromkeys(("plain", "ahead", "whole", "alone", "vmap"), gradient)
    sets = {"untapped": frozenset({"ahead"}), "compiled": frozenset({"whole"}), "each_alone": frozenset({"alone"})}
    assert adapter(modes=names, **sets).modes == {
        "plain": Mode(gradient), "ahead": Mode(gradient, forward=True), "whole": Mode(gradient, fused=True),
        "alone": Mode(gradient, per_example=True), "vmap": Mode(gradient),
    }  # fmt: skip
    assert adapter(modes=names).modes["vmap"] == Mode(gradient, per_example=True)


def test_that_a_replaced_function_keeps_the_traits_of_its_mode_but_not_its_source() -> None:
    made = adapter(ForTorch, modes={"compile": gradient, "grad": gradient})
    assert made.modes["compile"] == Mode(gradient, fused=True, compiles=True, by_default=False, slow=True)
    assert made.modes["grad"] == Mode(gradient)


def test_that_a_record_is_called_like_its_function_and_found_by_its_full_name() -> None:
    record = Mode(gradient, fused=True)
    made = adapter(modes={"jit": record})
    assert made.modes["jit"](1, 2) == (1, 2)
    assert Adapter.mode("mine_of_the_test:jit") is record
    assert Adapter.mode("jax:packed") is ForJax.modes["packed"]
    assert not Adapter.mode("nobody:jit").fused


def test_that_a_framework_trains_in_its_own_mode_or_else_in_its_first_and_only_where_it_is_named() -> None:
    assert (ForTorch.training_mode(), ForJax.training_mode()) == ("backward", "jit")
    assert ForTorch.trains()
    made = adapter(ForTorch, modes={"first": gradient, "second": gradient})
    assert made.training_mode() == "first"
    assert not made.trains()
