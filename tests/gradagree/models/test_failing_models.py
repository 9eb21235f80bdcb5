"""A failing model: its message has the fault, its reason and all wrong gradients, without a search in the whole."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from gradagree import check  # noqa: E402
from gradagree.functions import assertions  # noqa: E402
from gradagree.functions.records import Disagreement  # noqa: E402
from tests.gradagree.models.test_module_faults import FAULTS, SEED, WIDTH, Faulty, deep  # noqa: E402


def failing(depth: int, **options: Any) -> Disagreement:
    torch.manual_seed(SEED)
    function, _, weighted = FAULTS["MissingTerm"]
    with pytest.raises(Disagreement) as caught:
        check(deep(Faulty(function, weighted), depth), inputs=(torch.randn(4, WIDTH),), **options)
    return caught.value


def test_that_the_message_has_the_reason_and_every_wrong_gradient() -> None:
    report = failing(2, modules=True).report
    text = str(failing(2, modules=True))
    fault = report.failures[0].reason
    assert "2: MissingTerm.backward" in fault
    assert fault.endswith("the contribution through power is missing")
    for name in ("args[0]", "0.linear.weight", "1.norm.bias"):  # what gets the wrong gradient
        assert f"gradient of {name} " in text
    wrong = [one for one in report.records if one.verdict.fails and one.quantity == "gradient"]
    assert {"args[0]", "0.linear.weight"} <= {one.name for one in wrong}
    assert all("MissingTerm.backward" in one.reason for one in wrong)
    agreeing = {one.name for one in report.records if not one.verdict.fails}
    assert {"3.linear.weight", "4.norm.bias"} <= agreeing


def test_that_a_named_operation_ends_the_search_for_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    explain = assertions.explain

    def counted(*args: Any, **kwargs: Any) -> Any:
        searched.append(1)
        return explain(*args, **kwargs)

    monkeypatch.setattr(assertions, "explain", counted)
    failing(1, modules=True)
    assert not searched
    failing(1)
    assert searched
