"""Ports that return new running statistics: right ones pass; another convention of momentum or variance is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from torch import nn  # noqa: E402

from gradagree import assert_port  # noqa: E402
from gradagree.checker.verdict import Verdict  # noqa: E402
from gradagree.functions.ports import port_report  # noqa: E402
from gradagree.functions.records import Disagreement  # noqa: E402

SEED = 5
X = np.random.default_rng(SEED).standard_normal((6, 4)).astype(np.float32)
Update = Callable[[Any, Any], Any]


def model_of(momentum: float | None = 0.1) -> Any:
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3, momentum=momentum)).train()
    model[1].running_mean.copy_(torch.tensor([0.5, -1.0, 2.0]))
    model[1].running_var.copy_(torch.tensor([0.7, 1.5, 3.0]))
    return model


def params_of(model: Any) -> dict[str, np.ndarray]:
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: x.detach().numpy() for name, x in named if x.is_floating_point()}


def port_of(mean: Update, variance: Update, corrected: bool = True) -> Callable[..., Any]:
    """A port that returns its output and the new statistics, which are made from the old ones and the batch's."""

    def port(params: Any, x: Any) -> Any:
        y = x @ params["0.weight"].T
        m, v = y.mean(0), y.var(0)
        out = (y - m) / jnp.sqrt(v + 1e-5) * params["1.weight"] + params["1.bias"]
        v = v * len(x) / (len(x) - 1) if corrected else v
        state = {"mean": mean(params["1.running_mean"], m), "var": variance(params["1.running_var"], v)}
        return out, {"BatchNorm_0": state}

    return port


def share(s: float) -> Update:
    return lambda old, batch: (1 - s) * old + s * batch


def test_that_right_statistics_agree_and_the_model_is_not_changed() -> None:
    model = model_of()
    before = model[1].running_mean.clone()
    report = assert_port(model, port_of(share(0.1), share(0.1)), params=params_of(model), batch=X)
    assert report.verdict is Verdict.AGREE
    names = [record.name for record in report.records]
    assert "1.running_mean and output[1]['BatchNorm_0']['mean']" in names
    assert "1.running_var and output[1]['BatchNorm_0']['var']" in names
    assert torch.equal(model[1].running_mean, before)


CONVENTION = r"the momentum 0.1 as the share of the old value, not of the batch \(with that convention.*give it 0.9\)"
BESSEL = r"the variance of the batch without Bessel's correction, n / \(n - 1\)"


@pytest.mark.parametrize(
    ("port", "name", "reason"),
    [
        (port_of(share(0.9), share(0.1)), "mean", f"the port has {CONVENTION}$"),
        (port_of(share(0.1), share(0.9)), "var", f"the port has {CONVENTION}$"),
        (port_of(share(0.1), share(0.1), corrected=False), "var", f"the port has {BESSEL}$"),
        (port_of(share(0.1), share(0.9), corrected=False), "var", f"the port has {CONVENTION} and {BESSEL}$"),
        (port_of(share(0.0), share(0.1)), "mean", "the port has the value before the call"),
        (port_of(share(1.0), share(0.1)), "mean", "the port has the statistic of the batch alone"),
        (port_of(share(0.01), share(0.1)), "mean", "the port has the share 0.01 of the batch in place of 0.1"),
        (port_of(lambda old, batch: old * batch, share(0.1)), "mean", "no usual reason explains the port's value"),
    ],
)
def test_that_another_convention_is_named(port: Any, name: str, reason: str) -> None:
    model = model_of()
    report = port_report(model, port, params_of(model), X)
    failing = [record for record in report.records if record.verdict.fails]
    assert [record.verdict for record in failing] == [Verdict.VALUE_DIFFERS]
    assert failing[0].name == f"1.running_{name} and output[1]['BatchNorm_0']['{name}']"
    with pytest.raises(Disagreement, match=reason.removesuffix("$")):
        assert_port(model, port, params=params_of(model), batch=X)


def test_that_an_average_of_all_batches_and_one_channel_are_compared() -> None:
    model = model_of(momentum=None)
    report = assert_port(model, port_of(share(1.0), share(1.0)), params=params_of(model), batch=X)
    assert report.verdict is Verdict.AGREE
    one = nn.Sequential(nn.Linear(4, 1, bias=False), nn.BatchNorm1d(1)).train()
    found = port_report(one, port_of(share(0.1), share(0.1), corrected=False), params_of(one), X)
    (failing,) = [record for record in found.records if record.verdict.fails]
    assert failing.reason.endswith("without Bessel's correction, n / (n - 1)")


def test_that_evaluation_leaves_the_statistics_as_they_are() -> None:
    model = model_of().eval()

    def port(params: Any, x: Any) -> Any:
        y = x @ params["0.weight"].T
        m, v = params["1.running_mean"], params["1.running_var"]
        return (y - m) / jnp.sqrt(v + 1e-5) * params["1.weight"] + params["1.bias"], (m, v)

    assert assert_port(model, port, params=params_of(model), batch=X).verdict is Verdict.AGREE


def test_that_an_array_that_is_no_statistic_is_named() -> None:
    model = model_of()
    right = port_of(share(0.1), share(0.1))

    def port(params: Any, x: Any) -> Any:
        out, state = right(params, x)
        return out, state, params["1.weight"][:2] * 2

    with pytest.raises(Disagreement, match="no running statistic of the module is left for it"):
        assert_port(model, port, params=params_of(model), batch=X)
